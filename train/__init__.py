"""Training: the loop, its data and recipes. Needs torch.

The names below are the public ones; a name's module is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmn_edge.system.public import lazily

if TYPE_CHECKING:
    from mmn_edge.train.recipe import Recipe
    from mmn_edge.train.recipe import load as load_recipe
    from mmn_edge.train.run import train

__all__ = ["Recipe", "load_recipe", "train"]

_PLACES = {
    "Recipe": "mmn_edge.train.recipe",
    "load_recipe": "mmn_edge.train.recipe:load",
    "train": "mmn_edge.train.run",
}

__getattr__ = lazily(__name__, _PLACES)

import os
import shlex

import pytest
from click.shell_completion import BashComplete

from mmn_edge.cli import cli
from mmn_edge.model import presets
from mmn_edge.skeleton import layouts
from mmn_edge.train import recipe


def completed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash is offered for the last word of a line, as ``type,value``."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    monkeypatch.setitem(os.environ, "COMP_WORDS", line)
    monkeypatch.setitem(os.environ, "COMP_CWORD", str(len(words) - 1))
    return BashComplete(cli, {}, "mmn-edge", "_MMN_EDGE_COMPLETE").complete().splitlines()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("mmn-edge convert x.pt --preset ", presets.PRESETS),
        ("mmn-edge evaluate x.pt --preset ", presets.PRESETS),
        ("mmn-edge verify x.pt --preset ", presets.PRESETS),
        ("mmn-edge quantize x.pt --preset ", presets.PRESETS),
        ("mmn-edge evaluate x.pt --layout ", layouts.names()),
        ("mmn-edge verify x.pt --layout ", layouts.names()),
        ("mmn-edge data import rec --to ", layouts.names()),
        ("mmn-edge data import rec --from ", layouts.names()),
        ("mmn-edge layouts show ", layouts.names()),
        ("mmn-edge layouts map ", layouts.names()),
        ("mmn-edge layouts map halpe136 ", layouts.names()),
        ("mmn-edge train x.pkl --recipe ", recipe.names()),
        ("mmn-edge recipes ", recipe.names()),
    ],
)
def test_names_are_completed(line: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(line, monkeypatch) == [f"plain,{name}" for name in names]
    first = next(iter(names))
    assert f"plain,{first}" in completed(line + first[:2], monkeypatch)
    assert not [one for one in completed(line + "q", monkeypatch) if one.startswith("plain")]


def test_a_recipe_may_be_a_file_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("mmn-edge train x.pkl --recipe my", monkeypatch) == ["file,my"]


def test_every_field_of_a_recipe_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [line.removeprefix("plain,") for line in completed("mmn-edge train x.pkl --set ", monkeypatch)]
    assert {"stream=", "optim.lr=", "augment.mirror=", "qat.keep="} <= set(offered)
    values = recipe.load("paper").to_dict()
    values.pop("name")
    fields = [
        f"{key}.{inner}" if inner else key
        for key, value in values.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]
    assert offered == [f"{field}=" for field in fields]
    assert completed("mmn-edge recipes paper --set optim.war", monkeypatch) == [
        "plain,optim.warmup_lr=",
        "plain,optim.warmup_epochs=",
    ]

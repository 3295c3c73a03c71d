import pytest

from mmn_edge import presets
from mmn_edge.errors import UsageError
from mmn_edge.train import recipe
from mmn_edge.train.recipe import Recipe, learning_rate


def test_the_papers_schedule() -> None:
    paper = Recipe()
    steps = 175
    assert learning_rate(paper, 0, steps) == pytest.approx(1e-7)
    assert learning_rate(paper, 10 * steps, steps) == pytest.approx((1e-7 + 1e-3) / 2)
    # The cosine's clock is not shifted by the warm-up: after 20 of 120 epochs it stands at a sixth, not at zero.
    assert learning_rate(paper, 20 * steps, steps) == pytest.approx(1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + 3**0.5 / 2))
    assert learning_rate(paper, 60 * steps, steps) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(paper, 120 * steps, steps) == pytest.approx(1e-5)


def test_the_papers_numbers() -> None:
    paper = recipe.get("ma52")
    assert (paper.weight_decay, paper.batch_size, paper.epochs, paper.label_smoothing) == (0.1, 64, 120, 0.1)
    assert (paper.drop_path, paper.head_drop, paper.seed, paper.erase) == (0.3, 0.1, 1, 0.2)
    assert recipe.get("imigue").erase == 0.0


def test_every_recipe_belongs_to_a_preset() -> None:
    assert set(recipe.RECIPES) == set(presets.PRESETS)


def test_changes_and_nonsense() -> None:
    assert Recipe().with_values(epochs=3, lr=None).epochs == 3
    with pytest.raises(UsageError, match="at least 1 epoch"):
        Recipe(epochs=0)
    with pytest.raises(UsageError, match="learning rate"):
        Recipe(lr=0)
    with pytest.raises(UsageError, match="sampling"):
        Recipe(sampling="odd")

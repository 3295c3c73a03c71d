from pathlib import Path

import pytest
import yaml

from mmn_edge.errors import UsageError
from mmn_edge.train import recipe
from mmn_edge.train.recipe import load


def test_the_papers_numbers() -> None:
    paper = load("ma52-joint")
    optim, model = paper.optim, paper.model
    assert (optim.weight_decay, optim.batch_size, optim.epochs, optim.label_smoothing) == (0.1, 64, 120, 0.1)
    assert (optim.lr, optim.min_lr, optim.warmup_lr, optim.warmup_epochs) == (1e-3, 1e-5, 1e-7, 20)
    assert (model.drop_path, model.head_drop, model.frames, model.width, model.depth) == (0.3, 0.1, 64, 96, 3)
    assert (paper.seed, paper.augment.erase, paper.data.sampling, paper.data.crop) == (1, 0.2, "random", 1)
    assert not any((optim.clip_norm, optim.ema, optim.shift_cosine, paper.data.mixup, paper.data.balance))
    assert {name: value for name, value in vars(paper.augment).items() if value and name != "erase"} == {}
    assert load("imigue-joint").augment.erase == 0.0


@pytest.mark.parametrize("name", recipe.names())
def test_every_packaged_recipe_is_whole_and_says_what_it_is(name: str) -> None:
    loaded = load(name)
    assert loaded.name == name
    assert recipe.text(name).startswith("# ")
    if loaded.stream != "joint":
        assert f"-{loaded.stream}" in name


def test_the_recipes_that_users_ask_for_are_there() -> None:
    wanted = {
        f"{data}-{stream}{plus}"
        for data in ("ma52", "imigue")
        for stream in ("joint", "bone")
        for plus in ("", "-plus")
    }
    wanted |= {f"nw-ucla-{stream}" for stream in ("joint", "bone", "joint-motion", "bone-motion")} | {"synthetic"}
    assert wanted <= set(recipe.names())
    assert load("nw-ucla-bone-motion").stream == "bone-motion"
    assert load("nw-ucla-bone-motion").augment == load("nw-ucla-joint-motion").augment


def test_every_field_is_explained_in_the_paper_recipe() -> None:
    for line in recipe.text("paper").splitlines():
        field = line.split("#")[0].strip()
        if field and not field.endswith(":"):
            assert "#" in line, line


def test_changes_on_the_command_line() -> None:
    changed = load(
        "paper", ["optim.lr=5e-4", "stream=bone", "model.width=32", "optim.compile=true", "augment.rotate=15"]
    )
    assert (changed.optim.lr, changed.stream, changed.model.width) == (5e-4, "bone", 32)
    assert changed.optim.compile is True
    assert load("paper", ["qat.keep=*.mapping,DSs.*"]).qat.keep == "*.mapping,DSs.*"
    assert changed.augment.rotate == 15.0
    assert isinstance(changed.augment.rotate, float)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: nw-ucla-joint\noptim: {lr: 2e-3}\n")
    (tmp_path / "mine.yml").write_text("extends: base.yaml\nseed: 7\n")
    mine = load(str(tmp_path / "mine.yml"))
    assert (mine.optim.lr, mine.seed, mine.preset, mine.name) == (2e-3, 7, "nw-ucla", "mine")


def test_a_resolved_recipe_is_a_recipe(tmp_path: Path) -> None:
    resolved = load("nw-ucla-bone", ["optim.ema=0.9"])
    values = resolved.to_dict()
    values.pop("name")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(values))
    assert load(str(tmp_path / "again.yaml")) == resolved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optim.lr", "section.field=value"),
        ("optim.learning=1", "no field optim.learning: optim. has optimizer"),
        ("mode=1", "no field mode"),
        ("optim=1", "optim must be a mapping"),
        ("optim.lr=fast", "optim.lr must be of type float, not 'fast'"),
        ("optim.lr=true", "optim.lr must be of type float"),
        ("optim.epochs=1.5", "optim.epochs must be of type int"),
        ("optim.compile=1", "optim.compile must be of type bool"),
        ("optim.epochs=0", "at least 1 epoch"),
        ("optim.lr=0", "learning rate"),
        ("optim.accumulate=3", "evenly"),
        ("optim.ema=1", "below 1"),
        ("data.crop=0", "above 0"),
        ("data.sampling=odd", "choose one of random, uniform"),
        ("stream=feet", "choose one of joint"),
        ("augment.noise=-1", "must not be negative"),
        ("data.mixup=-1", "data.mixup=-1.0 must not be negative"),
        ("data.workers=-1", "data.workers=-1 must not be negative"),
        ("seed=-1", "seed=-1 must not be negative"),
        ("optim.clip_norm=-1", "must not be negative"),
        ("optim.patience=-1", "must not be negative"),
        ("preset=mars", "unknown preset"),
        ("optim.lr=[", "no YAML"),
    ],
)
def test_nonsense_is_named(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[").replace(".", r"\.")):
        load("paper", [change])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown recipe 'pasta'"):
        load("pasta")
    with pytest.raises(UsageError, match="cannot read"):
        load(str(tmp_path / "none.yaml"))
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match="must be a mapping"):
        load(str(tmp_path / "a.yaml"))
    (tmp_path / "loop.yaml").write_text("extends: loop.yaml\n")
    with pytest.raises(UsageError, match="extends itself"):
        load(str(tmp_path / "loop.yaml"))
    (tmp_path / "code.yaml").write_text("seed: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UsageError, match="no YAML"):
        load(str(tmp_path / "code.yaml"))

"""Training recipes: every number that shapes a run, in one place, stored with the checkpoint.

A recipe is a YAML file. ``paper.yaml`` names and explains every field; the others say which recipe they extend and
what they change. A value can be changed once more on the command line (``--set optim.lr=5e-4``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from mmn_edge.errors import UsageError
from mmn_edge.model import presets
from mmn_edge.model.task import DETECT, TASKS
from mmn_edge.skeleton.preprocess import STREAMS
from mmn_edge.system.extras import require

__all__ = ["Augment", "Data", "Detect", "Model", "Optim", "Qat", "Recipe", "load", "names", "text"]

SUFFIXES = (".yaml", ".yml")
SAMPLINGS = ("random", "uniform")
LOSSES = ("bce", "asymmetric")
OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
TEXTS = ("qat.keep",)
"""Fields that ``--set`` takes as they are: patterns begin with a star, which means something else in YAML."""


@dataclass(frozen=True)
class Model:
    """The network."""

    width: int
    depth: int
    frames: int
    drop_path: float
    head_drop: float


@dataclass(frozen=True)
class Optim:
    """The optimisation."""

    optimizer: str
    epochs: int
    batch_size: int
    accumulate: int
    lr: float
    min_lr: float
    warmup_lr: float
    warmup_epochs: float
    shift_cosine: bool
    weight_decay: float
    decay_all: bool
    clip_norm: float
    body_rate: float
    label_smoothing: float
    ema: float
    patience: int
    precision: str
    compile: bool
    graph: bool


@dataclass(frozen=True)
class Data:
    """How clips become batches."""

    sampling: str
    crop: float
    balance: float
    logit_adjustment: float
    mixup: float
    workers: int | None


@dataclass(frozen=True)
class Augment:
    """Changes of the raw clip before the window is taken, and of the window after it."""

    rotate: float
    tilt: float
    shear: float
    perspective: float
    mirror: float
    speed: float
    roll: float
    parts: float
    stray: float
    noise: float
    drop_part: float
    drop_frames: float
    lower_edge: float
    erase: float


@dataclass(frozen=True)
class Qat:
    """Quantization-aware fine-tuning."""

    enabled: bool
    keep: str
    calibration_clips: int
    distillation: float
    temperature: float
    freeze_norm: bool


@dataclass(frozen=True)
class Detect:
    """What a network that detects learns; without effect on one that classifies."""

    loss: str
    focus: float


@dataclass(frozen=True)
class Recipe:
    """How to train; ``mmn_edge/data/recipes/paper.yaml`` explains every field."""

    preset: str | None
    task: str
    stream: str
    seed: int
    model: Model
    optim: Optim
    data: Data
    augment: Augment
    detect: Detect
    qat: Qat
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        optim, data = self.optim, self.data
        if self.preset is not None:
            presets.get(self.preset)
        _choice("task", self.task, TASKS)
        _choice("stream", self.stream, STREAMS)
        _choice("detect.loss", self.detect.loss, LOSSES)
        _choice("data.sampling", data.sampling, SAMPLINGS)
        _choice("optim.optimizer", optim.optimizer, OPTIMIZERS)
        _choice("optim.precision", optim.precision, PRECISIONS)
        if optim.epochs < 1 or optim.batch_size < 2:
            raise UsageError(
                f"a run needs at least 1 epoch and a batch of 2 (BatchNorm), not {optim.epochs} and {optim.batch_size}"
            )
        if optim.accumulate < 1 or optim.batch_size % optim.accumulate:
            raise UsageError(
                f"optim.accumulate={optim.accumulate} must divide optim.batch_size={optim.batch_size} evenly"
            )
        if not optim.lr > 0:
            raise UsageError(f"the learning rate must be positive, not {optim.lr}")
        for name, value, high in (
            ("optim.ema", optim.ema, 1.0),
            ("optim.label_smoothing", optim.label_smoothing, 1.0),
            ("model.drop_path", self.model.drop_path, 1.0),
            ("model.head_drop", self.model.head_drop, 1.0),
        ):
            if not 0 <= value < high:
                raise UsageError(f"{name}={value} must be at least 0 and below {high:g}")
        for name, number in (
            ("seed", self.seed),
            ("optim.weight_decay", optim.weight_decay),
            ("optim.clip_norm", optim.clip_norm),
            ("optim.body_rate", optim.body_rate),
            ("optim.patience", optim.patience),
            ("data.balance", data.balance),
            ("data.logit_adjustment", data.logit_adjustment),
            ("data.mixup", data.mixup),
            ("data.workers", data.workers or 0),
        ):
            if number < 0:
                raise UsageError(f"{name}={number} must not be negative")
        if not 0 < self.detect.focus <= 1:
            raise UsageError(f"detect.focus={self.detect.focus} must be above 0 and at most 1 (the whole window)")
        if self.task == DETECT:
            # Of one class among several; here each class is a question of its own.
            for name, number in (
                ("optim.label_smoothing", optim.label_smoothing),
                ("data.balance", data.balance),
                ("data.logit_adjustment", data.logit_adjustment),
            ):
                if number:
                    raise UsageError(f"{name}={number} is for the task classify: set it to 0 for detect")
            if data.crop != 1 or self.augment.roll or self.augment.speed:
                raise UsageError(
                    "data.crop, augment.roll and augment.speed change when things happen in a window, which the task "
                    "detect learns: leave them out"
                )
        if not 0 < data.crop <= 1:
            raise UsageError(f"data.crop={data.crop} must be above 0 and at most 1 (the whole clip)")
        for part in fields(Augment):
            if getattr(self.augment, part.name) < 0:
                raise UsageError(f"augment.{part.name} must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready and YAML-ready values, resolved: without ``extends``."""
        return asdict(self)


def names() -> tuple[str, ...]:
    """The recipes that come with mmn-edge."""
    return tuple(sorted(entry.name[:-5] for entry in _folder().iterdir() if entry.name.endswith(".yaml")))


def text(name: str) -> str:
    """A packaged recipe's file as it is written, comments included.

    Raises:
        UsageError: There is no such recipe.
    """
    if name not in names():
        raise UsageError(f"unknown recipe {name!r}: choose one of {', '.join(names())}, or name a .yaml file")
    content: str = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return content


def load(name: str, changes: Iterable[str] = (), *, qat: bool = False) -> Recipe:
    """Resolve a recipe.

    Args:
        name: A packaged recipe, or the path of a YAML file.
        changes: ``section.field=value`` each, applied last.
        qat: Turn the recipe into one of quantization-aware fine-tuning, see ``mmn_edge/data/qat.yaml``.

    Raises:
        UsageError: An unknown recipe or field, or a value of the wrong kind.
        MissingDependencyError: PyYAML is not installed.
    """
    values = _resolve(name, ())
    if qat:
        overlay = (resources.files("mmn_edge") / "data" / "qat.yaml").read_text(encoding="utf-8")
        values = _merge(values, _parse(overlay, "qat.yaml"))
    for change in changes:
        path, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change!r} changes nothing: write it as section.field=value, as in optim.lr=5e-4")
        nested: Any = value if path.strip() in TEXTS else _parse(value, f"--set {change}")
        for key in reversed(path.strip().split(".")):
            nested = {key: nested}
        values = _merge(values, nested)
    recipe = _build(Recipe, values, "", {"name": Path(name).stem})
    assert isinstance(recipe, Recipe)
    return recipe


def _folder() -> Any:
    return resources.files("mmn_edge") / "data" / "recipes"


def _resolve(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """The values of a recipe on top of those that it extends."""
    if name in seen:
        raise UsageError(f"recipe {name} extends itself: {' -> '.join((*seen, name))}")
    if name.endswith(SUFFIXES):
        try:
            content = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read recipe {name}: {error}") from error
    else:
        content = text(name)
    values = _parse(content, name)
    if not isinstance(values, dict):
        raise UsageError(f"recipe {name} must be a mapping of fields to values")
    values = dict(values)
    base = values.pop("extends", "paper" if name != "paper" else None)
    if base is None:
        return values
    if str(base).endswith(SUFFIXES) and not Path(str(base)).is_absolute():
        base = str(Path(name).parent / str(base))
    return _merge(_resolve(str(base), (*seen, name)), values)


def _parse(content: str, origin: str) -> Any:
    require("yaml", extra="train", purpose="Reading a recipe")
    import yaml

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise UsageError(f"{origin} is no YAML: {' '.join(str(error).split())}") from error


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _build(kind: type[Any], values: Any, where: str, given: Mapping[str, Any]) -> Any:
    """A dataclass from nested values, with every unknown, missing or mistyped field named."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where.rstrip('.')} must be a mapping of fields to values, not {values!r}")
    hints = get_type_hints(kind)
    known = [entry.name for entry in fields(kind) if entry.name not in given]
    if unknown := [str(key) for key in values if key not in known]:
        raise UsageError(f"a recipe has no field {where}{unknown[0]}: {where or 'it'} has {', '.join(known)}")
    built = dict(given)
    for name in known:
        if name not in values:
            raise UsageError(f"the recipe lacks {where}{name}")
        hint, value = hints[name], values[name]
        if isinstance(hint, type) and is_dataclass(hint):
            built[name] = _build(hint, value, f"{where}{name}.", {})
        else:
            built[name] = _value(hint, value, f"{where}{name}")
    return kind(**built)


def _value(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the field's type; YAML reads 1e-3 as text, and 1 where a float is meant as an integer."""
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, bool):
        if hint is bool:
            return value
    elif isinstance(value, hint):  # also str | None
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{where} must be of type {expected}, not {value!r}")


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"unknown {name} {value!r}: choose one of {', '.join(allowed)}")

"""The numbers that a decoder decides by: one set for all classes, and exceptions for some."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from mmn_edge.errors import CheckpointError, UsageError
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window

__all__ = ["REST", "ClassParameters", "DecoderParameters", "described_decoder", "shifted"]

REST = "rest"
"""A class of this name is taken for the declared rest class where parameters are made for a label set."""

LONGEST = 3600.0
"""Seconds; no duration among the parameters is longer."""

SENSITIVITY_RANGE = 6.0
"""Logits between the thresholds of sensitivity 0 and those of sensitivity 1."""


@dataclass(frozen=True)
class ClassParameters:
    """How a class becomes an event.

    Attributes:
        enter: Smoothed probability from which on it goes on.
        leave: Smoothed probability below which it does so no longer; at most ``enter``.
        smoothing: Seconds, time constant of the exponential smoothing; 0: none.
        min_duration: Seconds that an event lasts at least; a live start waits until it is known to.
        merge_gap: Seconds of a break that do not end an event; a live end waits that long.
        cooldown: Seconds after an end in which the class does not begin again.
        onset_lag: Seconds by which the crossing of ``enter`` trails the true onset.
        offset_lag: Seconds by which the crossing of ``leave`` trails the true offset.

    Raises:
        UsageError: A number out of range.
    """

    enter: float = 0.5
    leave: float = 0.35
    smoothing: float = 0.25
    min_duration: float = 0.4
    merge_gap: float = 0.4
    cooldown: float = 0.0
    onset_lag: float = 1.0
    offset_lag: float = 1.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"the decoder's {entry.name} must be a number, not {value!r}")
        if not 0 < self.leave <= self.enter < 1:
            raise UsageError(
                f"the decoder's leave ({self.leave:g}) must be above 0 and not above enter ({self.enter:g}), and that "
                "below 1"
            )
        for name in ("smoothing", "min_duration", "merge_gap", "cooldown", "onset_lag", "offset_lag"):
            if not 0 <= getattr(self, name) <= LONGEST:
                raise UsageError(f"the decoder's {name} must be from 0 to {LONGEST:g} s, not {getattr(self, name):g}")


@dataclass(frozen=True)
class DecoderParameters:
    """What a :class:`mmn_edge.events.decoder.Decoder` decides by; stored in a bundle's manifest.

    Attributes:
        default: For every class.
        classes: Instead of that, for the classes that are named.
        group: For events of which only the body-level group is sure; None: there are none.
        rest: The class that stands for nothing; None: nothing is when no class is sure.
        exclusive: Sets of classes of which a person does one at a time; None: the classes of each body-level group.
        allow: Classes that become events; empty: all.
        deny: Classes that never do.
        min_seen: Share of joints that must have been seen; a prediction from fewer counts for nothing. Besides, the
            bundle's ``enough_seen`` decides what has an answer at all.
        switch_margin: How much likelier another class of an exclusive set must be to end one that goes on.
        sensitivity: 0 to 1; higher finds more, and finds more that is not there. 0.5 takes the thresholds as they are.

    Raises:
        UsageError: A number out of range, or a class in two exclusive sets.
    """

    default: ClassParameters = ClassParameters()
    classes: Mapping[str, ClassParameters] = field(default_factory=lambda: MappingProxyType({}))
    group: ClassParameters | None = None
    rest: str | None = None
    exclusive: tuple[tuple[str, ...], ...] | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    min_seen: float = 0.0
    switch_margin: float = 0.1
    sensitivity: float = 0.5

    def __post_init__(self) -> None:
        for name in ("min_seen", "switch_margin", "sensitivity"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UsageError(f"the decoder's {name} must be from 0 to 1, not {value!r}")
        listed = [label for labels in self.exclusive or () for label in labels]
        if twice := sorted({label for label in listed if listed.count(label) > 1}):
            raise UsageError(f"the decoder's exclusive sets name {twice[0]!r} twice: a class belongs to one of them")

    @classmethod
    def for_model(cls, labels: Labels, task: str, window: Window, *, focus: float = 1.0) -> DecoderParameters:
        """Where nothing was tuned: thresholds in the middle, times from the window's length.

        Args:
            labels: The model's classes.
            task: ``classify`` or ``detect``.
            window: The live window.
            focus: Share of the window, up to its end, that probabilities speak of.
        """
        lag = 0.5 * focus * window.seconds
        default = ClassParameters(onset_lag=lag, offset_lag=lag)
        group = replace(default, enter=0.85, leave=0.6, min_duration=1.0) if labels.groups else None
        rest = REST if task == "classify" and REST in labels.classes else None
        return cls(default=default, group=group, rest=rest)

    def changed(self, changes: Mapping[str, Any]) -> DecoderParameters:
        """Some of them replaced, as a file or options name them: within a section what is not named stays.

        Raises:
            UsageError: An unknown name, or a value of the wrong kind or out of range.
        """
        values = self.to_dict()
        for name, value in changes.items():
            old = values.get(name)
            values[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, Mapping) else value
        return DecoderParameters.from_dict(values)

    def of(self, label: str) -> ClassParameters:
        """The parameters of a class."""
        return self.classes.get(label, self.default)

    def check(self, labels: Labels) -> None:
        """Raise UsageError where a class is named that the model does not have."""
        named: Iterable[str] = (
            *self.classes,
            *self.allow,
            *self.deny,
            *(label for one in self.exclusive or () for label in one),
            *((self.rest,) if self.rest is not None else ()),
        )
        for label in named:
            if label not in labels.classes:
                raise UsageError(f"the decoder's parameters name the class {label!r}, which the model does not have")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values; of a class only what differs from the default."""
        default = asdict(self.default)
        classes = {
            label: {name: value for name, value in asdict(own).items() if value != default[name]}
            for label, own in self.classes.items()
        }
        return {
            "default": default,
            "classes": classes,
            "group": asdict(self.group) if self.group else None,
            "rest": self.rest,
            "exclusive": [list(one) for one in self.exclusive] if self.exclusive is not None else None,
            "allow": list(self.allow),
            "deny": list(self.deny),
            "min_seen": self.min_seen,
            "switch_margin": self.switch_margin,
            "sensitivity": self.sensitivity,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DecoderParameters:
        """The inverse of :meth:`to_dict`; what is left out is as in :class:`DecoderParameters`.

        Raises:
            UsageError: An unknown name, or a value of the wrong kind or out of range.
        """
        _known(values, [entry.name for entry in fields(cls)], "the decoder's parameters")
        given = dict(values)
        default = _class(ClassParameters(), given.get("default"), "default") or ClassParameters()
        given["default"] = default
        classes = given.get("classes") or {}
        if not isinstance(classes, Mapping):
            raise UsageError("the decoder's classes must be a mapping of class names to parameters")
        own = {str(label): _class(default, changes, str(label)) or default for label, changes in classes.items()}
        given["classes"] = MappingProxyType(own)
        given["group"] = _class(ClassParameters(), given.get("group"), "group")
        if given.get("exclusive") is not None:
            given["exclusive"] = tuple(_texts(one, "exclusive") for one in _list(given["exclusive"], "exclusive"))
        for name in ("allow", "deny"):
            given[name] = _texts(given.get(name) or (), name)
        if not isinstance(given.get("rest"), str | None):
            raise UsageError(f"the decoder's rest must name a class, not {given['rest']!r}")
        return cls(**given)


def described_decoder(description: Mapping[str, Any], labels: Labels, origin: object) -> dict[str, Any] | None:
    """The parameters that a checkpoint or a manifest holds, checked; None where nobody set any.

    Raises:
        CheckpointError: They are broken, or name classes that the model does not have.
    """
    values = description.get("decoder")
    if values is None:
        return None
    try:
        if not isinstance(values, Mapping):
            raise UsageError(f"the decoder's parameters must be a mapping, not {values!r}")
        parameters = DecoderParameters.from_dict(values)
        parameters.check(labels)
    except UsageError as error:
        raise CheckpointError(f"{origin} has a broken decoder: {error}") from error
    return parameters.to_dict()


def shifted(threshold: float, sensitivity: float) -> float:
    """A threshold as ``sensitivity`` moves it, in logits: lower where that is above 0.5."""
    logit = math.log(threshold / (1 - threshold)) + SENSITIVITY_RANGE * (0.5 - sensitivity)
    return 1 / (1 + math.exp(-logit))


def _class(base: ClassParameters, values: Any, where: str) -> ClassParameters | None:
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise UsageError(f"the decoder's {where} must be a mapping of names to numbers, not {values!r}")
    _known(values, [entry.name for entry in fields(ClassParameters)], f"the decoder's {where}")
    return replace(base, **values)


def _known(values: Mapping[str, Any], names: list[str], where: str) -> None:
    if unknown := [name for name in values if name not in names]:
        raise UsageError(f"{where} have no {unknown[0]!r}: there are {', '.join(names)}")


def _list(value: Any, name: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"the decoder's {name} must be a list, not {value!r}")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    texts = tuple(_list(value, name))
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"the decoder's {name} must list class names, not {value!r}")
    return texts

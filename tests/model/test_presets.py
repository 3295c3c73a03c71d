from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.model import labels, presets
from mmn_edge.model.presets import PRESETS, Window
from mmn_edge.skeleton import layouts


@pytest.mark.parametrize("name", PRESETS)
def test_layout_and_labels_of_every_preset_exist(name: str) -> None:
    preset = presets.get(name)
    assert layouts.get(preset.layout).channels == preset.in_channels
    if preset.labels is not None:
        assert len(labels.get(preset.labels)) > 1
    assert preset.window.frames == 64


def test_an_unknown_preset() -> None:
    with pytest.raises(UsageError, match="unknown preset 'mars': choose one of ma52, imigue"):
        presets.get("mars")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((44, 52, 2), "ma52"),
        ((22, 32, 2), "imigue"),
        ((44, 13, 2), "synthetic"),
        ((44, 52, 3), None),
        ((44, 51, 2), None),
        ((20, 10, 3), None),  # NW-UCLA's data brings its own class names
    ],
)
def test_guess(shape: tuple[int, int, int], expected: str | None) -> None:
    assert presets.guess(*shape) == expected


def test_two_presets_that_fit_are_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "twin", PRESETS["ma52"])
    assert presets.guess(44, 52, 2) is None


def test_window_defaults() -> None:
    assert astuple(Window()) == (64, 2.0, 0.25)


@pytest.mark.parametrize(
    "values",
    [{"seconds": 0.0}, {"seconds": -1.0}, {"stride": 0.0}, {"frames": 0}, {"seconds": math.nan}, {"stride": math.inf}],
)
def test_a_window_must_be_positive(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        Window(**values)  # type: ignore[arg-type]

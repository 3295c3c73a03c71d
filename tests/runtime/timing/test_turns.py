from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.drift.windows import sample_windows
from mmn_edge.runtime.backends.backend import Backend, open_backend
from mmn_edge.runtime.timing import turns
from mmn_edge.runtime.timing.turns import measure_in_turns


def test_precisions_take_turns_and_one_is_loaded_at_a_time(
    small_precisions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(small_precisions)
    order: list[str] = []

    @contextmanager
    def watched(*arguments: object, precision: str, **options: object) -> Iterator[Backend]:
        order.append(f"+{precision}")
        with open_backend(bundle, precision=precision) as model:
            yield model
        order.append(f"-{precision}")

    monkeypatch.setattr(turns, "open_backend", watched)
    inputs = {"keypoints": sample_windows(bundle.manifest.architecture, count=1)}
    rounds: list[int] = []
    spent = measure_in_turns(bundle, ["fp32", "int8"], inputs, rounds=2, seconds=1e-6, on_round=rounds.append)
    assert order == ["+fp32", "-fp32", "+int8", "-int8"] * 2
    assert rounds == [0, 1]
    assert {precision: len(times) for precision, times in spent.items()} == {"fp32": 10, "int8": 10}
    assert min(np.concatenate([spent["fp32"], spent["int8"]])) > 0

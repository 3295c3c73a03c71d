"""Ids that do not follow a person: a window begins anew at every exchange, and one note says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

EXCHANGE = 15.0
"""Seconds at which the two of ``switch_once`` change ids."""


@pytest.fixture
def told(
    situation: Callable[[str], Path], mmn_edge: Callable[..., Result], small_bundle: Path
) -> Callable[[str], tuple[dict[tuple[int, float], str], str]]:
    def run(name: str) -> tuple[dict[tuple[int, float], str], str]:
        result = mmn_edge("run", "--emit", "predictions", "-m", small_bundle, situation("id_switch") / f"{name}.jsonl")
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        return {(line["person"], line["time"]): line["label"] for line in lines}, result.stderr

    return run


def test_nobody_jumps_where_ids_are_right(told: Callable[[str], tuple[dict[tuple[int, float], str], str]]) -> None:
    labels, said = told("right")
    assert len(labels) == 224
    assert "jumped" not in said


def test_each_body_keeps_its_labels_after_one_exchange(
    told: Callable[[str], tuple[dict[tuple[int, float], str], str]],
) -> None:
    right, _ = told("right")
    switched, said = told("switch_once")
    assert said.count("note:") == 1
    assert "person 0 jumped at 15.0 s: ids must follow a person" in said
    assert not [time for _, time in switched if EXCHANGE <= time < EXCHANGE + 1.95]
    agree = [
        right[1 - person if time >= EXCHANGE else person, time] == label
        for (person, time), label in switched.items()
        if (person, time) in right
    ]
    assert len(agree) > 200
    assert all(agree)


@pytest.mark.parametrize(("name", "most"), [("order_by_confidence", 20), ("every_2_s", 30)])
def test_ids_that_change_all_the_time_are_not_believed(
    name: str, most: int, told: Callable[[str], tuple[dict[tuple[int, float], str], str]]
) -> None:
    labels, said = told(name)
    assert len(labels) <= most  # one for each stretch in which an id stayed with a person for a while
    assert said.count("note:") == 1
    assert "person 0 jumped" in said

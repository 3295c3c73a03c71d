"""Time stamps that are no clock in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mmn_edge.errors import DataError

WORDS = {
    "frame_numbers": "a window of 2 s holds only 3 frames: are these frame numbers? Times are seconds",
    "one_fps": "a window of 2 s holds only 3 frames",
    "whole_seconds": "a window of 2 s holds only 3 different times: are the times rounded? Times are seconds",
    "clock_stands_still": "32 frames in a row have the time 5 s: the clock stands still",
}


@pytest.mark.parametrize("name", WORDS)
def test_a_file_is_refused(
    name: str, situation: Callable[[str], Path], mmn_edge: Callable[..., Result], small_bundle: Path
) -> None:
    result = mmn_edge(
        "run", "--emit", "predictions", "-m", small_bundle, situation("time_is_no_clock") / f"{name}.jsonl"
    )
    assert isinstance(result.exception, DataError)
    assert WORDS[name] in str(result.exception)
    assert not result.stdout


@pytest.mark.parametrize("name", WORDS)
def test_a_pipe_is_silent_after_one_note(
    name: str, situation: Callable[[str], Path], mmn_edge: Callable[..., Result], small_bundle: Path
) -> None:
    text = (situation("time_is_no_clock") / f"{name}.jsonl").read_text()
    result = mmn_edge("run", "--emit", "predictions", "-m", small_bundle, "-", stdin=text)
    assert result.exit_code == 0, result.output
    assert not result.stdout
    assert result.stderr.count("note:") == 1
    assert "the time stamps were no clock, so there was nothing to predict" in result.stderr
    assert WORDS[name] in result.stderr


def test_a_good_clock_is_believed(
    situation: Callable[[str], Path], mmn_edge: Callable[..., Result], small_bundle: Path
) -> None:
    result = mmn_edge("run", "--emit", "predictions", "-m", small_bundle, situation("time_is_no_clock") / "good.jsonl")
    assert result.stdout.count("\n") == 112
    assert "note:" not in result.stderr

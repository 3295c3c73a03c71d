from __future__ import annotations

import json

import pytest

from mmn_edge.bundle.advice import Advice, Candidate, advise
from mmn_edge.errors import VerificationError


def candidate(precision: str, milliseconds: float, *broken: str) -> Candidate:
    return Candidate(precision, "made up", milliseconds, milliseconds, 50, 0.99, 0.01, None, broken)


def choose(*candidates: Candidate) -> tuple[str, dict[str, str]]:
    advice = advise(candidates, windows="9 windows", machine={"machine": "an abacus"})
    return advice.precision, {entry.precision: entry.verdict for entry in advice.candidates}


def test_the_fastest_within_its_limits_is_chosen() -> None:
    chosen, verdicts = choose(candidate("fp32", 8.0), candidate("fp16", 4.0), candidate("int8", 2.0))
    assert chosen == "int8"
    assert verdicts == {
        "fp32": "slower: fp16 is 2.00 times as fast and within its limits",
        "fp16": "slower: int8 is 2.00 times as fast and within its limits",
        "int8": "chosen: the fastest within its limits",
    }


def test_int8_that_is_not_faster_than_fp16_is_refused_with_the_figures() -> None:
    chosen, verdicts = choose(candidate("fp32", 8.0), candidate("fp16", 4.0), candidate("int8", 5.0))
    assert chosen == "fp16"
    assert verdicts["int8"] == "refused: 5.00 ms are not 5 % less than the 4.00 ms of fp16, which is more exact"


def test_on_a_cpu_where_fp16_is_slow_int8_is_held_against_fp32() -> None:
    chosen, verdicts = choose(candidate("fp32", 8.0), candidate("fp16", 12.0), candidate("int8", 9.0))
    assert chosen == "fp32"
    assert "the 8.00 ms of fp32" in verdicts["fp16"]
    assert "the 8.00 ms of fp32" in verdicts["int8"]


def test_a_little_faster_is_not_worth_being_less_exact() -> None:
    assert choose(candidate("fp32", 8.0), candidate("int8", 7.7))[0] == "fp32"
    assert choose(candidate("fp32", 8.0), candidate("int8", 7.5))[0] == "int8"


def test_what_drifts_is_refused_however_fast() -> None:
    chosen, verdicts = choose(candidate("fp32", 8.0), candidate("fp16", 4.0), candidate("int8", 1.0, "it drifts"))
    assert chosen == "fp16"
    assert verdicts["int8"] == "refused: it drifts"
    assert choose(candidate("fp32", 4.0, "it drifts"), candidate("fp16", 8.0))[0] == "fp16"
    with pytest.raises(VerificationError, match="no precision stays within its limits on 9 windows: fp32 refused: it"):
        choose(candidate("fp32", 4.0, "it drifts"))


def test_an_advice_survives_the_manifest() -> None:
    advice = advise([candidate("fp32", 8.0), candidate("int8", 9.0, "a", "b")], windows="9 windows", machine={"a": "b"})
    assert Advice.from_dict(json.loads(json.dumps(advice.to_dict()))) == advice


def test_advice_from_another_machine_is_said_and_from_this_one_is_not() -> None:
    nano = {"machine": "NVIDIA Jetson Orin Nano", "cores": "6", "python": "3.10.12"}
    advice = advise([candidate("fp32", 8.0), candidate("int8", 2.0)], windows="9 windows", machine=nano)
    assert advice.elsewhere({**nano, "python": "3.12.1", "memory": "7.4 GiB"}) is None
    sentence = advice.elsewhere({"machine": "x86_64", "processor": "AMD EPYC", "cores": "2"})
    assert sentence is not None
    assert "int8 was measured on another machine (NVIDIA Jetson Orin Nano 6; this is x86_64 AMD EPYC 2)" in sentence

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, Interval, Recording, group_label
from mmn_edge.events.picture import FALSE, FOUND, MISSED, RIGHT, draw

SVG = "{http://www.w3.org/2000/svg}"


def interval(start: float, end: float, label: str = "nodding", **more: Any) -> Interval:
    return Interval(more.pop("recording", "talk"), start, end, label, **more)


def bars(svg: str) -> dict[str, str]:
    """The colour of each bar by its tooltip."""
    found = {}
    for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        hint = rect.find(f"{SVG}title")
        if hint is not None:
            found[hint.text or ""] = rect.get("stroke") or rect.get("fill") or ""
    return found


def titles(svg: str) -> list[str]:
    texts = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [text.text or "" for text in texts if text.get("font-weight") == "bold"]


def test_colours_say_what_is_right() -> None:
    truth = AnnotationSet((interval(1, 3), interval(5, 7, "waving")))
    predicted = AnnotationSet((interval(1, 2.5, score=0.9), interval(8, 9, "shaking legs", score=0.25)))
    svg = draw(predicted, "talk", truth=truth)
    assert bars(svg) == {
        "nodding, 1.00 to 3.00 s": FOUND,
        "waving, 5.00 to 7.00 s": MISSED,
        "nodding, 1.00 to 2.50 s, score 0.90": RIGHT,
        "shaking legs, 8.00 to 9.00 s, score 0.25": FALSE,
    }
    assert titles(svg) == ["talk", "head", "upper limb", "lower limb"]  # in the label set's order


def test_persons_have_rows_of_their_own() -> None:
    two = AnnotationSet((interval(1, 3, person="Ann"), interval(1, 3, person="Bob")))
    assert titles(draw(two, "talk")) == ["talk", "Ann: head", "Bob: head"]
    one, other = AnnotationSet((interval(1, 3, person="Ann"),)), AnnotationSet((interval(1, 2, person="0"),))
    svg = draw(other, "talk", truth=one)
    assert titles(svg) == ["talk", "head"]  # one and the same
    assert FOUND in bars(svg).values()


def test_labels_of_no_set_have_a_row_each() -> None:
    svg = draw(AnnotationSet((interval(1, 3, "sneezing"), interval(2, 4, "yawning"))), "talk")
    assert titles(svg) == ["talk", "sneezing", "yawning"]


def test_a_quiet_recording_and_body_level_groups() -> None:
    quiet = AnnotationSet(recordings={"talk": Recording("talk", watched=(0, 20))})
    assert titles(draw(quiet, "talk")) == ["talk", "nothing"]
    found = AnnotationSet((interval(1, 3, score=0.5), interval(4, 5, group_label("head"))))
    svg = draw(found, "talk", truth=quiet)
    assert bars(svg)["nodding, 1.00 to 3.00 s, score 0.50"] == FALSE
    assert "body-level group only" in svg


def test_a_part_of_the_time() -> None:
    svg = draw(AnnotationSet((interval(1, 3), interval(5, 7, "waving"))), "talk", start=4, end=8)
    assert titles(svg) == ["talk", "upper limb"]
    with pytest.raises(DataError, match="nothing is to be drawn of recording talk from 4 s to 3 s"):
        draw(AnnotationSet((interval(1, 3),)), "talk", start=4)
    with pytest.raises(DataError, match="recording 'walk' is not annotated: there is talk"):
        draw(AnnotationSet((interval(1, 3),)), "walk")

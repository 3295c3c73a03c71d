from __future__ import annotations

import math
from typing import Any

import pytest

from mmn_edge.errors import DataError
from mmn_edge.events.interval import AnnotationSet, Interval, Recording, group_label


def interval(
    start: float = 1.0, end: float = 2.0, label: str = "nodding", recording: str = "talk", **more: Any
) -> Interval:
    return Interval(recording, start, end, label, **more)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": -0.5}, r"the start is negative \(-0.5 s\)"),
        ({"start": math.nan}, "the start must be a number of seconds, not nan"),
        ({"end": math.inf}, "the end must be a number of seconds, not inf"),
        ({"end": 1e12}, "the end must be a number of seconds"),
        ({"end": 1.0}, "has no length"),
        ({"end": 0.5}, r"the end \(0.5 s\) is before the start \(1 s\)"),
        ({"label": ""}, "the label is empty"),
        ({"recording": ""}, "the recording is empty"),
        ({"label": "nod\nding"}, "holds a line break"),
        ({"person": "x" * 1001}, "longer than 1000"),
        ({"score": math.nan}, "the score must be a number"),
    ],
)
def test_what_is_no_interval_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        interval(**changes)


def test_a_body_level_group_is_no_class() -> None:
    event = interval(label=group_label("head"))
    assert (event.label, event.group) == ("group:head", "head")
    assert interval().group is None
    assert AnnotationSet((event, interval())).labels == ("nodding",)


@pytest.mark.parametrize("values", [{"duration_s": 0}, {"fps": -1}, {"watched": (2, 1)}, {"watched": (-1, 1)}])
def test_what_is_no_recording_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Recording("talk", **values)


def test_watched_and_not_annotated_are_different_things() -> None:
    listed = {
        "quiet": Recording("quiet", 60.0, 30.0, (0.0, 60.0)),
        "talk": Recording("talk", 60.0, 30.0, (5.0, 60.0)),
        "unseen": Recording("unseen", 60.0, 30.0),
    }
    found = AnnotationSet((interval(),), listed)
    assert found.annotated == ("quiet", "talk")
    assert found.watched("talk") == (5.0, 60.0)
    assert found.watched("unseen") is None
    assert found.by_recording() == {"quiet": (), "talk": (interval(),)}

    unlisted = AnnotationSet((interval(),), empty=frozenset({"quiet"}))
    assert unlisted.annotated == ("quiet", "talk")
    assert unlisted.watched("talk") is None

    with pytest.raises(DataError, match="says that nobody watched it"):
        AnnotationSet((interval(recording="unseen"),), listed)
    with pytest.raises(
        DataError, match=r"'talk.mp4' holds annotations and is not in recordings.csv, which lists quiet, "
    ):
        AnnotationSet((interval(recording="talk.mp4"),), listed)


def test_intervals_come_in_order_and_by_person() -> None:
    first, second, other = interval(1, 9), interval(2, 3), interval(0, 5, person="b")
    found = AnnotationSet((second, other, first))
    assert found.intervals == (other, first, second)
    assert found.by_person("talk") == {"": (first, second), "b": (other,)}
    assert found.by_person("quiet") == {}


def test_overlaps_are_of_one_person_and_label() -> None:
    long, inside, touching = interval(1, 9), interval(2, 3), interval(9, 10)
    last = interval(8, 8.5)
    found = AnnotationSet((long, inside, touching, last, interval(2, 3, "waving"), interval(2, 3, person="b")))
    assert list(found.overlaps()) == [(long, inside), (long, last)]


def test_joining_keeps_what_each_set_says() -> None:
    one = AnnotationSet((interval(extra=(("a", "1"),)),), notes=("x",))
    two = AnnotationSet((interval(3, 4, extra=(("b", "2"),)),), empty=frozenset({"quiet"}), notes=("x", "y"))
    both = AnnotationSet.joined([two, one])
    assert both.intervals == (*one.intervals, *two.intervals)
    assert both.columns == ("a", "b")
    assert both.empty == {"quiet"}
    assert sorted(both.notes) == ["x", "y"]
    talk = Recording("talk", watched=(0, 9))
    with pytest.raises(DataError, match="different things of recording 'talk'"):
        AnnotationSet.joined([AnnotationSet(recordings={"talk": talk})], [Recording("talk", watched=(0, 8))])

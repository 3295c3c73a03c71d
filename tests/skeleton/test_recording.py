from __future__ import annotations

import io
import json
import random
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mmn_edge.errors import DataError, LayoutError, TruncatedError
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray, Frame, Person
from mmn_edge.skeleton.recording import MAX_COORDINATE, MAX_LINE, MAX_PERSONS, format_frame, parse_frame, read_frames

JOINTS = 22
Values = dict[str, Any]


def person(**changes: Any) -> Values:
    return {"id": 0, "keypoints": [[1.5, 2.5]] * JOINTS, "scores": [0.5] * JOINTS, **changes}


def line(*persons: Any, **changes: Any) -> str:
    return json.dumps({"time": 0.5, "layout": "imigue", "persons": list(persons), **changes})


def bits(array: FloatArray) -> npt.NDArray[np.uint32]:
    """The bits of a float32 array, with one pattern for all NaN."""
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


def any_floats(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Float32 of all magnitudes: every bit pattern of a number up to 1e30 is equally likely."""
    values = rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    return np.where(np.abs(values) <= MAX_COORDINATE, values, np.float32(0.1))


@pytest.mark.parametrize(("layout", "channels"), [("imigue", 2), ("nw-ucla", 3)])
def test_float32_comes_back_bit_for_bit(layout: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    joints = layouts.get(layout).num_joints
    frames = []
    for k in range(100):
        keypoints = any_floats(rng, (2, joints, channels))
        scores = rng.random((2, joints), dtype=np.float32) + np.float32(1e-30)
        missing = rng.random((2, joints)) < 0.2
        keypoints[missing], scores[missing] = np.nan, 0
        persons = tuple(Person(p, keypoints[p], scores[p]) for p in range(2))
        frames.append(Frame(k / 30, layout, persons if k % 10 else ()))
    text = "\n".join(format_frame(frame) for frame in frames)
    assert all("NaN" not in text and json.loads(entry) for entry in text.splitlines())
    for found, frame in zip(read_frames(io.StringIO(text), origin="x"), frames, strict=True):
        assert (found.time, found.layout) == (frame.time, frame.layout)
        for one, other in zip(found.persons, frame.persons, strict=True):
            assert one.id == other.id
            assert one.keypoints.dtype == one.scores.dtype == np.float32
            assert np.array_equal(bits(one.keypoints), bits(other.keypoints))
            assert np.array_equal(bits(one.scores), bits(other.scores))


def one(keypoints: list[Any], layout: str = "imigue", frame: dict[str, Any] | None = None, **person: Any) -> Person:
    values = {"time": 0, "layout": layout, "persons": [{"id": 0, "keypoints": keypoints, **person}], **(frame or {})}
    return parse_frame(json.dumps(values), where="here").persons[0]


def test_what_a_live_run_left_out_is_noted() -> None:
    frame = parse_frame(line(person()), where="x")
    assert frame.runs is None
    assert "runs" not in format_frame(frame)
    for runs in ((), ((0, 3), (1,))):
        noted = replace(frame, runs=runs)
        assert parse_frame(format_frame(noted), where="x").runs == runs


def test_a_third_number_in_a_layout_of_two_coordinates_is_the_confidence() -> None:
    person = one([[3, 4, 0.9], [0, 0, 0], None] + [[5, 6, 0.4]] * (JOINTS - 3))
    assert person.keypoints.shape == (JOINTS, 2)
    assert person.scores[:4].tolist() == pytest.approx([0.9, 0, 0, 0.4])
    assert np.isnan(person.keypoints[1:3]).all()
    with pytest.raises(DataError, match="here: person 0 has three numbers a keypoint"):
        one([[3, 4, 700]] * JOINTS)
    with pytest.raises(DataError, match="leave one of the two out"):
        one([[3, 4, 0.9]] * JOINTS, scores=[0.8] * JOINTS)


def test_scores_beyond_1_are_refused_unless_declared() -> None:
    with pytest.raises(DataError, match="here has scores up to 90,"):
        one([[3, 4]] * JOINTS, scores=[5] + [90] * (JOINTS - 1))
    person = one([[3, 4]] * JOINTS, frame={"score_scale": 100}, scores=[5] + [90] * (JOINTS - 1))
    assert person.scores[:2].tolist() == pytest.approx([0.05, 0.9])
    for scale in (0, "x", None):
        with pytest.raises(DataError, match='here: "score_scale" is what scores are divided by'):
            one([[3, 4]] * JOINTS, frame={"score_scale": scale})


def test_scores_may_be_left_out_and_a_joint_without_keypoint_or_score_is_not_seen() -> None:
    points: list[Any] = [[1, 2]] * JOINTS
    points[3] = None
    (found,) = parse_frame(line({"id": 7, "keypoints": points}), where="x").persons
    assert found.id == 7
    assert found.scores.tolist() == [float(joint != 3) for joint in range(JOINTS)]
    assert np.flatnonzero(np.isnan(found.keypoints).any(axis=1)).tolist() == [3]

    scores = [0.5] * JOINTS
    scores[5] = 0
    (found,) = parse_frame(line(person(keypoints=points, scores=scores)), where="x").persons
    assert np.flatnonzero(found.scores == 0).tolist() == [3, 5]
    assert np.flatnonzero(np.isnan(found.keypoints).all(axis=1)).tolist() == [3, 5]


def test_a_person_of_whom_nothing_was_seen() -> None:
    (found,) = parse_frame(line({"keypoints": [None] * JOINTS}), where="x").persons
    assert found.keypoints.shape == (JOINTS, 2)
    assert np.isnan(found.keypoints).all()
    assert not found.scores.any()


def test_declared_axes_are_turned_into_those_of_the_layout() -> None:
    points = [[0.1 * k, 0.5, 2.0] for k in range(25)]
    text = line({"keypoints": points}, layout="kinect-v2", axes=["right", "down", "away"])
    (found,) = parse_frame(text, where="x").persons
    expected = np.array(points, dtype=np.float32) * np.float32([-1, -1, 1])
    np.testing.assert_array_equal(found.keypoints, expected)


def test_declared_axes_of_a_place_in_an_image() -> None:
    (found,) = parse_frame(line(person(), axes=["right", "up"]), where="x").persons
    np.testing.assert_array_equal(found.keypoints[0], [1.5, -2.5])


def test_a_long_text_among_the_numbers_takes_no_room() -> None:
    """NumPy would give each of the 44 items of the list as much room as the longest text takes."""
    text = line(person(keypoints=[["x" * 1_000_000, 1.0], *[[1.0, 2.0]] * (JOINTS - 1)]))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="not a list of 2 numbers"):
            parse_frame(text, where="x")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["time", "layout", "score_scale", "axes", "id"])
def test_what_is_wrong_is_quoted_shortly(key: str) -> None:
    long = "x" * 1_000_000
    text = line(person(id=long)) if key == "id" else line(person(), **{key: long})
    with pytest.raises(DataError) as caught:
        parse_frame(text, where="x")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line(person(id=2**64)), '"id" must be a whole number of 64 bits'),
        (line(person(), score_scale=10**400), '"score_scale" is what'),
        (line(person(), axes=["right", "up", "away"]), "have 2 coordinates .right, down., not right, up, away"),
        (line(person(), axes=["right", "away"]), "have 2 coordinates .right, down., not right, away"),
        (line(person(), axes="up"), '"axes" names where'),
        (line(person(scores={"a": 1})), '"scores" must be'),
        (line(person(scores=3)), '"scores" must'),
        (line(person(scores=[[0.5]] * JOINTS)), '"scores" must be'),
        (line(person(keypoints=[{"x": 1}] * JOINTS)), "not a list of 2 numbers"),
        ("time,layout", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("[]", "is no frame"),
        ("null", "is no frame"),
        ("{}", "is no frame"),
        (line(persons={}), "is no frame"),
        (line(time=True), '"time" must be a number of seconds, not True'),
        (line(time=None), '"time" must be'),
        (line(time="0"), '"time" must be'),
        (line(time=float("nan")), '"time" must be .* not nan'),
        (line(time=float("inf")), '"time" must be .* not inf'),
        (line(time=10**400), '"time" must be'),
        (line(layout=3), '"layout" must name'),
        (line(*[person(id=k) for k in range(MAX_PERSONS + 1)]), "holds 65 persons; at most 64"),
        (line(person(), person(id=1), person()), r"two persons have the same id \(\[0, 1, 0\]\)"),
        (line(3), 'a person needs an "id" and a list'),
        (line({"id": 0}), 'a person needs an "id" and a list'),
        (line(person(id=True)), '"id" must be a whole number'),
        (line(person(id="0")), '"id" must be a whole number'),
        (line(person(id=1.0)), '"id" must be a whole number'),
        (line(person(keypoints=[[1, 2]] * 21)), "person 0 has 21 keypoints, and layout imigue has 22"),
        (line(person(keypoints=[[1]] * JOINTS)), "2 or 3 coordinates, not 1"),
        (line(person(keypoints=[[]] * JOINTS)), "2 or 3 coordinates, not 0"),
        (line(person(keypoints=[[1, 2]] * 21 + [[1, 2, 3]])), "not a list of 2 numbers"),
        (line(person(keypoints=[1] * JOINTS)), "not a list of 2 numbers"),
        (line(person(keypoints=[[[1], [2]]] * JOINTS)), "not a list of 2 numbers"),
        (line(person(keypoints=[["x", "y"]] * JOINTS)), "not a list of 2 numbers"),
        (line(person(keypoints=[[1, 10**400]] * JOINTS)), "not a list of 2 numbers"),
        (line(person(keypoints=[[1, float("nan")]] * JOINTS)), "joint 0 .* is NaN or infinite: write null"),
        (line(person(keypoints=[[1, 1e300]] * JOINTS)), "joint 0 .* is NaN or infinite"),
        (line(person(keypoints=[[1, 3.4e38]] * JOINTS)), "joint 0 .* is NaN or infinite"),
        (line(person(keypoints=[[1, None]] * JOINTS)), "not a list of 2 numbers"),
        (line(person(scores=[1] * 21)), '"scores" must hold 22 numbers'),
        (line(person(scores=[-1] * JOINTS)), '"scores" must hold 22 numbers'),
        (line(person(scores=[1e300] * JOINTS)), '"scores" must hold 22 numbers'),
        (line(person(scores=[float("nan")] * JOINTS)), '"scores" must hold 22 numbers'),
        (line(person(scores=0.5)), '"scores" must hold 22 numbers'),
        (line(person(scores={})), '"scores" must be a list of numbers'),
        (line(person(scores=["x"] * JOINTS)), '"scores" must be a list of numbers'),
        (line(person(scores=[10**400] * JOINTS)), '"scores" must be a list of numbers'),
        (line(person(), runs=3), '"runs" must be a list of lists'),
        (line(person(), runs=[0]), '"runs" must be a list of lists'),
        (line(person(), runs=[[True]]), '"runs" must be a list of lists'),
        (line(person(), runs=[[]] * 2000), '"runs" must be a list of lists'),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_lines_that_are_no_frames(text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^x:? .*{message}"):
        parse_frame(text, where="x")


@pytest.mark.parametrize("name", ["mars", "", "../labels/ma52", "\ud800"])
def test_an_unknown_layout(name: str) -> None:
    with pytest.raises(LayoutError, match="unknown skeleton layout"):
        parse_frame(line(layout=name), where="x")


@pytest.mark.parametrize("values", [{"keypoints": [["1", "2"]] * JOINTS}, {"scores": [True] * JOINTS}])
def test_text_and_booleans_are_no_numbers(values: Values) -> None:
    with pytest.raises(DataError):
        parse_frame(line(person(**values)), where="x")


def test_errors_name_the_line_and_empty_lines_count() -> None:
    frames = read_frames(io.StringIO(f"{line()}\n\n   \n{line()}\nbroken\n"), origin="talk.jsonl")
    assert next(frames).time == next(frames).time == 0.5
    with pytest.raises(DataError, match=r"^talk\.jsonl, line 5 is not JSON"):
        next(frames)


def test_time_may_stand_still_but_not_run_backwards() -> None:
    text = "\n".join(line(time=time) for time in (-1, 0.5, 0.5, 0.25))
    frames = read_frames(io.StringIO(text), origin="x")
    assert [next(frames).time for _ in range(3)] == [-1, 0.5, 0.5]
    with pytest.raises(DataError, match=r"x, line 4: time runs backwards, from 0\.5 s to 0\.25 s"):
        next(frames)


def test_a_line_of_the_longest_length_is_read_and_a_longer_one_refused_without_reading_on() -> None:
    file = io.StringIO(line().ljust(MAX_LINE - 1) + "\n" + " " * (3 * MAX_LINE))
    frames = read_frames(file, origin="x")
    assert next(frames).time == 0.5
    with pytest.raises(DataError, match="x, line 2 is longer than 4194304 characters"):
        next(frames)
    assert file.tell() == 2 * MAX_LINE + 1


def test_a_pipe_is_read_no_further_than_the_frame_yielded() -> None:
    file = io.StringIO(f"{line()}\n{line()}\n")
    next(read_frames(file, origin="x"))
    assert file.tell() == len(line()) + 1


def mutated(text: str, rng: random.Random) -> str:
    """A line with some of it cut out, doubled, overwritten, or replaced by a value of another kind."""
    odd = ["null", "true", "-1", "1e999", "NaN", "1" * 400, '""', '"x"', "[]", "{}", "[[[[]]]]", "\x00", "\ud800", "\\"]
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 3, 30]))
        text = text[:start] + rng.choice([*odd, "", text[start:end] * 2, rng.choice('{}[],:"0123456789')]) + text[end:]
    return text


def replaced(values: Any, rng: random.Random) -> Any:
    """A JSON value with one part, chosen by chance, of another kind: always JSON, rarely a frame."""
    odd = [None, True, -1, 0, 1e308, 10**400, float("nan"), "", "x", "5", [], {}, [[]], [None] * JOINTS, {"id": 0}]
    if isinstance(values, dict | list) and values and rng.random() < 0.85:
        key = rng.choice(list(values)) if isinstance(values, dict) else rng.randrange(len(values))
        changed = values.copy()
        changed[key] = replaced(values[key], rng)
        return changed
    return rng.choice(odd)


def test_whatever_a_line_holds_it_is_a_frame_or_a_data_error() -> None:
    rng = random.Random(0)
    sound = line(person(), person(id=1, keypoints=[None, *[[1, 2]] * (JOINTS - 1)]))
    refused = 0
    for k in range(1000):
        text = mutated(sound, rng) if k % 2 else json.dumps(replaced(json.loads(sound), rng))
        try:
            frame = parse_frame(text, where="x")
        except DataError:
            refused += 1
        else:
            for found in frame.persons:
                assert found.keypoints.shape[0] == JOINTS
                seen = found.scores > 0
                assert np.isfinite(found.keypoints[seen]).all()
                assert np.isnan(found.keypoints[~seen]).all()
    assert 300 < refused < 1000  # the mutations are neither all harmless nor all fatal


def test_a_mark_before_utf8_is_passed_over() -> None:
    text = "\ufeff" + line(person()) + "\n"
    assert len(list(read_frames(io.StringIO(text), origin="r"))) == 1


def test_a_last_line_that_breaks_off_is_an_early_end() -> None:
    whole = line(person()) + "\n"
    found = []
    with pytest.raises(TruncatedError, match="r, line 2 breaks off: the recording ends early"):
        found.extend(read_frames(io.StringIO(whole + whole[:40]), origin="r"))
    with pytest.raises(DataError, match="line 1 is not JSON") as caught:  # nothing came before
        list(read_frames(io.StringIO(whole[:40]), origin="r"))
    assert not isinstance(caught.value, TruncatedError)
    with pytest.raises(DataError, match="line 2 is not JSON"):
        list(read_frames(io.StringIO(whole + whole[:40] + "\n" + whole), origin="r"))


def test_scores_under_another_name_are_not_passed_over() -> None:
    values = person(confidences=[0.1] * JOINTS)
    del values["scores"]
    with pytest.raises(DataError, match='person 0 has "confidences", and scores of joints are read from "scores"'):
        parse_frame(line(values), where="line 1")
    values = person(score=0.9)  # of the person
    del values["scores"]
    assert (parse_frame(line(values), where="line 1").persons[0].scores == 1).all()

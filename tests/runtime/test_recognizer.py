import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import BundleError, DataError, LayoutError
from mmn_edge.runtime.backends.backend import Backend, Output, open_backend
from mmn_edge.runtime.recognizer import Prediction, Recognizer
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.skeleton.frame import FloatArray, Frame, Person
from mmn_edge.skeleton.layouts import get
from mmn_edge.skeleton.missing import fill_missing
from mmn_edge.skeleton.preprocess import Preprocessing, features


class Spy:
    """A real backend that remembers what it was fed."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.fed: list[Mapping[str, FloatArray]] = []
        self.name = inner.name

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        self.fed.append(inputs)
        return self._inner.run(inputs)


@pytest.fixture
def spy(small_bundle: Path) -> Iterator[tuple[Bundle, Spy]]:
    bundle = Bundle.open(small_bundle)
    with open_backend(bundle) as backend:
        yield bundle, Spy(backend)


def clip_observations(label: str = "waving", fps: float = 32.0, person: int = 0) -> list[Observation]:
    keypoints, scores = clips.clip(label, np.random.default_rng(0), seconds=2.0 + 1 / fps, fps=fps)
    return [
        Observation(Frame(k / fps, "ma52", (Person(person, keypoints[k], scores[k]),)), {"pose": 1.0})
        for k in range(len(keypoints))
    ]


def test_a_live_window_equals_the_clip_offline(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    observations = clip_observations()
    assert len(observations) == 65
    (prediction,) = Recognizer(bundle, backend).run(observations)  # type: ignore[arg-type]
    # The same clip as a data set would give it, through the NumPy preprocessing and the features of the network.
    layout = get("ma52")
    clip = fill_missing(np.stack([o.frame.persons[0].keypoints for o in observations]), layout.bones)
    fed = backend.fed[0]["keypoints"][0]
    x, _ = features(clip, Preprocessing.for_layout(layout, "joint"))
    y, _ = features(fed, Preprocessing.for_layout(layout, "joint"))
    np.testing.assert_allclose(y, x, atol=0.05)  # 64 of 65 frames: the extremes may lie in the one left out
    session = onnxruntime.InferenceSession(str(bundle.model()), providers=["CPUExecutionProvider"])
    probabilities = session.run(["probabilities"], {"keypoints": fed[None]})[0][0]
    assert prediction.label == bundle.manifest.labels.classes[probabilities.argmax()]
    assert prediction.probability == pytest.approx(probabilities.max(), abs=1e-6)
    assert prediction.group == bundle.manifest.labels.group_of(int(probabilities.argmax()))
    assert [p for _, p in prediction.top] == sorted(probabilities, reverse=True)[:5]
    assert set(prediction.latency_ms) == {"pose", "prepare", "infer", "total"}
    assert prediction.latency_ms["total"] == pytest.approx(sum(prediction.latency_ms.values()) / 2)


def test_persons_due_together_go_in_one_batch_and_do_not_mix(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    first, second = clip_observations("waving", person=3), clip_observations("rest", person=8)
    both = [
        Observation(Frame(a.frame.time, "ma52", (*a.frame.persons, *b.frame.persons)))
        for a, b in zip(first, second, strict=True)
    ]
    together = list(Recognizer(bundle, backend).run(both))  # type: ignore[arg-type]
    assert [p.person for p in together] == [3, 8]
    assert [len(fed["keypoints"]) for fed in backend.fed] == [2]
    (alone,) = Recognizer(bundle, backend).run(second)  # type: ignore[arg-type]
    assert together[1].label == alone.label
    assert together[1].probability == pytest.approx(alone.probability, abs=1e-5)


def test_a_stream_shorter_than_a_window_gives_one_prediction(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    predictions = list(Recognizer(bundle, backend).run(clip_observations()[:20]))  # type: ignore[arg-type]
    assert len(predictions) == 1


def test_at_the_end_of_a_short_stream_each_person_has_its_last_time(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    first, second = clip_observations(person=3)[:15], clip_observations(person=8)[:20]
    persons = [(*a.frame.persons, *b.frame.persons) for a, b in zip(first, second, strict=False)]
    both = [Observation(replace(o.frame, persons=p)) for o, p in zip(first, persons, strict=True)]
    predictions = list(Recognizer(bundle, backend).run([*both, *second[15:]]))  # type: ignore[arg-type]
    assert {p.person: p.time for p in predictions} == {3: first[-1].frame.time, 8: second[-1].frame.time}


def moved(observations: list[Observation], *, start: float, person: int, by: float = 0.0) -> list[Observation]:
    """The same stream at another time, under another id, at another place."""
    return [
        Observation(
            Frame(start + o.frame.time, "ma52", tuple(replace(p, id=person, keypoints=p.keypoints + by) for p in ps))
        )
        for o in observations
        for ps in [o.frame.persons]
    ]


def merged(*streams: list[Observation]) -> list[Observation]:
    frames: dict[float, tuple[Person, ...]] = {}
    for observation in sorted((o for stream in streams for o in stream), key=lambda o: o.frame.time):
        frames[observation.frame.time] = (*frames.get(observation.frame.time, ()), *observation.frame.persons)
    return [Observation(Frame(time, "ma52", persons)) for time, persons in frames.items()]


def told(predictions: Iterable[Prediction], person: int) -> list[tuple[float, str | None, float]]:
    return [(p.time, p.label, round(p.probability or 0, 4)) for p in predictions if p.person == person]


def test_a_visitor_gets_the_same_one_prediction_whoever_else_is_there(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    host = merged(*(moved(clip_observations(), start=k * 65 / 32, person=0) for k in range(3)))
    visitor = moved(clip_observations("rest")[:58], start=1.0, person=7, by=2000.0)  # 1.8 s
    alone = list(Recognizer(bundle, backend).run(visitor))  # type: ignore[arg-type]
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    together = list(recognizer.run(merged(host, visitor)))
    assert told(together, 7) == told(alone, 7)
    assert len(told(together, 7)) == 1
    assert together.index(next(p for p in together if p.person == 7)) < len(together) - 1, "not before it has left"
    assert told(together, 0) == told(Recognizer(bundle, backend).run(host), 0)  # type: ignore[arg-type]
    assert (recognizer.brief, recognizer.too_brief) == (1, 0)


def test_twenty_visitors_get_a_prediction_each(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    clip = clip_observations()[:48]  # 1.5 s
    visits = [moved(clip, start=k * 1.5, person=k) for k in range(20)]
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    predictions = list(recognizer.run(merged(*visits)))
    assert [p.person for p in predictions] == list(range(20))
    assert recognizer.brief == 20


def test_a_body_that_jumps_begins_a_new_window_and_is_noted_once(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    one, other = clip_observations("waving"), clip_observations("rest")
    shots = [moved((one, other)[k % 2], start=k * 65 / 32, person=0, by=3000.0 * k) for k in range(4)]
    notes: list[str] = []
    recognizer = Recognizer(bundle, backend, on_note=notes.append)  # type: ignore[arg-type]
    predictions = list(recognizer.run(merged(*shots)))
    assert [p.time for p in predictions] == [k * 65 / 32 + 2.0 for k in range(4)]
    windows = [fed["keypoints"][0] - 3000.0 * k for k, fed in enumerate(backend.fed)]
    np.testing.assert_allclose(windows[2], windows[0], atol=0.01)
    np.testing.assert_allclose(windows[3], windows[1], atol=0.01)
    assert notes == ["person 0 jumped at 2.0 s: ids must follow a person. A window begins anew"]
    assert recognizer.jumps == 3


def test_numbers_that_are_no_clock_end_a_file_and_silence_a_live_stream(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    numbered = [replace(o, frame=replace(o.frame, time=float(k))) for k, o in enumerate(clip_observations())]
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a window of 2 s holds only 3 frames: are these frame numbers"):
        list(recognizer.run(numbered))
    notes: list[str] = []
    live = Recognizer(bundle, backend, live=True, on_note=notes.append)  # type: ignore[arg-type]
    for number, observation in enumerate(numbered):
        assert not live.feed(observation)
        assert len(notes) == (number >= 3), "at once, and once"
    assert not live.finish()
    assert "are these frame numbers" in notes[0]
    assert not backend.fed


def test_a_clock_that_stops_for_a_while_costs_that_while(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    clip = clip_observations()
    first, second = moved(clip, start=0.0, person=0), moved(clip, start=3.0, person=0)
    still = [replace(o, frame=replace(o.frame, time=first[-1].frame.time)) for o in first]
    notes: list[str] = []
    recognizer = Recognizer(bundle, backend, on_note=notes.append)  # type: ignore[arg-type]
    times = [p.time for p in recognizer.run([*first, *still, *second])]
    assert times[0] == 2.0
    assert times[-1] == pytest.approx(5.0, abs=0.1)
    assert len(notes) == 1
    assert "the clock stands still" in notes[0]


def test_a_person_who_passes_by_at_the_end_gets_none(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    observations = clip_observations(person=0)
    time = observations[-1].frame.time
    other = clip_observations(person=5)[:3]
    passing = [Observation(Frame(time + 0.1 + k / 30, "ma52", o.frame.persons)) for k, o in enumerate(other)]
    predictions = list(Recognizer(bundle, backend).run([*observations, *passing]))  # type: ignore[arg-type]
    assert [p.person for p in predictions] == [0]


def test_a_person_of_whom_nothing_is_seen_is_not_there(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    observations = clip_observations(fps=32.0)
    unseen = [
        Observation(replace(o.frame, persons=(replace(p, keypoints=np.full_like(p.keypoints, np.nan)),)))
        for o in observations
        for p in o.frame.persons
    ]
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    assert not list(recognizer.run(unseen))
    hidden = [*observations[:16], *unseen[16:]]
    (prediction,) = Recognizer(bundle, backend).run(hidden[:20])  # type: ignore[arg-type]
    assert prediction.person == 0
    (gone,) = Recognizer(bundle, backend).run(hidden)  # type: ignore[arg-type]
    assert gone.time == observations[15].frame.time
    assert gone.top == prediction.top


def test_other_layouts_are_mapped_or_refused(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    halpe = get("halpe136")
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    recognizer.check_layout("halpe136")
    points = np.random.default_rng(0).normal(300, 40, (halpe.num_joints, 2)).astype(np.float32)
    person = Person(0, points, np.ones(halpe.num_joints, np.float32))
    for time in np.arange(0, 2.2, 0.1):
        recognizer.feed(Observation(Frame(float(time), "halpe136", (person,))))
    np.testing.assert_array_equal(backend.fed[0]["keypoints"][0, 0, 32], points[94])
    with pytest.raises(LayoutError, match="nw-ucla"):
        recognizer.check_layout("nw-ucla")
    wrong = Person(0, points[:20], np.ones(20, np.float32))
    with pytest.raises(LayoutError):
        recognizer.feed(Observation(Frame(9.0, "nw-ucla", (wrong,))))


def test_features_bundles_are_fed_features(small_bundle: Path, small_features_bundle: Path) -> None:
    observations = clip_observations()
    labels = []
    for path in (small_bundle, small_features_bundle):
        bundle = Bundle.open(path)
        with open_backend(bundle) as backend:
            (prediction,) = Recognizer(bundle, backend).run(observations)
        labels.append((prediction.label, round(prediction.probability, 3)))
    assert labels[0] == labels[1]


def test_bundles_that_cannot_be_fed_from_a_stream(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    manifest = bundle.manifest
    nameless = Bundle(bundle.path, replace(manifest, layout=None, preprocessing=None))
    with pytest.raises(BundleError, match="--preset"):
        Recognizer(nameless, backend)  # type: ignore[arg-type]
    pair = Bundle(bundle.path, replace(manifest, architecture=replace(manifest.architecture, num_people=2)))
    with pytest.raises(BundleError, match="2 persons in one window"):
        Recognizer(pair, backend)  # type: ignore[arg-type]
    renamed = Bundle(bundle.path, replace(manifest, joints=("x", *manifest.joints[1:])))
    with pytest.raises(BundleError, match="other joints"):
        Recognizer(renamed, backend)  # type: ignore[arg-type]


def with_only(observations: list[Observation], joints: int) -> list[Observation]:
    """The same stream, in which all but the first joints have the score of a guess, at a place of their own."""
    kept = []
    for observation in observations:
        (person,) = observation.frame.persons
        keypoints, scores = person.keypoints.copy(), person.scores.copy()
        keypoints[joints:], scores[joints:] = 5000.0, 0.19
        hidden = replace(person, keypoints=keypoints, scores=scores)
        kept.append(Observation(replace(observation.frame, persons=(hidden,))))
    return kept


def test_every_prediction_says_what_share_was_seen(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    observations = clip_observations()
    (prediction,) = Recognizer(bundle, backend).run(observations)  # type: ignore[arg-type]
    scores = np.stack([o.frame.persons[0].scores for o in observations])
    assert prediction.seen == pytest.approx((scores >= 0.2).mean(), abs=0.01)
    assert prediction.to_dict()["seen"] == round(prediction.seen, 3)
    assert "reason" not in prediction.to_dict()


def test_too_little_to_see_gets_no_answer_and_the_model_is_not_asked(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    recognizer = Recognizer(bundle, backend)  # type: ignore[arg-type]
    (prediction,) = recognizer.run(with_only(clip_observations(), 1))
    assert (prediction.label, prediction.probability, prediction.group, prediction.top) == (None, None, None, ())
    assert prediction.reason == "not enough seen"
    assert prediction.seen == pytest.approx(1 / 44, abs=0.005)
    assert (backend.fed, recognizer.not_enough_seen) == ([], 1)
    line = json.loads(json.dumps(prediction.to_dict(), allow_nan=False))
    assert line["label"] is line["probability"] is None
    assert (line["top5"], line["reason"]) == ([], "not enough seen")
    (asked,) = Recognizer(bundle, backend, enough_seen=0.01).run(  # type: ignore[arg-type]
        with_only(clip_observations(), 1)
    )
    assert asked.label is not None
    strict = replace(bundle, manifest=replace(bundle.manifest, enough_seen=1.0))
    (refused,) = Recognizer(strict, backend).run(clip_observations())  # type: ignore[arg-type]
    assert refused.reason == "not enough seen"


def test_one_who_is_hardly_seen_does_not_silence_another(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    hidden, plain = with_only(clip_observations(person=1), 2), clip_observations(person=7)
    first, second = Recognizer(bundle, backend).run(merged(hidden, moved(plain, start=0, person=7, by=3e3)))  # type: ignore[arg-type]
    assert (first.person, first.reason) == (1, "not enough seen")
    assert (second.person, second.reason) == (7, None)
    assert [len(fed["keypoints"]) for fed in backend.fed] == [1]


def test_a_layout_that_can_never_show_enough_is_an_error_at_the_start(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    Recognizer(bundle, backend).check_layout("coco17")  # type: ignore[arg-type]
    with pytest.raises(LayoutError, match="coco17 shows at most 50 % of the joints of ma52, and the model"):
        Recognizer(bundle, backend, enough_seen=0.6).check_layout("coco17")  # type: ignore[arg-type]


class NaNBackend(Spy):
    """A backend whose model overflows."""

    def run(self, inputs: Mapping[str, FloatArray]) -> Output:
        output = super().run(inputs)
        return Output(output.logits * np.float32(np.nan), output.probabilities * np.float32(np.nan))


def test_a_model_that_gives_nan_gives_no_label(spy: tuple[Bundle, Spy]) -> None:
    bundle, backend = spy
    recognizer = Recognizer(bundle, NaNBackend(backend))  # type: ignore[arg-type]
    (prediction,) = recognizer.run(clip_observations())
    assert (prediction.label, prediction.probability, prediction.top) == (None, None, ())
    assert prediction.reason == "the model gave no finite number"
    assert recognizer.not_finite == 1
    json.dumps(prediction.to_dict(), allow_nan=False)

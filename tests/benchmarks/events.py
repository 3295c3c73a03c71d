"""How good events are on synthetic scenes whose seeds were neither trained nor tuned on.

    python tests/benchmarks/events.py DETECT.bundle CLASSIFY.bundle [--scenes 60] [--rest-hours 10] [--tune 20]

DETECT.bundle is of the task detect, with its decoder tuned; CLASSIFY.bundle of the task classify, on the same people. A
scene is a minute. The baseline is runs of windows whose likeliest class is the same.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.datasets.synthetic.scenes import Scene, scene
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.events.scoring import score
from mmn_edge.events.series import Series
from mmn_edge.events.tuning import fit
from mmn_edge.model import labels
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.event_stage import parameters_of
from mmn_edge.runtime.prediction_series import model_of, predict_series
from mmn_edge.runtime.sources.source import Observation
from mmn_edge.system import machine

TUNE, TEST, REST = 700_000, 900_000, 950_000
"""First seeds."""

NAMES = labels.get("synthetic-scenes")
MIN_PROBABILITY, MIN_PREDICTIONS, MERGE_SECONDS = 0.5, 2, 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detect", type=Path)
    parser.add_argument("classify", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--tune", type=int, default=20)
    parser.add_argument("--rest-hours", type=float, default=10.0)
    parser.add_argument("--rates", type=int, default=20, help="Scenes that are played at several frame rates.")
    arguments = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()), flush=True)
    detect, classify = Bundle.open(arguments.detect), Bundle.open(arguments.classify)
    tuned, usual = parameters_of(detect), parameters_of(classify)
    test = minutes(TEST, arguments.scenes)
    truth = annotations(test)
    print(f"\n{arguments.scenes} scenes of a minute, {len(truth.intervals)} events")

    found = series(detect, test)
    plain = DecoderParameters.for_model(NAMES, "detect", detect.manifest.window, focus=0.25)
    tell("(c) task detect, decoder tuned", truth, model_of(detect).annotations(found, tuned))
    tell("    the same, looking ahead", truth, model_of(detect).annotations(found, tuned, look_ahead=True))
    tell("    decoder not tuned", truth, model_of(detect).annotations(found, plain))
    for precision in sorted(set(detect.manifest.models) - {"fp32"}):
        other = series(detect, test, precision=precision)
        tell(f"    (c) in {precision}", truth, model_of(detect).annotations(other, tuned))

    found = series(classify, test)
    names = classify.manifest.labels.classes
    tell("(a) baseline", truth, baseline(found, names, 0.0))
    tell("    the same, moved back by half a window", truth, baseline(found, names, 1.0))
    tell("(b) decoder on task classify", truth, model_of(classify).annotations(found, usual))
    practice = minutes(TUNE, arguments.tune)
    fitted = fit(model_of(classify), series(classify, practice), annotations(practice), usual)
    tell("    the same, tuned", truth, model_of(classify).annotations(found, fitted))

    count = round(arguments.rest_hours * 30)
    rest = {f"rest{number}": scene(120.0, REST + number, activity=0.0) for number in range(count)}
    events = model_of(detect).annotations(series(detect, rest), tuned)
    hours = count / 30
    total = len(events.intervals)
    print(f"\nrest and fidgets, {hours:.1f} h: {total} events, {total / hours:.1f} an hour")
    kinds = Counter(entry.label for entry in events.intervals)
    print("  " + ", ".join(f"{label} {count}" for label, count in kinds.most_common()))
    for sensitivity in (0.4, 0.3, 0.2):
        low = replace(tuned, sensitivity=sensitivity)
        quiet = len(model_of(detect).annotations(series(detect, rest), low).intervals) / hours
        seen = model_of(detect).annotations(series(detect, test), low)
        tell(f"    sensitivity {sensitivity}, {quiet:.2f} an hour of rest", truth, seen)

    print("\nthe same motion at other frame rates, against 30 a second")
    reference = at_rate(detect, tuned, 30.0, arguments.rates)
    for fps in (10.0, 25.0, 60.0):
        other = at_rate(detect, tuned, fps, arguments.rates)
        print(f"  {fps:g} a second: {compare(other, reference, detect)}")


_SERIES: dict[tuple[Path, str, tuple[str, ...]], list[Series]] = {}


def series(bundle: Bundle, scenes: dict[str, Scene], *, precision: str = "fp32") -> list[Series]:
    key = (bundle.path, precision, tuple((name, play.fps) for name, play in scenes.items()))  # type: ignore[arg-type]
    if key not in _SERIES:
        with open_backend(bundle, "onnxruntime", precision=precision, threads=1) as backend:
            _SERIES[key] = [
                predict_series(bundle, backend, map(Observation, play.frames()), name) for name, play in scenes.items()
            ]
    return _SERIES[key]


def minutes(first: int, count: int, fps: float = 30.0) -> dict[str, Scene]:
    return {f"scene{first + number}": scene(60.0, first + number, fps=fps) for number in range(count)}


def annotations(scenes: dict[str, Scene]) -> AnnotationSet:
    intervals = [
        Interval(name, m.start, m.end, m.label, str(person))
        for name, play in scenes.items()
        for person, movements in enumerate(play.movements)
        for m in movements
    ]
    recordings = {name: Recording(name, play.seconds, None, (0.0, play.seconds)) for name, play in scenes.items()}
    return AnnotationSet(tuple(intervals), recordings)


def tell(what: str, truth: AnnotationSet, predicted: AnnotationSet) -> None:
    scores = score(truth, predicted, labels=NAMES)
    m, low_high = scores.measures, scores.intervals

    def both(name: str) -> str:
        low, high = low_high[name]
        return f"{100 * m[name]:.1f} ({100 * low:.1f} to {100 * high:.1f})"

    delay = (m.get("onset_delay_s") or {}).get("median")
    errors = [(m.get(name) or {}).get("median") for name in ("onset_error_s", "offset_error_s")]
    print(
        f"{what:46} mAP {both('detection_map'):22} F1 {both('event_f1'):22} frame F1 {100 * m['frame_f1']:.1f} "
        f"delay {'-' if delay is None else f'{delay:.2f}'} s, onset {errors[0]:.2f}, offset {errors[1]:.2f} s, "
        f"{m['false_events_per_hour']:.0f} false/h",
        flush=True,
    )


def baseline(found: Sequence[Series], names: Sequence[str], lag: float) -> AnnotationSet:
    """Runs of confident predictions of one class; short interruptions are bridged."""
    intervals, recordings = [], {}
    for one in found:
        recordings[one.recording] = Recording(one.recording, 60.0, None, (0.0, 60.0))
        for start, end, label, probability in runs(one, names):
            begin = max(start - lag, 0.0)
            intervals.append(Interval(one.recording, begin, max(end - lag, begin + 0.01), label, "0", probability))
    return AnnotationSet(tuple(intervals), recordings)


def runs(one: Series, names: Sequence[str]) -> Iterator[tuple[float, float, str, float]]:
    kept: list[list[Any]] = []
    for now, _, probabilities, _ in one:
        label, probability = names[int(probabilities.argmax())], float(probabilities.max())
        if label == "rest" or probability < MIN_PROBABILITY:
            continue
        if kept and kept[-1][2] == label and now - kept[-1][1] <= MERGE_SECONDS:
            kept[-1][1] = now
            kept[-1][3].append(probability)
        else:
            kept.append([now, now, label, [probability]])
    for start, end, label, sure in kept:
        if len(sure) >= MIN_PREDICTIONS:
            yield start, end, label, float(np.mean(sure))


def at_rate(bundle: Bundle, parameters: DecoderParameters, fps: float, count: int) -> AnnotationSet:
    return model_of(bundle).annotations(series(bundle, minutes(TEST, count, fps)), parameters)


def compare(other: AnnotationSet, reference: AnnotationSet, bundle: Bundle) -> str:
    scores = score(reference, other, labels=bundle.manifest.labels, resamples=0)
    onset, offset = scores.measures["onset_error_s"], scores.measures["offset_error_s"]
    return (
        f"{scores.predicted} events where there are {scores.truth}, F1 of one against the other "
        f"{100 * scores.measures['event_f1']:.1f} %, onsets {onset['median']:.3f} s apart "
        f"(90 % below {onset['p90']:.3f}), offsets {offset['median']:.3f} s ({offset['p90']:.3f})"
    )


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"\n{time.perf_counter() - began:.0f} s")

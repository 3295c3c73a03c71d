"""Ids lost and kept on scenes of 2 to 4 persons who cross, hide one another, leave and come back.

    python tests/benchmarks/tracking.py [--scenes 20]

Our tracker beside norfair (``pip install norfair``, which needs rich < 15), both fed skeletons without ids, and what
ids by order would give.
IDF1 and id switches as in E. Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera
Tracking", ECCVW 2016, on skeletons that are the truth's own, so that only identity is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmn_edge.runtime.tracking.assignment import assign
from mmn_edge.runtime.tracking.tracker import Tracker
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray

FPS = 30
SECONDS = 30.0


@dataclass
class Scene:
    """Per frame the persons that are seen, by their true number, in an order that says nothing."""

    frames: list[list[tuple[int, FloatArray]]]


def scene(persons: int, seed: int) -> Scene:
    """Persons who walk to and fro in front of a camera, 640 by 480; who is behind is hidden for that long."""
    rng = np.random.default_rng(seed)
    layout = layouts.get("ma52")
    pose = np.asarray(layout.pose, dtype=np.float64)
    pose = (pose - pose.mean(axis=0)) / np.ptp(pose[:, 1])
    count = int(SECONDS * FPS)
    clock = np.arange(count) / FPS
    places, sizes, away = [], [], []
    for _ in range(persons):
        turn, phase = rng.uniform(4, 9), rng.uniform(0, 2 * np.pi)
        x = 320 + rng.uniform(120, 260) * np.sin(2 * np.pi * clock / turn + phase)
        y = 240 + rng.uniform(-20, 20) + 4 * np.sin(2 * np.pi * clock * 1.8)
        places.append(np.stack([x, y], axis=-1))
        sizes.append(rng.uniform(180, 300))
        begin = rng.uniform(5, SECONDS - 8)
        long = rng.random() < 0.5
        away.append((begin, begin + (rng.uniform(0.5, 2.5) if long else 0.0)))
    frames = []
    for index in range(count):
        shown = []
        for number in range(persons):
            if away[number][0] <= clock[index] < away[number][1]:
                continue
            place, size = places[number][index], sizes[number]
            # Nearer is larger, and hides who is behind.
            front = [
                other
                for other in range(persons)
                if sizes[other] > size and abs(places[other][index][0] - place[0]) < 0.12 * sizes[other]
            ]
            if front and rng.random() < 0.9:
                continue
            swing = 0.03 * np.sin(2 * np.pi * (clock[index] * 1.5 + np.arange(len(pose)) / 7 + number))
            points = place + size * (pose + swing[:, None] * [1, 0.5]) + rng.normal(0, 1.5, pose.shape)
            points[rng.random(len(pose)) < 0.05] = np.nan
            shown.append((number, points.astype(np.float32)))
        rng.shuffle(shown)  # type: ignore[arg-type]
        frames.append(shown)
    return Scene(frames)


Follow = Callable[[list[list[FloatArray]]], list[list[int | None]]]
"""Skeletons of each frame to an id for each."""


def ours(frames: list[list[FloatArray]]) -> list[list[int | None]]:
    tracker = Tracker()
    found: list[list[int | None]] = []
    for index, skeletons in enumerate(frames):
        tracked = tracker.update(index / FPS, dict(enumerate(skeletons)), tracked=False)
        key_of = {id(points): key for key, points in tracked.persons.items()}
        found.append([key_of[id(points)] for points in skeletons])
    return found


def by_order(frames: list[list[FloatArray]]) -> list[list[int | None]]:
    return [list(range(len(skeletons))) for skeletons in frames]


def norfair(frames: list[list[FloatArray]]) -> list[list[int | None]]:
    """As its keypoint demo sets it up: the mean distance of keypoints, in units of the body, and the same memory."""
    from norfair import Detection
    from norfair import Tracker as Norfair

    def distance(detection: Detection, tracked: object) -> float:
        points, estimate = detection.points, tracked.estimate  # type: ignore[attr-defined]
        seen = detection.scores > 0
        extent = np.ptp(points[seen], axis=0).max()
        return float(np.linalg.norm(points[seen] - estimate[seen], axis=1).mean() / extent)

    tracker = Norfair(
        distance_function=distance,
        distance_threshold=0.6,
        hit_counter_max=4 * FPS,
        initialization_delay=0,
        pointwise_hit_counter_max=4 * FPS,
    )
    found: list[list[int | None]] = []
    for skeletons in frames:
        detections = []
        for number, points in enumerate(skeletons):
            scores = np.isfinite(points[:, 0]).astype(float)
            detections.append(Detection(np.nan_to_num(points.astype(np.float64)), scores=scores, data=number))
        ids: list[int | None] = [None] * len(skeletons)
        for tracked in tracker.update(detections):
            last = tracked.last_detection
            if any(last is detection for detection in detections):
                ids[last.data] = tracked.id
        found.append(ids)
    return found


def measure(truth: Scene, follow: Follow) -> tuple[float, int, float]:
    """IDF1, id switches and milliseconds a frame."""
    skeletons = [[points for _, points in shown] for shown in truth.frames]
    began = time.process_time()
    found = follow(skeletons)
    spent = (time.process_time() - began) * 1e3 / len(skeletons)
    pairs: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = shown_total = given_total = 0
    for shown, ids in zip(truth.frames, found, strict=True):
        for (number, _), identity in zip(shown, ids, strict=True):
            shown_total += 1
            if identity is None:
                continue
            given_total += 1
            pairs[number, identity] += 1
            switches += last.get(number, identity) != identity
            last[number] = identity
    numbers, identities = sorted({n for n, _ in pairs}), sorted({i for _, i in pairs})
    table = np.array([[-float(pairs[n, i]) for i in identities] for n in numbers])
    right = -sum(table[row, column] for row, column in assign(table + 1e-9, 1.0)) if table.size else 0.0
    return 2 * right / (shown_total + given_total), switches, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scenes", type=int, default=20)
    arguments = parser.parse_args()
    kinds: dict[str, Follow] = {"ours": ours, "ids by order": by_order}
    try:
        import norfair as _  # noqa: F401

        kinds["norfair"] = norfair
    except ImportError:
        print("norfair is not installed, and is left out")
    print(f"{'persons':>7} {'tracker':14} {'IDF1':>7} {'switches':>9} {'ms a frame':>11}")
    for persons in (2, 3, 4):
        scenes = [scene(persons, seed) for seed in range(arguments.scenes)]
        for name, follow in kinds.items():
            results = [measure(one, follow) for one in scenes]
            idf1, switches, spent = (statistics.fmean(r[k] for r in results) for k in range(3))
            print(f"{persons:7} {name:14} {idf1:7.3f} {switches:9.1f} {spent:11.3f}")


if __name__ == "__main__":
    main()

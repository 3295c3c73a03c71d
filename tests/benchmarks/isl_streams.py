"""Streams of real people with known intervals, stitched from clips of sign words.

    python tests/benchmarks/isl_streams.py isl.pkl --split test -o streams [--seed 1] [--clips 18] [--repeat 1]

isl.pkl is what ``mmn-edge data import isl18_holistic.npz --to ma52`` makes. The clips of a split, which must be of one
signer, are played in random order, 18 a stream: rest, clip, rest, clip, ..., rest. A rest is a frame of the same split
in which the hands hang lowest, held for 1 to 3 s; joints go from one to the next in 0.4 to 0.7 s with the eased motion
of a hand that sets off and stops (minimum jerk: Flash and Hogan, J. Neurosci. 1985). Held frames tremble by 0.5 pixels.
A joint that one side of a transition does not show is not shown in it. The truth is when the clips are played. The
folder holds recordings, events.csv, recordings.csv and classes.txt, as ``mmn-edge train`` and ``events`` take them.
"""

import argparse
from pathlib import Path

import numpy as np

from mmn_edge.datasets.clip import Clip
from mmn_edge.datasets.reading import read_clips
from mmn_edge.events.formats.table import RECORDINGS, write_recordings, write_table
from mmn_edge.events.interval import AnnotationSet, Interval, Recording
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray, Frame, Person
from mmn_edge.skeleton.recording import write_frames

FPS = 10.0
"""Not known; the recorder's videos have 10."""

REST, EASED = (1.0, 3.0), (0.4, 0.7)
"""Seconds, from and to."""

TREMBLE = 0.5
"""Pixels, standard deviation."""

POSTURES = 20
"""Frames of the split that are taken for rest."""

Frames = tuple[FloatArray, FloatArray]
"""Keypoints ``(T, V, C)``, NaN where not seen, and scores ``(T, V)``."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips_of", type=Path, metavar="isl.pkl")
    parser.add_argument("--split", required=True, action="append", help="Of the clips. Repeatable.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clips", type=int, default=18, help="Clips of a stream.")
    parser.add_argument("--repeat", type=int, default=1, help="How often each clip is played.")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True)
    rng = np.random.default_rng(arguments.seed)
    intervals: list[Interval] = []
    recordings: dict[str, Recording] = {}
    for split in arguments.split:
        source = read_clips(arguments.clips_of, split)
        names, layout = source.class_names, source.layout
        if names is None or layout is None:
            raise SystemExit(f"{arguments.clips_of} names no classes or no layout: make it with 'mmn-edge data import'")
        postures = resting(source.clips, layout)
        order = np.concatenate([rng.permutation(len(source.clips)) for _ in range(arguments.repeat)])
        for number, first in enumerate(range(0, len(order), arguments.clips)):
            name = f"{split}{number:03d}"
            clips = [source.clips[index] for index in order[first : first + arguments.clips]]
            (keypoints, scores), starts = stitch(clips, postures, rng)
            people = zip(keypoints, scores, strict=True)
            frames = [Frame(i / FPS, layout, (Person(0, *person),)) for i, person in enumerate(people)]
            with (arguments.output / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                write_frames(file, frames)
            for clip, start in zip(clips, starts, strict=True):
                end = (start + len(clip.keypoints)) / FPS
                intervals.append(Interval(name, start / FPS, end, names[clip.label], "0"))
            seconds = len(frames) / FPS
            recordings[name] = Recording(name, seconds, FPS, (0.0, seconds), split)
        (arguments.output / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    write_table(arguments.output / "events.csv", AnnotationSet(tuple(intervals), recordings))
    write_recordings(arguments.output / RECORDINGS, recordings.values())
    total = sum(recording.duration_s or 0.0 for recording in recordings.values())
    signed = sum(interval.end - interval.start for interval in intervals)
    print(f"{len(recordings)} streams, {total / 60:.1f} min, {len(intervals)} events, {signed / total:.0%} of the time")


def resting(clips: tuple[Clip, ...], layout: str) -> list[Frames]:
    """The frames of the clips, each ``(1, V, C)``, in which the higher hand is lowest; one a clip at most."""
    joints = layouts.get(layout).joints
    wrists = [joints.index("left_wrist"), joints.index("right_wrist")]
    lowest = []
    for clip in clips:
        height = clip.keypoints[:, wrists, 1].min(axis=1)  # y grows downwards; NaN where a wrist was not seen
        if np.isfinite(height).any():
            frame = int(np.nanargmax(height))
            lowest.append((float(height[frame]), part(clip, frame, frame + 1)))
    return [frames for _, frames in sorted(lowest, key=lambda entry: -entry[0])[:POSTURES]]


def part(clip: Clip, first: int, last: int) -> Frames:
    keypoints = clip.keypoints[first:last]
    seen = np.isfinite(keypoints).all(axis=2)
    return keypoints, np.where(seen, np.float32(1) if clip.scores is None else clip.scores[first:last], 0).astype("f4")


def stitch(clips: list[Clip], postures: list[Frames], rng: np.random.Generator) -> tuple[Frames, list[int]]:
    """One stream of the clips in this order, and the frames at which they begin."""
    pieces = [held(postures, rng)]
    starts = []
    for clip in clips:
        whole = part(clip, 0, len(clip.keypoints))
        pieces.append(eased(pieces[-1], whole, rng))
        starts.append(sum(len(keypoints) for keypoints, _ in pieces))
        pieces.append(whole)
        rest = held(postures, rng)
        pieces += [eased(whole, rest, rng), rest]
    keypoints, scores = zip(*pieces, strict=True)
    return (np.concatenate(keypoints), np.concatenate(scores)), starts


def held(postures: list[Frames], rng: np.random.Generator) -> Frames:
    keypoints, scores = postures[rng.integers(len(postures))]
    count = round(rng.uniform(*REST) * FPS)
    tremble = rng.normal(0.0, TREMBLE, (count, *keypoints.shape[1:]))
    return (keypoints + tremble).astype(np.float32), np.repeat(scores, count, axis=0)


def eased(before: Frames, after: Frames, rng: np.random.Generator) -> Frames:
    """From the last frame of one to the first of the other, both left out; NaN where either does not show a joint."""
    count = round(rng.uniform(*EASED) * FPS)
    t = np.arange(1, count + 1)[:, None, None] / (count + 1)
    along = 10 * t**3 - 15 * t**4 + 6 * t**5
    keypoints = before[0][-1] + along * (after[0][0] - before[0][-1])
    return keypoints.astype(np.float32), np.repeat(np.minimum(before[1][-1], after[1][0])[None], count, axis=0)


if __name__ == "__main__":
    main()

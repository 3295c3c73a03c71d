"""Frames per second of a video through the whole of it, beside the pose estimator alone.

    python tests/benchmarks/video.py VIDEO [--bundle demo.bundle] [--rounds 5]

The estimator alone gets images that were decoded before. What is measured takes turns, so that a machine that is busy
for a while is so for each of them. "pose source" is decoding and pose, "run" is recognition behind it as well.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.runtime.backends.backend import open_backend
from mmn_edge.runtime.pipeline import Pipeline
from mmn_edge.runtime.pose.mediapipe import MediaPipeHolistic
from mmn_edge.runtime.sources.grammar import open_source
from mmn_edge.runtime.sources.video import VideoImages
from mmn_edge.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--bundle", type=Path, help="Also measure recognition with this bundle.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    print(f"load of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with VideoImages(options.video) as video:
        images = list(video)

    def alone() -> int:
        for image in images:
            estimator.estimate(image.pixels, image.time)
        return len(images)

    def decoded() -> int:
        with VideoImages(options.video) as video:
            return sum(1 for _ in video)

    def source() -> int:
        with open_source(str(options.video)) as stream:
            nonlocal opened
            opened = time.perf_counter()
            return sum(1 for _ in stream)

    def run() -> int:
        with open_backend(bundle, "onnxruntime", threads=1) as backend:
            with Pipeline({"video": open_source(str(options.video))}, bundle, backend) as pipeline:
                nonlocal opened
                opened = time.perf_counter()
                pipeline.run()
            return pipeline.counters.frames

    opened = 0.0
    tasks: dict[str, Callable[[], int]] = {"estimator alone": alone, "decoding alone": decoded, "pose source": source}
    if options.bundle is not None:
        bundle = Bundle.open(options.bundle)
        tasks["run"] = run
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    with MediaPipeHolistic() as estimator:
        for _ in range(options.rounds):
            for name, task in tasks.items():
                opened = time.perf_counter()
                count = task()
                rates[name].append(count / (time.perf_counter() - opened))
    base = rates["estimator alone"]
    for name, values in rates.items():
        ratio = median(value / other for value, other in zip(values, base, strict=True))
        print(f"{name:16} median {median(values):6.1f} frames/s, {ratio:.2f} of the estimator alone")


if __name__ == "__main__":
    main()

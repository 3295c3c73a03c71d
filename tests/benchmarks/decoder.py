"""What the decoder costs for each prediction, beside what reading the clock costs.

    python tests/benchmarks/decoder.py [--predictions 4000]

Probabilities wander, so that events of all classes begin and end all the time; a quiet stream costs less.
"""

import argparse
import itertools
import time
from statistics import median

import numpy as np

from mmn_edge.events.decoder import Decoder
from mmn_edge.events.parameters import DecoderParameters
from mmn_edge.model import labels
from mmn_edge.model.presets import Window
from mmn_edge.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=4000)
    count = parser.parse_args().predictions
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    clock = median(timed() for _ in range(count))
    for name, task in (("ma52", "classify"), ("ma52", "detect"), ("synthetic", "classify"), ("synthetic", "detect")):
        names, window = labels.get(name), Window()
        decoder = Decoder(names, DecoderParameters.for_model(names, task, window), task, window)
        logits = np.zeros((count, len(names)))
        rng = np.random.default_rng(0)
        for before, now in itertools.pairwise(logits):
            now[:] = 0.9 * before + rng.normal(0.0, 1.0, len(names))
        odds = np.exp(logits)
        values = odds / odds.sum(1, keepdims=True) if task == "classify" else odds / (1 + odds)
        times, events = [], 0
        for index, probabilities in enumerate(values):
            began = time.perf_counter()
            found = decoder.feed(index * window.stride, 0, probabilities)
            times.append(time.perf_counter() - began)
            events += len(found)
        print(
            f"{name:9} {task:8} {len(names):2} classes: median {median(times) * 1e6:5.1f} µs a prediction and person, "
            f"the clock {clock * 1e6:.2f} µs, {events} messages in {count} predictions"
        )


def timed() -> float:
    began = time.perf_counter()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

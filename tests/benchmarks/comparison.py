"""How often `mmn-edge profile A B --compare` is right: a model against itself, and against one with half the frames.

    python tests/benchmarks/comparison.py [--runs 40] [--seconds 1] [--checkpoint mmn_edge/data/demo.pt]

Each run loads both models anew, as the command does. Run it on a loaded machine: that is where it is hard.
"""

import argparse
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert.conversion import convert
from mmn_edge.latency.comparison import Comparison, compare
from mmn_edge.network import MMN, read_checkpoint
from mmn_edge.runtime.timing.interleaved import measure_interleaved
from mmn_edge.runtime.timing.targets import Target
from mmn_edge.system import machine
from mmn_edge.system.conditions import Conditions, busy_elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="at least 1")
    parser.add_argument("--against-half", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--checkpoint", type=Path, default=Path("mmn_edge/data/demo.pt"))
    options = parser.parse_args()
    print("; ".join(f"{name} {fact}" for name, fact in machine.describe().items()))
    with tempfile.TemporaryDirectory() as folder:
        whole, half = Path(folder) / "whole.bundle", Path(folder) / "half.bundle"
        convert(options.checkpoint, whole)
        arch = Bundle.open(whole).manifest.architecture
        description = read_checkpoint(options.checkpoint)[1]
        frames = arch.num_frames // 2
        window = asdict(replace(Bundle.open(whole).manifest.window, frames=frames))
        network = MMN(replace(arch, num_frames=frames)).eval()
        checkpoint = Path(folder) / "half.pt"
        made = {**description, "window": window, "options": {**description["options"], "num_frames": frames}}
        torch.save({"model": network.state_dict(), "description": made}, checkpoint)
        convert(checkpoint, half)
        if Bundle.open(half).manifest.architecture.num_frames != frames:
            raise SystemExit("the half model is no half")
        a, b = (Target(path.stem, Bundle.open(path)) for path in (whole, half))
        before, began = Conditions.read(), time.perf_counter()
        same = []
        for number in range(options.runs):
            same.append(once(a, a, options.seconds))
            found = same[-1].typical
            print(f"  {number + 1}: {found.value:.3f} [{found.low or 0:.3f}, {found.high or 0:.3f}]", flush=True)
        took = (time.perf_counter() - began) / max(options.runs, 1)
        others = busy_elsewhere(before, Conditions.read())
        holds = [(found.typical.low or 0) <= 1 <= (found.typical.high or 0) for found in same]
        widths = sorted((found.typical.high or 0) - (found.typical.low or 0) for found in same)
        print(
            f"itself: the interval holds 1.00 in {sum(holds)} of {len(holds)} runs ({sum(holds) / len(holds):.1%}), "
            f"median width {widths[len(widths) // 2]:.3f}, {took:.1f} s a run, {same[0].rounds} rounds or more; "
            f"a verdict of a difference beyond noise in {sum('faster:' in found.verdict for found in same)}; "
            f"other processes took {others or 0:.1f} cores"
        )
        winners = []
        for _ in range(options.against_half):
            winners.append(once(a, b, options.seconds))
            print(f"  half: winner {winners[-1].winner}, ratio {winners[-1].typical.value:.3f}", flush=True)
        ratios = sorted(found.typical.value for found in winners)
        print(
            f"half the frames: B wins {sum(found.winner == 'B' for found in winners)} of {len(winners)}, ratio "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        )


def once(a: Target, b: Target, seconds: float) -> Comparison:
    """One comparison, as the command makes it."""
    rounds, names = measure_interleaved(a, b, seconds=seconds, threads=1)
    return compare(*rounds, names=names, scopes=(a.scope, b.scope))


if __name__ == "__main__":
    main()

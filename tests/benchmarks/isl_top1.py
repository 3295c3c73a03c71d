"""How often the likeliest class of a cut clip is right, also for checkpoints of the task detect, by their sigmoids.

    python tests/benchmarks/isl_top1.py isl.pkl test CHECKPOINT ...

Beside whole clips the 2 s in their middle: the window that the task detect was trained on, at 10 frames a second.
"""

import sys
from pathlib import Path

import numpy as np

from mmn_edge.evaluation import testset
from mmn_edge.evaluation.evaluation import predict
from mmn_edge.network.checkpoint_classifier import open_checkpoint


def main() -> None:
    data = testset.read(Path(sys.argv[1]), sys.argv[2])
    true = np.array([clip.label for clip in data.clips])
    for path in sys.argv[3:]:
        model = open_checkpoint(Path(path))
        assert data.class_names is None or tuple(data.class_names) == model.labels.classes, "classes in another order"
        clips = testset.fitted_keypoints(
            data, model.architecture, model.layout, model.preprocessing.bones, print, enough_seen=model.enough_seen
        )
        for name, part in (("whole clips", slice(None)), ("the middle 2 s", slice(5, 25))):
            right = predict(model, [clip[part] for clip in clips]).argmax(axis=1) == true
            print(f"{path}, {name}: {right.mean():.1%} of {len(true)}")


if __name__ == "__main__":
    main()

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from mmn_edge.convert.clip_windows import clip_windows
from mmn_edge.model.architecture import Architecture
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.inputs import ModelInputs

ARCH = Architecture(num_classes=3, num_joints=44, num_frames=16)
MA52 = layouts.get("ma52")


def data_set(path: Path, layout: str, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    joints = layouts.get(layout).num_joints
    keypoints = rng.uniform(10, 400, (4, 1, 20, joints, 2)).astype(np.float32)
    entries = [{"frame_dir": f"c{i}", "label": i % 3, "keypoint": k, **changes} for i, k in enumerate(keypoints)]
    path.write_bytes(pickle.dumps({"annotations": entries, "layout": layout}))
    return path


def test_calibration_clips_in_another_layout_are_mapped(tmp_path: Path) -> None:
    path, notes = data_set(tmp_path / "a.pkl", "halpe136"), list[str]()
    windows = clip_windows(path, None, 3, ARCH, MA52, notes.append)
    assert windows.shape == (3, 16, 44, 2)
    assert np.isfinite(windows).all()
    assert "Joints were mapped from layout halpe136 to ma52." in notes
    first = pickle.loads(path.read_bytes())["annotations"][0]["keypoint"][0]
    way = ModelInputs("halpe136", MA52, joints=44, channels=2, bones=MA52.bones)
    expected, _ = way.take(first, None, "here")
    np.testing.assert_array_equal(windows[0], expected[np.linspace(0, 19, 16).astype(int)])


def test_guesses_are_no_joints_to_calibrate_on(tmp_path: Path) -> None:
    scores = np.full((1, 20, 44), 0.9, np.float32)
    scores[..., 15] = 0.1
    plain = clip_windows(data_set(tmp_path / "a.pkl", "ma52"), None, 4, ARCH, MA52, print)
    guessed = clip_windows(data_set(tmp_path / "b.pkl", "ma52", keypoint_score=scores), None, 4, ARCH, MA52, print)
    np.testing.assert_array_equal(np.delete(plain, 15, axis=2), np.delete(guessed, 15, axis=2))
    assert not np.isclose(plain[:, :, 15], guessed[:, :, 15]).all(axis=-1).any()
    np.testing.assert_array_equal(guessed[:, :, 15], guessed[:, :, 13])  # the knee, along the bones

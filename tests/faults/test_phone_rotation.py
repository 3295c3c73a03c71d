"""Videos whose pixels lie on their side, and whose container says how to turn them back, as phones write them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.runtime.sources.images import ImageArray, VideoImages

pytest.importorskip("cv2", reason="needs OpenCV (the camera extra)")


def images(path: Path) -> list[ImageArray]:
    with VideoImages(path) as source:
        return [image.pixels for image in source]


def test_a_turned_video_is_read_upright(shared: Path, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg to make turned videos")
    script = shutil.copy(shared / "faults" / "phone_rotation" / "make.sh", tmp_path)
    short = tmp_path / "short.avi"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", shared / "video" / "hello.avi", "-frames:v", "8", "-c", "copy", short],
        check=True,
    )
    subprocess.run(["sh", script, str(short)], check=True, env={**os.environ, "SHARED": str(shared)})
    upright = images(tmp_path / "upright.mp4")
    assert len(upright) == 8
    assert upright[0].shape == (480, 640, 3)
    for name in ("left", "right", "over"):
        turned = images(tmp_path / f"turned_{name}.mp4")
        assert len(turned) == len(upright)
        for one, other in zip(turned, upright, strict=True):
            assert one.shape == other.shape, name
            # Recompression makes about 1; the same picture turned makes over 50.
            assert np.abs(one.astype(int) - other).mean() < 3, name

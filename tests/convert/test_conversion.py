import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert import parity
from mmn_edge.convert.conversion import convert
from mmn_edge.datasets.reading import read_clips
from mmn_edge.datasets.synthetic import clips
from mmn_edge.errors import BundleError, CheckpointError, LayoutError, UsageError, VerificationError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN

SMALL = Architecture(num_classes=5, num_joints=22, width=16, depth=1, mlp_width=32)
DATA = {"ma52": "MA52", "imigue": "iMiGUE"}


def session(bundle: Bundle) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(bundle.model()), providers=["CPUExecutionProvider"])


def save(path: Path, arch: Architecture) -> MMN:
    torch.manual_seed(1)
    net = MMN(arch).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif value.is_floating_point():
                value.add_(0.2 * torch.randn_like(value))
    torch.save(net.state_dict(), path)
    return net


@pytest.mark.parametrize("name", ["ma52", "imigue"])
def test_official_weights_give_the_reference_logits(name: str, shared: Path, tmp_path: Path) -> None:
    result = convert(shared / f"fixtures/{name}_official.pt", tmp_path / "B", input_kind="features")
    reference = np.load(shared / f"fixtures/{name}_reference.npz")
    inputs = {"features": reference["x"], "index_t": reference["index_t"]}
    logits, probabilities = session(result.bundle).run(["logits", "probabilities"], inputs)
    np.testing.assert_allclose(logits, reference["logits"], atol=5e-4)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)
    assert result.preset == name
    assert len(result.bundle.manifest.labels) == logits.shape[1]


@pytest.mark.parametrize("name", ["ma52", "imigue"])
def test_a_raw_clip_gives_the_reference_logits(name: str, shared: Path, tmp_path: Path) -> None:
    data = shared / "fixtures/data" / DATA[name]
    result = convert(shared / f"fixtures/{name}_official.pt", tmp_path / "B", data=data)
    reference = np.load(shared / f"fixtures/{name}_reference.npz")["logits"]
    clips = read_clips(data, "val").clips
    whole = [index for index, clip in enumerate(clips) if len(clip.keypoints) == 64]
    assert whole
    run = session(result.bundle)
    for index in whole:
        logits = run.run(["logits"], {"keypoints": clips[index].keypoints[None]})[0]
        np.testing.assert_allclose(logits[0], reference[index], atol=5e-4)
    assert result.verifications["fp32"].data == str(data)


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        (
            replace(SMALL, num_people=2, global_pool="max", num_frames=32),
            {"num_people": 2, "global_pool": "max", "num_frames": 32},
        ),
        (replace(SMALL, index_t=False, in_channels=3), {}),
    ],
    ids=["people-max-frames", "learned-3d"],
)
def test_options_convert(arch: Architecture, options: dict[str, object], tmp_path: Path) -> None:
    net = save(tmp_path / "net.pt", arch)
    result = convert(tmp_path / "net.pt", tmp_path / "B", input_kind="features", options=options)
    assert result.bundle.manifest.architecture == arch
    x = torch.randn(3, arch.in_channels, arch.num_frames, 22, arch.num_people)
    index_t = torch.rand(3, arch.num_frames) * 2 - 1
    with torch.inference_mode():
        expected = net(x, index_t)
    # The learned positional tensor needs no time index, and consumers may pass it all the same.
    logits = session(result.bundle).run(["logits"], {"features": x.numpy(), "index_t": index_t.numpy()})[0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_the_manifest_says_what_a_consumer_needs(small_bundle: Path) -> None:
    manifest = json.loads((small_bundle / "manifest.json").read_text())
    assert manifest["schema_version"] == 2
    assert manifest["inputs"][0]["name"] == "keypoints"
    assert manifest["inputs"][0]["shape"] == ["N", 64, 44, 2]
    assert [spec["name"] for spec in manifest["outputs"]] == ["logits", "probabilities"]
    assert manifest["layout"]["name"] == "ma52"
    assert len(manifest["layout"]["joints"]) == 44
    assert sorted(manifest["preprocessing"]["order"]) == list(range(44))
    assert manifest["labels"]["classes"][0]["name"] == "rest"
    assert manifest["verification"]["fp32"]["max_logit_difference"] <= 5e-4
    assert set(manifest["files"]) == {"model.fp32.onnx"}
    assert {"mmn-edge", "torch", "onnx", "onnxruntime", "opset"} <= set(manifest["tools"])
    assert len(manifest["source"]["sha256"]) == 64


def test_batch_is_dynamic_and_no_local_path_is_left_in_the_graph(small_bundle: Path) -> None:
    run = session(Bundle.open(small_bundle))
    x = np.random.default_rng(0).normal(300, 40, (7, 64, 44, 2)).astype(np.float32)
    together = run.run(["logits"], {"keypoints": x})[0]
    alone = np.concatenate([run.run(["logits"], {"keypoints": x[i : i + 1]})[0] for i in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    content = (small_bundle / "model.fp32.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).resolve().parents[2]).encode() not in content
    assert 17 <= onnx.load(small_bundle / "model.fp32.onnx").opset_import[0].version <= 20


def test_no_exporter_is_needed(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxscript", "onnx_ir"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(torch.onnx, "export", None)
    Bundle.open(convert(small_checkpoint, tmp_path / "B").bundle.path)


def test_our_own_checkpoint_describes_itself(small_checkpoint: Path, small_bundle: Path) -> None:
    description = torch.load(small_checkpoint, weights_only=True)["description"]
    manifest = Bundle.open(small_bundle).manifest
    assert manifest.labels.to_dict() == description["labels"]
    assert manifest.window.seconds == description["window"]["seconds"]


def test_a_preset_does_not_overrule_what_the_checkpoint_knows_and_one_clip_fixes_no_batch(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(small_checkpoint, weights_only=True)
    content["description"]["stream"] = "bone"
    content["description"]["labels"]["classes"][1]["name"] = "nodding twice"
    torch.save(content, tmp_path / "bone.pt")
    (tmp_path / "one.pkl").write_bytes(pickle.dumps({"annotations": clips.dataset(1, seed=3)}))
    bundle = convert(tmp_path / "bone.pt", tmp_path / "B", preset="synthetic", data=tmp_path / "one.pkl").bundle
    assert bundle.manifest.preprocessing is not None
    assert bundle.manifest.preprocessing.stream == "bone"
    assert bundle.manifest.labels.classes[1] == "nodding twice"
    run = session(bundle)
    (keypoints,) = run.get_inputs()
    assert isinstance(keypoints.shape[0], str)
    windows = np.random.default_rng(0).normal(size=(3, *keypoints.shape[1:])).astype(np.float32)
    assert run.run(None, {keypoints.name: windows})[0].shape[0] == 3


def test_a_failed_verification_keeps_the_earlier_bundle(
    small_checkpoint: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "B"
    target.mkdir()
    for file in small_bundle.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    before = (target / "manifest.json").read_bytes()
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(VerificationError, match="differs from the checkpoint"):
        convert(small_checkpoint, target)
    assert (target / "manifest.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["B"]
    Bundle.open(target)


def test_a_killed_conversion_leaves_the_earlier_bundle_whole(
    small_checkpoint: Path, small_bundle: Path, tmp_path: Path
) -> None:
    earlier = shutil.copytree(small_bundle, tmp_path / "small.bundle")
    before = (earlier / "manifest.json").read_bytes()
    command = [sys.executable, "-m", "mmn_edge", "convert", str(small_checkpoint), "-o", str(earlier)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    partial = tmp_path / f".{earlier.name}.partial-{process.pid}"
    wait_until(partial.is_dir, 60)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert partial.is_dir()
    assert (earlier / "manifest.json").read_bytes() == before
    Bundle.open(earlier)
    convert(small_checkpoint, earlier)
    assert not partial.exists()
    Bundle.open(earlier)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


def test_a_folder_that_is_no_bundle_is_left_alone(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="left alone"):
        convert(small_checkpoint, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_does_not_fit_is_said(tmp_path: Path, small_checkpoint: Path) -> None:
    save(tmp_path / "net.pt", SMALL)
    with pytest.raises(LayoutError, match="--preset"):
        convert(tmp_path / "net.pt", tmp_path / "B")
    with pytest.raises(CheckpointError, match="5 classes, and preset imigue names 32"):
        convert(tmp_path / "net.pt", tmp_path / "B", preset="imigue")
    with pytest.raises(LayoutError, match="22 joints, and layout ma52 has 44"):
        convert(tmp_path / "net.pt", tmp_path / "B", preset="ma52")
    with pytest.raises(UsageError, match="unknown preset 'mars'"):
        convert(tmp_path / "net.pt", tmp_path / "B", preset="mars")
    with pytest.raises(UsageError, match="unknown input"):
        convert(tmp_path / "net.pt", tmp_path / "B", input_kind="pixels")
    with pytest.raises(UsageError, match="was trained on stream joint"):
        convert(small_checkpoint, tmp_path / "B", stream="bone")
    with pytest.raises(UsageError, match="unknown stream"):
        convert(small_checkpoint, tmp_path / "B", stream="bones")
    assert not (tmp_path / "B").exists()


def test_options_that_would_do_nothing_are_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"split": "train"}, "--split names a split of the calibration data"),
        ({"weights": [0.5]}, "--weights is for several checkpoints"),
    ):
        with pytest.raises(UsageError, match=message):
            convert(small_checkpoint, tmp_path / "B", **options)
    assert not (tmp_path / "B").exists()


def test_several_people_hint(tmp_path: Path) -> None:
    save(tmp_path / "net.pt", replace(SMALL, num_joints=44, num_classes=32))
    with pytest.raises(LayoutError, match="num_people=2"):
        convert(tmp_path / "net.pt", tmp_path / "B", preset="imigue")

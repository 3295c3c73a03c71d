import json
import pickle
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.errors import DataError, LayoutError, UsageError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import default_kept, quantized_sites, sites

ARCH = Architecture(num_classes=3, num_joints=15, width=16, depth=1, mlp_width=32, num_frames=16)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    names = [f"clip{index}" for index in range(36)]
    annotations = [
        {"frame_dir": name, "label": index % 3, "total_frames": 20, "keypoint": rng.normal(300, 40, (1, 20, 15, 2))}
        for index, name in enumerate(names)
    ]
    path = tmp_path_factory.mktemp("data") / "clips.pkl"
    path.write_bytes(pickle.dumps({"split": {"train": names[:24], "test": names[24:]}, "annotations": annotations}))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = MMN(ARCH).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    description = {
        "preset": "jhmdb",
        "layout": "jhmdb",
        "labels": {"groups": [], "classes": [{"name": name, "group": None} for name in ("sit", "run", "wave")]},
        "window": {"frames": 16, "seconds": 2.0, "stride": 0.5},
        "stream": "bone",
        "options": {"num_frames": 16},
        "temperature": 1.5,
    }
    torch.save({"model": net.state_dict(), "description": description}, path)
    return path


def test_a_quantized_checkpoint_describes_itself(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    result = invoke("quantize", checkpoint, "--data", data, "-o", tmp_path / "int8.pt", "--calibration-clips", 10)
    assert result.exit_code == 0, result.output
    state, description = read_checkpoint(tmp_path / "int8.pt")
    original, before = read_checkpoint(checkpoint)
    assert all(torch.equal(state[key], value) for key, value in original.items())
    net = build_network(state, {"num_frames": 16})
    kept = default_kept(net)
    assert set(quantized_sites(net)) == set(sites(net)) - set(kept)
    assert description["quantization"] == {
        "ranges": "post-training (mse), 10 clips of clips.pkl:train",
        "kept": list(kept),
        "chosen": "sensitive",
    }
    options = {"num_frames": 16, "num_people": 1, "global_pool": "avg"}
    assert {key: description[key] for key in before} == {**before, "options": options}
    assert f"{len(quantized_sites(net))} layers in int8, {len(kept)} in floating point" in result.output


def test_layers_can_be_named(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    for keep, expected in (("none", []), ("head, fusion.res_conv".replace(" ", ""), ["fusion.res_conv", "head"])):
        target = tmp_path / f"{keep}.pt"
        result = invoke("quantize", checkpoint, "--data", data, "-o", target, "--keep", keep, "--ranges", "amax")
        assert result.exit_code == 0, result.output
        assert read_checkpoint(target)[1]["quantization"]["kept"] == expected


def test_sensitivity_and_an_automatic_choice(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    arguments = ("--keep", "auto", "--report", folder, "--budget", 0, "--eval-clips", 12, "-o", tmp_path / "int8.pt")
    result = invoke("quantize", checkpoint, "--data", data, *arguments)
    assert result.exit_code == 0, result.output
    assert "fp32 top-1" in result.output
    content = json.loads((folder / "sensitivity.json").read_text())
    assert content["sensitivity"]["clips"] == 12
    assert content["choice"]["kept"] == read_checkpoint(tmp_path / "int8.pt")[1]["quantization"]["kept"]
    text = (folder / "sensitivity.md").read_text()
    assert "| everything |" in text
    assert "## Mixed precision" in text
    picture = ET.fromstring((folder / "sensitivity.svg").read_text())
    labels = [entry.text for entry in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"scale 0 mapping", "head", "kept in float"} <= set(labels)
    again = ("--sensitivity", "--report", folder, "--eval-clips", 12)
    assert invoke("quantize", checkpoint, "--data", data, *again).exit_code == 0  # an earlier report is replaced
    (folder / "sensitivity.json").write_text("{}")
    result = invoke("quantize", checkpoint, "--data", data, *again)
    assert isinstance(result.exception, UsageError)
    assert "is no earlier report" in str(result.exception)


def test_what_was_used_is_what_the_result_says(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    arguments = ("--calibration-clips", 10, "--model-option", "global_pool=max")
    result = invoke("quantize", checkpoint, "--data", data, "-o", tmp_path / "max.pt", *arguments)
    assert result.exit_code == 0, result.output
    assert read_checkpoint(tmp_path / "max.pt")[1]["options"]["global_pool"] == "max"


def test_classes_are_matched_by_name_and_calibration_needs_none(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    content = pickle.loads(data.read_bytes())
    arguments = ("--sensitivity", "--eval-clips", 12)
    printed = []
    for order in (["sit", "run", "wave"], ["wave", "sit", "run"]):
        number = [order.index(name) for name in ("sit", "run", "wave")]
        entries = [{**entry, "label": number[entry["label"]]} for entry in content["annotations"]]
        path = tmp_path / "named.pkl"
        path.write_bytes(pickle.dumps({**content, "annotations": entries, "class_names": order}))
        result = invoke("quantize", checkpoint, "--data", path, *arguments)
        assert result.exit_code == 0, result.output
        printed.append(result.stdout)
    assert printed[0] == printed[1]
    path.write_bytes(pickle.dumps({**content, "class_names": ["jump", "fly", "swim"]}))
    assert invoke("quantize", checkpoint, "--data", path, "-o", tmp_path / "x.pt").exit_code == 0
    result = invoke("quantize", checkpoint, "--data", path, *arguments)
    assert "classes that the model does not know" in str(result.exception)


def test_a_report_alone(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    result = invoke("quantize", checkpoint, "--data", data, "--sensitivity", "--eval-clips", 10)
    assert result.exit_code == 0, result.output
    assert "wrote" not in result.output


def test_what_cannot_be_is_said(checkpoint: Path, data: Path, shared: Path, tmp_path: Path) -> None:
    before = checkpoint.read_bytes()
    target = tmp_path / "x.pt"
    for arguments, kind, message in [
        ((checkpoint, "--data", data), UsageError, "nothing would be written"),
        ((checkpoint, "--data", data, "-o", checkpoint), UsageError, "is the checkpoint itself"),
        (
            (checkpoint, "--data", data, "-o", target, "--keep", "nose"),
            UsageError,
            "no layer matches 'nose'",
        ),
        ((checkpoint, "--data", data, "-o", target, "--split", "dev"), DataError, "no split 'dev'"),
        ((checkpoint, "--data", data, "-o", target, "--report", tmp_path), UsageError, "needs measurements"),
        (
            (checkpoint, "--data", shared / "fixtures/data/MA52", "-o", target),
            LayoutError,
            "has 44 joints and the model takes 15",
        ),
        ((checkpoint, "--data", data, "-o", data), UsageError, "is no checkpoint, so it was left alone"),
        ((checkpoint, "--data", data, "-o", target, "--eval-split", "test"), UsageError, "needs measurements"),
        ((checkpoint, "--data", data, "-o", target, "--budget", 1), UsageError, "--keep auto"),
        (
            (checkpoint, "--data", data, "--sensitivity", "--report", data.parent),
            UsageError,
            "holds clips.pkl, so it was left alone",
        ),
    ]:
        result = invoke("quantize", *arguments)
        assert type(result.exception) is kind, (arguments, result.exception)
        assert message in str(result.exception)
    assert checkpoint.read_bytes() == before
    assert pickle.loads(data.read_bytes())["annotations"]
    assert list(tmp_path.iterdir()) == []

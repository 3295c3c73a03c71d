from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.errors import BundleError, DataError, GateError, UsageError

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "latency-report.schema.json"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["profile", *(str(argument) for argument in arguments)])


def check(report: object) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report)


def test_a_table_and_what_is_timed(small_bundle: Path) -> None:
    result = invoke(small_bundle, "--batch", "1,2", "--threads", "1", "--seconds", "0.01")
    assert result.exit_code == 0, result.output
    assert "processor" in result.output
    assert "what is timed: keypoints to probabilities" in result.output
    assert "more calls" in result.output  # 20 calls tell nothing of a 99th percentile
    rows = [line.split() for line in result.output.splitlines() if line.strip().startswith("1 ")]
    assert [row[1] for row in rows] == ["1", "2"]


def test_the_report_follows_its_schema(small_precisions: Path, tmp_path: Path) -> None:
    json_file, html = tmp_path / "r.json", tmp_path / "r.html"
    result = invoke(
        f"{small_precisions}:int8",
        *("--batch", "1", "--seconds", "0.01", "--pace", "500", "--operators", "--source", "synthetic:seconds=6"),
        *("--json", "-o", json_file, "-o", html),
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    check(report)
    assert json.loads(json_file.read_text()) == report
    modes = [entry["mode"] for entry in report["measurements"]]
    assert modes == ["back to back", "paced at 500 a second", "back to back"]
    assert {entry["precision"] for entry in report["measurements"]} == {"int8"}
    assert report["operators"]
    assert report["measurements"][2]["stages"]
    page = html.read_text()
    assert page.count("<svg") == 1 + 2 * (1 + 2) + 2
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "What is timed" in page


def test_accuracy_beside_latency(small_precisions: Path, tmp_path: Path, labelled_clips: Path) -> None:
    result = invoke(
        small_precisions,
        *("--precision", "fp32,int8", "--batch", "1", "--seconds", "0.01", "--data", labelled_clips, "--json"),
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    check(report)
    entries = report["accuracy"]
    assert [entry["precision"] for entry in entries] == ["fp32", "int8"]
    assert sum(entry["choice"] for entry in entries) == 1
    assert all(0 <= entry["low"] <= entry["top1"] <= entry["high"] <= 1 for entry in entries)


def test_a_against_b(small_bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    result = invoke(
        small_bundle, small_bundle, "--compare", "--threads", "1", "--seconds", "0.01", "--json", "-o", page
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    check(report)
    ratio = report["comparison"]["ratio_b_over_a"]["typical"]
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    assert report["comparison"]["rounds"] == 32
    assert page.read_text().count("<svg") == 1
    text = invoke(small_bundle, small_bundle, "--compare", "--threads", "1", "--seconds", "0.01")
    assert "B over A" in text.output


def test_gates(small_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    short = ("--batch", "1", "--threads", "1", "--seconds", "0.01")
    assert invoke(small_bundle, *short, "-o", report).exit_code == 0
    values = json.loads(report.read_text())
    for factor, failed in ((1.0, False), (0.01, True)):
        samples = [max(values["measurements"][0]["samples_ms"]) * 2 * factor] * 40
        values["measurements"][0]["samples_ms"] = samples
        values["measurements"][0]["starts_s"] = list(range(40))
        (tmp_path / "b.json").write_text(json.dumps(values))
        result = invoke(small_bundle, *short, "--baseline", tmp_path / "b.json", "--fail-if-slower", "5%")
        assert (type(result.exception) is GateError) is failed, (factor, result.output)
        assert ("FAILED: the ratio of medians" in result.output) is failed
    assert GateError.exit_code == 10
    assert invoke(small_bundle, *short, "--max-p99", "1000s").exit_code == 0
    result = invoke(small_bundle, *short, "--max-p99", "1us")
    assert type(result.exception) is GateError
    other = invoke(small_bundle, "--batch", "2", "--seconds", "0.01", "--baseline", report, "--fail-if-slower", "5")
    assert type(other.exception) is DataError
    assert "none of these settings" in str(other.exception)


def test_merge(small_bundle: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        assert invoke(small_bundle, "--batch", "1", "--seconds", "0.01", "-o", file).exit_code == 0
    values = json.loads(files[1].read_text())
    values["machine"] |= {"jetson model": "Jetson Orin Nano", "power mode": "15W (0)"}
    files[1].write_text(json.dumps(values))
    result = invoke("merge", *files, "-o", tmp_path / "boards.html")
    assert result.exit_code == 0, result.output
    assert "Jetson Orin Nano, 15W (0)" in result.output
    assert "Jetson Orin Nano" in (tmp_path / "boards.html").read_text()
    table = json.loads(invoke("merge", *files, "--json").stdout)
    assert len(table) == 2


def test_mistakes(small_bundle: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    for kind, message, arguments in (
        (BundleError, "", [tmp_path]),
        (UsageError, "--batch takes whole numbers", [small_bundle, "--batch", "1;2"]),
        (UsageError, "unknown backend", [small_bundle, "--backend", "onnxruntime,best"]),
        (BundleError, "int4", [small_bundle, "--precision", "int4"]),
        (UsageError, "takes two targets", [small_bundle, "--compare"]),
        (UsageError, "needs what to be compared with", [small_bundle, "--fail-if-slower", "5%"]),
        (UsageError, "written as 5%", [small_bundle, "--noise", "much"]),
        (UsageError, "written as 20ms", [small_bundle, "--max-p99", "fast"]),
        (UsageError, "give both", [small_bundle, "--split", "val"]),
        (UsageError, "two or more", ["merge", wrong]),
        (DataError, "cannot be read", [small_bundle, "--baseline", wrong]),
        (UsageError, "need bundles", [small_bundle / "model.fp32.onnx", "--source", "synthetic"]),
    ):
        result = invoke(*arguments)
        assert type(result.exception) is kind, (arguments, result.output, result.exception)
        assert message in str(result.exception)
    for content in ("{", "[]", '{"schema": "mmn-edge latency report 9"}', '{"schema": "mmn-edge latency report 1"}'):
        wrong.write_text(content)
        result = invoke(small_bundle, "--baseline", wrong)
        assert type(result.exception) is DataError, content


def test_a_file_of_another_kind_is_a_usage_error(small_bundle: Path, tmp_path: Path) -> None:
    assert invoke(small_bundle, "-o", tmp_path / "r.csv").exit_code == 2


@pytest.fixture
def labelled_clips(tmp_path: Path) -> Path:
    """Six synthetic clips as an annotation pickle."""
    import pickle

    import numpy as np

    from mmn_edge.datasets.synthetic import clips

    rng = np.random.default_rng(0)
    annotations = []
    for index in range(6):
        keypoints, _ = clips.clip(clips.CLASSES[index], rng)
        annotations.append(
            {
                "frame_dir": f"clip{index}",
                "label": index,
                "keypoint": np.nan_to_num(keypoints)[None].astype(np.float32),
                "total_frames": len(keypoints),
            }
        )
    path = tmp_path / "clips.pkl"
    path.write_bytes(pickle.dumps({"annotations": annotations, "split": {"val": [f"clip{i}" for i in range(6)]}}))
    return path

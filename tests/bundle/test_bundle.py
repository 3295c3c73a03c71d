from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.bundle.engine_record import EngineRecord
from mmn_edge.bundle.manifest import MANIFEST, Manifest, TensorSpec
from mmn_edge.bundle.writing import add_engine, check_replaceable, write_bundle
from mmn_edge.errors import BundleError, EngineError
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.labels import Labels
from mmn_edge.model.presets import Window
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.missing import ENOUGH_SEEN
from mmn_edge.skeleton.preprocess import Preprocessing

Values = dict[str, Any]
Edit = Callable[[Values], object]


def manifest(**changes: Any) -> Manifest:
    layout = layouts.get("imigue")
    values: Values = {
        "architecture": Architecture(num_classes=3, num_joints=22),
        "labels": Labels(("rest", "nod", "wave"), ("head", "hand"), (0, 0, 1)),
        "layout": "imigue",
        "joints": layout.joints,
        "window": Window(64, 3.0, 0.5),
        "preprocessing": Preprocessing.for_layout(layout, "bone"),
        "input": "keypoints",
        "inputs": (TensorSpec("keypoints", "float32", ("N", 64, 22, 2), "raw"),),
        "outputs": (TensorSpec("logits", "float32", ("N", 3), "raw scores"),),
        "models": {"fp32": "model.fp32.onnx"},
        "source": {"file": "é.pt", "sha256": "0" * 64},
        "tools": {"mmn-edge": "0"},
        "verification": {},
    }
    return Manifest(**{**values, **changes})


def write(path: Path, model: bytes = b"graph", **changes: Any) -> Bundle:
    with write_bundle(path) as writer:
        (writer.folder / "model.fp32.onnx").write_bytes(model)
        writer.finish(manifest(**changes))
    return Bundle.open(path)


def edit(path: Path, change: Edit) -> None:
    """Change the manifest of a bundle."""
    values = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    change(values)
    (path / MANIFEST).write_text(json.dumps(values), encoding="utf-8")


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound bundle."""
    return write(tmp_path / "a.bundle").path


def test_round_trip(tmp_path: Path) -> None:
    bundle = write(tmp_path / "a.bundle")
    files = {"model.fp32.onnx": {"sha256": hashlib.sha256(b"graph").hexdigest(), "bytes": 5}}
    assert bundle.manifest == manifest(files=files)
    assert bundle.model() == tmp_path / "a.bundle" / "model.fp32.onnx"
    assert Bundle.open(str(bundle.path)) == bundle


def test_round_trip_of_an_unknown_layout(tmp_path: Path) -> None:
    found = write(tmp_path / "a.bundle", layout=None, joints=(), preprocessing=None).manifest
    assert (found.layout, found.joints, found.preprocessing) == (None, (), None)


def test_what_schema_2_brought_survives_the_manifest(tmp_path: Path) -> None:
    decoder = {"enter": 0.6, "exit": 0.4, "exclusive": True, "classes": {"nod": {"enter": 0.7}}, "rates": [1, 2.5]}
    found = write(tmp_path / "a.bundle", task="detect", enough_seen=0.35, decoder=decoder).manifest
    assert (found.task, found.enough_seen, found.decoder) == ("detect", 0.35, decoder)
    assert json.loads((tmp_path / "a.bundle" / MANIFEST).read_text())["schema_version"] == 2


def test_a_bundle_of_schema_1_is_read_and_written_as_2(path: Path) -> None:
    def earlier(values: Values) -> None:
        values["schema_version"] = 1
        for key in ("task", "enough_seen", "decoder"):
            del values[key]

    edit(path, earlier)
    found = Bundle.open(path)
    assert found.manifest == write(path.parent / "b.bundle").manifest
    edit(path, lambda values: values.update(task="detect"))  # which meant nothing then
    assert Bundle.open(path).manifest.task == "classify"
    with write_bundle(path) as writer:
        (writer.folder / "model.fp32.onnx").write_bytes(b"graph")
        writer.finish(found.manifest)
    assert json.loads((path / MANIFEST).read_text())["schema_version"] == 2


def test_a_manifest_as_it_was_written_before_schema_2(tmp_path: Path) -> None:
    """Of ``mmn-edge demo``, before tasks, decoders and bounds came."""
    folder = tmp_path / "demo.bundle"
    folder.mkdir()
    values = json.loads((Path(__file__).parent / "manifest_schema_1.json").read_text(encoding="utf-8"))
    (folder / "model.fp32.onnx").write_bytes(b"graph")
    values["files"] = {"model.fp32.onnx": {"sha256": hashlib.sha256(b"graph").hexdigest(), "bytes": 5}}
    (folder / MANIFEST).write_text(json.dumps(values), encoding="utf-8")
    found = Bundle.open(folder).manifest
    assert (found.task, found.enough_seen, found.decoder, found.temperature) == ("classify", ENOUGH_SEEN, None, 1.0)
    assert (found.layout, found.window.seconds, found.labels.classes[0]) == ("ma52", 2.0, "rest")


@pytest.mark.parametrize("value", ["1", "hot", 0, -1, True, None, float("inf"), float("nan"), [1]])
def test_a_temperature_that_is_no_positive_number(path: Path, value: object) -> None:
    edit(path, lambda values: values.update(temperature=value))
    with pytest.raises(BundleError, match="is no positive number"):
        Bundle.open(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("task", "segment", "is no task of a model"),
        ("task", None, "is no task of a model"),
        ("enough_seen", 1.5, "is no share from 0 to 1"),
        ("enough_seen", -0.1, "is no share from 0 to 1"),
        ("enough_seen", "half", "is no share from 0 to 1"),
        ("decoder", [1], "are not plain numbers"),
        ("decoder", {"enter": float("nan")}, "are not plain numbers"),
        ("decoder", {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}, "are not plain numbers"),
    ],
)
def test_what_schema_2_brought_is_checked(path: Path, key: str, value: object, words: str) -> None:
    edit(path, lambda values: values.update({key: value}))
    with pytest.raises(BundleError, match=words):
        Bundle.open(path)
    edit(path, lambda values: values.pop(key))
    with pytest.raises(BundleError, match="is broken"):
        Bundle.open(path)


def test_a_manifest_that_nothing_could_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no positive number"):
        write(tmp_path / "a.bundle", temperature=0.0)
    assert not (tmp_path / "a.bundle").exists()


def test_a_precision_that_is_not_there(path: Path) -> None:
    with pytest.raises(BundleError, match="holds no int8 model: it has fp32"):
        Bundle.open(path).model("int8")


@pytest.mark.parametrize("model", [b"Graph", b"", b"graph and more"])
def test_a_damaged_file_is_named(path: Path, model: bytes) -> None:
    (path / "model.fp32.onnx").write_bytes(model)
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx is damaged"):
        Bundle.open(path)


def test_a_missing_file_is_named(path: Path) -> None:
    (path / "model.fp32.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx is missing"):
        Bundle.open(path)


@pytest.mark.parametrize("name", ["../secret", "sub/secret", "/etc/passwd", "..", ".", ""])
@pytest.mark.parametrize("place", ["files", "models"])
def test_a_manifest_cannot_name_files_elsewhere(path: Path, name: str, place: str) -> None:
    secret = path.parent / "secret"
    secret.write_bytes(b"graph")
    (path / "sub").mkdir()
    (path / "sub" / "secret").write_bytes(b"graph")

    def point_elsewhere(values: Values) -> None:
        values["files"][name] = values["files"]["model.fp32.onnx"]
        if place == "models":
            values["models"]["fp32"] = name

    edit(path, point_elsewhere)
    with pytest.raises(BundleError, match=r"outside its list|is missing from the bundle"):
        Bundle.open(path)


def test_a_model_must_be_among_the_hashed_files(path: Path) -> None:
    (path / "other.onnx").write_bytes(b"other")
    edit(path, lambda values: values["models"].update(fp32="other.onnx"))
    with pytest.raises(BundleError, match=r"outside its list: 'other\.onnx'"):
        Bundle.open(path)


@pytest.mark.parametrize("version", [0, 3, True, "1", None])
def test_another_schema_version(path: Path, version: object) -> None:
    edit(path, lambda values: values.update(schema_version=version, window="of another kind"))
    with pytest.raises(BundleError, match=f"schema version {version}, and this mmn-edge reads 1 to 2"):
        Bundle.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"schema_version": 2}', "[" * 200_000])
def test_a_manifest_that_is_none(path: Path, text: str) -> None:
    (path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json is broken"):
        Bundle.open(path)


def test_a_manifest_that_is_no_text(path: Path) -> None:
    (path / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match=r"manifest\.json is broken"):
        Bundle.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("inputs"),
        lambda values: values.update(inputs=[{"name": "x"}]),
        lambda values: values.update(window={"frames": "64"}),
        lambda values: values.update(window={"seconds": -1}),
        lambda values: values.update(layout=None),
        lambda values: values.update(labels=[]),
        lambda values: values["labels"]["classes"][0].update(group=9),
        lambda values: values["architecture"].update(colour="red"),
        lambda values: values["architecture"].update(num_heads=0),
        lambda values: values["preprocessing"].update(stream="bones"),
        lambda values: values["preprocessing"].update(bones=[[1]]),
        lambda values: values.update(models={"fp32": 3}),
        lambda values: values.update(files=[]),
        lambda values: values.update(files={"model.fp32.onnx": {}}),
        lambda values: values.update(files={"model.fp32.onnx": None}),
    ],
)
def test_a_broken_manifest_is_a_bundle_error(path: Path, change: Edit) -> None:
    edit(path, change)
    with pytest.raises(BundleError):
        Bundle.open(path)


def test_what_is_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none does not exist: make a bundle with"):
        Bundle.open(tmp_path / "none")
    with pytest.raises(BundleError, match=r"holds no manifest\.json: make a bundle with"):
        Bundle.open(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"weights")
    with pytest.raises(BundleError, match=r"model\.pt is a file, and a bundle is a folder"):
        Bundle.open(tmp_path / "model.pt")


def test_an_earlier_bundle_is_replaced(path: Path) -> None:
    bundle = write(path, b"new graph")
    assert bundle.model().read_bytes() == b"new graph"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_earlier_bundle(path: Path) -> None:
    before = content(path)

    def fail() -> None:
        with write_bundle(path) as writer:
            (writer.folder / "model.fp32.onnx").write_bytes(b"new graph")
            writer.finish(manifest())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert content(path) == before
    assert list(path.parent.iterdir()) == [path]
    Bundle.open(path)


def test_a_block_without_a_manifest_leaves_the_earlier_bundle(path: Path) -> None:
    before = content(path)
    with pytest.raises(AssertionError, match="no manifest"), write_bundle(path):
        pass
    assert content(path) == before


def test_a_folder_with_other_things_in_it_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(BundleError, match="exists and is no bundle, so it was left alone"), write_bundle(tmp_path):
        pytest.fail("the block was entered")
    assert content(tmp_path) == {"photos/cat.jpg": b"cat"}


def test_a_manifest_of_something_else_does_not_make_a_bundle(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"name": "a browser extension"}', encoding="utf-8")
    (tmp_path / "background.js").write_bytes(b"years of work")
    with pytest.raises(BundleError, match="is no bundle"):
        check_replaceable(tmp_path)


def test_a_file_and_a_dangling_link_are_left_alone_and_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(BundleError, match=f"{name} exists and is no bundle"):
            check_replaceable(tmp_path / name)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")


def record(**changes: Any) -> EngineRecord:
    """Of an engine that was built from the graph of :func:`write`."""
    made = EngineRecord(
        file="model.fp32.tensorrt.engine",
        precision="fp32",
        flavour="tensorrt",
        tensorrt="10.3.0",
        device="Orin",
        compute_capabilities=("8.7",),
        driver="540.4.0",
        cuda="12.6",
        batch=(1, 1, 8),
        onnx_sha256=hashlib.sha256(b"graph").hexdigest(),
    )
    return replace(made, **changes)


def with_engine(path: Path, content: bytes = b"engine", **changes: Any) -> Bundle:
    made = record(**changes)
    folder = path.parent / "built"
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        entry.unlink()
    (folder / made.file).write_bytes(content)
    (folder / made.file).with_suffix(".log").write_text("built", encoding="utf-8")
    return add_engine(path, made, folder)


def test_an_engine_is_added_with_what_is_known_of_it(path: Path) -> None:
    bundle = with_engine(path)
    assert bundle.engine("fp32") == record()
    assert (path / "model.fp32.tensorrt.engine").read_bytes() == b"engine"
    assert set(bundle.manifest.files) == {
        "model.fp32.onnx",
        "model.fp32.tensorrt.engine",
        "model.fp32.tensorrt.log",
    }
    assert bundle.model_sha256("fp32") == record().onnx_sha256
    assert Bundle.open(path) == bundle


def test_an_engine_of_the_same_kind_is_replaced_and_another_stays(path: Path) -> None:
    with_engine(path)
    with_engine(path, file="model.fp32.tensorrt_rtx.engine", flavour="tensorrt_rtx")
    bundle = with_engine(path, b"newer", tensorrt="10.7.0")
    assert bundle.engine("fp32").tensorrt == "10.7.0"
    assert bundle.engine("fp32", "tensorrt_rtx").flavour == "tensorrt_rtx"
    assert (path / "model.fp32.tensorrt.engine").read_bytes() == b"newer"
    assert (path / "model.fp32.tensorrt_rtx.engine").read_bytes() == b"engine"


def test_a_missing_engine_is_an_error_with_the_command_that_builds_it(path: Path) -> None:
    with pytest.raises(EngineError, match=rf"no fp32 engine for tensorrt: .* convert {path} --engine --precision fp32"):
        Bundle.open(path).engine("fp32")
    with pytest.raises(BundleError, match="holds no int8 model"):
        Bundle.open(path).engine("int8")


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_harmed_engine_is_refused_and_can_be_built_again(path: Path, harm: str) -> None:
    with_engine(path)
    with_engine(path, file="model.fp32.tensorrt_rtx.engine", flavour="tensorrt_rtx")
    file = path / "model.fp32.tensorrt.engine"
    file.unlink()
    if harm == "changed":
        file.write_bytes(b"Engine")
    with pytest.raises(EngineError, match=rf"{file} is (missing|damaged).*: build it again with: .* --engine"):
        Bundle.open(path)
    assert [engine.flavour for engine in Bundle.open(path, repair=True).manifest.engines] == ["tensorrt_rtx"]
    bundle = with_engine(path, b"again")
    assert [engine.flavour for engine in bundle.manifest.engines] == ["tensorrt_rtx", "tensorrt"]


def test_repair_does_not_overlook_a_harmed_model(path: Path) -> None:
    with_engine(path)
    (path / "model.fp32.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx is damaged"):
        Bundle.open(path, repair=True)


def test_an_engine_of_an_earlier_model_is_not_added(path: Path) -> None:
    before = content(path)
    with pytest.raises(EngineError, match="was converted anew while its engine was built"):
        with_engine(path, onnx_sha256="0" * 64)
    assert content(path) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["engines"].append(values["engines"][0]),
        lambda values: values["engines"][0].update(precision="int8"),
        lambda values: values["engines"][0].update(file="../model.engine"),
        lambda values: values["engines"][0].update(file="other.engine"),
        lambda values: values["engines"][0].pop("batch"),
        lambda values: values.update(engines=None),
    ],
)
def test_a_broken_record_of_an_engine_is_a_bundle_error(path: Path, change: Edit) -> None:
    with_engine(path)
    edit(path, change)
    for repair in (False, True):
        with pytest.raises(BundleError):
            Bundle.open(path, repair=repair)


def test_a_kill_while_an_engine_is_added_leaves_the_earlier_bundle_whole(path: Path) -> None:
    before = content(path)
    folder = path.parent / "built"
    folder.mkdir()
    (folder / record().file).write_bytes(b"engine")
    script = f"""
import sys, time, pathlib
from mmn_edge.bundle import writing
from mmn_edge.bundle.engine_record import EngineRecord
finish = writing.BundleWriter.finish
def stop(self, manifest):
    finish(self, manifest)
    print("inside", flush=True)
    time.sleep(60)
writing.BundleWriter.finish = stop
record = EngineRecord.from_dict({record().to_dict()!r})
writing.add_engine(pathlib.Path(sys.argv[1]), record, pathlib.Path(sys.argv[2]))
"""
    command = [sys.executable, "-c", script, str(path), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert content(path) == before
    with_engine(path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["a.bundle", "built"]

import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mmn_edge.cli import cli
from mmn_edge.errors import DataError, MissingDependencyError, UsageError
from mmn_edge.network import build_network, read_checkpoint


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def sets(*changes: str) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


SMALL = sets("model.width=16", "model.depth=1", "optim.batch_size=4")


def test_train_on_the_synthetic_set(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = invoke("train", "synthetic", "-o", run, "--epochs", 1, "--size", 39, *sets("model.width=16"))
    assert result.exit_code == 0, result.output
    assert "val accuracy" in result.output
    state, description = read_checkpoint(run / "best.pt")
    assert build_network(state).arch.width == 16
    assert description["layout"] == "ma52"
    assert description["recipe"]["optim"]["epochs"] == 1


@pytest.mark.parametrize("name", ["MA52", "iMiGUE"])
def test_train_on_the_authors_format(name: str, shared: Path, tmp_path: Path) -> None:
    data = shared / "fixtures/data" / name
    result = invoke(
        *("train", data, "--recipe", f"{name.lower()}-joint", "--stream", "bone", "-o", tmp_path / "run"),
        *("--epochs", 1, *SMALL),
    )
    assert result.exit_code == 0, result.output
    _, description = read_checkpoint(tmp_path / "run" / "last.pt")
    assert description["stream"] == "bone"
    assert len(description["labels"]["classes"]) == {"MA52": 52, "iMiGUE": 32}[name]


def annotations(path: Path, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    names = [f"clip{index}" for index in range(12)]
    entries = [
        {"frame_dir": name, "label": i % 2, "keypoint": rng.normal(size=(1, 30, 20, 3)).astype(np.float32)}
        for i, name in enumerate(names)
    ]
    content = {"split": {"train": names[:8], "test": names[8:]}, "annotations": entries, **changes}
    path.write_bytes(pickle.dumps(content))
    return path


def test_train_on_an_annotation_pickle_in_3d(tmp_path: Path) -> None:
    data = annotations(tmp_path / "d.pkl")
    recipe = ("--recipe", "nw-ucla-joint", *sets("optim.compile=false"))
    result = invoke("train", data, *recipe, "-o", tmp_path / "run", "--epochs", 1, *SMALL)
    assert result.exit_code == 0, result.output
    state, description = read_checkpoint(tmp_path / "run" / "best.pt")
    assert build_network(state, description["options"]).arch.in_channels == 3


def test_clips_without_labels_in_another_split_are_no_matter(tmp_path: Path) -> None:
    data = annotations(tmp_path / "d.pkl", layout="nw-ucla")
    content = pickle.loads(data.read_bytes())
    hidden = {**content["annotations"][0], "frame_dir": "hidden", "label": -1}
    content["annotations"].insert(0, hidden)
    content["split"] = {"hidden": ["hidden"], **content["split"]}
    data.write_bytes(pickle.dumps(content))
    result = invoke("train", data, "-o", tmp_path / "run", "--epochs", 1, *SMALL)
    assert result.exit_code == 0, result.output


def test_data_that_names_its_layout_needs_no_recipe(tmp_path: Path) -> None:
    data = annotations(tmp_path / "d.pkl", layout="nw-ucla", class_names=["sit", "stand", "never seen"])
    result = invoke("train", data, "-o", tmp_path / "run", "--epochs", 1, *SMALL)
    assert result.exit_code == 0, result.output
    assert "no training clip and cannot be learned: never seen" in result.output
    _, description = read_checkpoint(tmp_path / "run" / "best.pt")
    assert (description["layout"], description["preset"]) == ("nw-ucla", None)
    assert [entry["name"] for entry in description["labels"]["classes"]] == ["sit", "stand", "never seen"]


def test_recipes_are_listed_and_shown() -> None:
    listed = invoke("recipes").output
    assert "ma52-joint-plus" in listed
    assert "# stochastic depth" in invoke("recipes", "paper").output
    shown = invoke("recipes", "nw-ucla-bone", "--set", "optim.lr=0.25").output
    assert "lr: 0.25" in shown
    assert "stream: bone" in shown
    assert "extends" not in shown


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Killed in mid-epoch, resumed, and compared with a run that nobody disturbed."""
    options = ["--epochs", "3", "--size", "130", "--threads", "1"]
    # Whatever has a state: optimizer, average of the weights, dropout, mixup, augmentation, order.
    options += sets("model.width=16", "optim.batch_size=13", "optim.ema=0.9", "model.drop_path=0.2", "data.mixup=0.3")
    options += sets("augment.noise=0.01", "data.balance=0.5")
    command = [sys.executable, "-m", "mmn_edge", "train", "synthetic", *options, "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    broken = tmp_path / "broken"
    with subprocess.Popen([*command, str(broken)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"epoch   1/3")  # the second epoch has begun
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len((broken / "log.csv").read_text().splitlines()) == 2
    resumed = subprocess.run([*command, str(broken), "--resume"], check=True, capture_output=True, text=True)
    assert "epoch   1/3" not in resumed.stdout
    assert "epoch   2/3" in resumed.stdout
    for name in ("last.pt", "best.pt"):
        whole, _ = read_checkpoint(tmp_path / "whole" / name)
        again, _ = read_checkpoint(broken / name)
        for key, value in whole.items():
            assert torch.equal(value, again[key]), (name, key)
    assert len((broken / "log.csv").read_text().splitlines()) == 4


def interrupt(process: "subprocess.Popen[str]") -> str:
    """Press Ctrl-C as often as it takes: Python ignores one that falls into a destructor."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("Ctrl-C does not end it")


def test_a_full_disk_and_ctrl_c_lose_nothing(tmp_path: Path) -> None:
    """A real limit on what the process may write, then a real signal."""
    run = tmp_path / "run"
    options = ["--epochs", "50", "--size", "26", "--threads", "1", *sets("model.width=16", "optim.batch_size=13")]
    command = [sys.executable, "-m", "mmn_edge", "train", "synthetic", *options, "-o", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch   1/50")
        errors = interrupt(process)
    assert process.returncode == 130
    assert "Traceback" not in errors
    before = (run / "last.pt").read_bytes()
    build_network(read_checkpoint(run / "last.pt")[0])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))

    full = subprocess.run([*command, "--resume"], capture_output=True, text=True, preexec_fn=limit, check=False)
    assert full.returncode == 1
    assert "mmn-edge: cannot write" in full.stderr
    assert "the checkpoint of the epoch before is intact" in full.stderr
    assert "Traceback" not in full.stderr
    assert (run / "last.pt").read_bytes() == before
    assert not list(run.glob(".*partial*"))


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.pkl").write_bytes(b"\x80\x04.")
    for arguments, kind, message in [
        (["nowhere.pkl", "--recipe", "ma52-joint"], DataError, "does not exist"),
        ([annotations(tmp_path / "e.pkl")], UsageError, "--recipe"),
        ([tmp_path / "e.pkl", "--recipe", "custom"], UsageError, "does not say its layout"),
        ([tmp_path / "e.pkl", "--recipe", "jhmdb-joint"], DataError, "20 joints, and layout jhmdb has 15"),
        ([tmp_path / "d.pkl", "--recipe", "ma52-joint"], DataError, "no readable pickle"),
        (["synthetic", "--recipe", "ma52-joint"], UsageError, "belong together"),
        ([tmp_path / "e.pkl", "--recipe", "mars"], UsageError, "unknown recipe"),
        (["synthetic", "--qat"], UsageError, "--from"),
        (["synthetic", *sets("model.width=33"), "--size", "13"], UsageError, "divisible"),
    ]:
        result = invoke("train", *arguments, "-o", tmp_path / "run")
        assert type(result.exception) is kind, (arguments, result.exception)
        assert message in str(result.exception)
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    result = invoke("train", "synthetic", "-o", tmp_path / "run")
    assert type(result.exception) is MissingDependencyError
    assert 'pip install "mmn-edge[train]"' in str(result.exception)


def test_the_live_window_is_as_long_as_the_training_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = [
        {
            "frame_dir": f"c{index}",
            "label": index % 2,
            "keypoint": rng.uniform(50, 400, (1, 100, 15, 2)),
            "time": 7 + np.arange(100) / 20,
        }
        for index in range(16)
    ]
    split = {"train": [f"c{index}" for index in range(12)], "val": [f"c{index}" for index in range(12, 16)]}
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": entries, "layout": "jhmdb", "split": split}))
    imported = tmp_path / "imported.pkl"  # which keeps time stamps
    assert invoke("data", "import", path, "--to", "jhmdb", "-o", imported).exit_code == 0
    run = tmp_path / "run"
    found = invoke(
        "train", imported, "--recipe", "jhmdb-joint", "--epochs", 1, *SMALL, "--set", "model.frames=16", "-o", run
    )
    assert "clips of 4.95 s in the median: the live window is 4.95 s" in found.output
    description = read_checkpoint(run / "last.pt")[1]
    assert (description["window"]["seconds"], description["clip_seconds"]) == (4.95, pytest.approx(4.95))
    found = invoke("convert", run / "last.pt", "-o", tmp_path / "a.bundle")
    assert "window    4.95 s, as the training clips (4.95 s), one every 0.25 s" in found.output
    assert "live window" not in invoke("evaluate", tmp_path / "a.bundle", "--data", imported).output
    found = invoke("convert", run / "last.pt", "--window", 2, "-o", tmp_path / "b.bundle")
    assert "the model was trained on clips of 4.95 s in the median, and a window of 2 s" in found.output
    output = invoke("evaluate", tmp_path / "b.bundle", "--data", imported).output
    assert "4 of 4 clips are longer than the model's live window of 2 s" in " ".join(output.split())
    entries[0]["time"] = np.arange(100)
    entries[1]["time"] = np.arange(99)
    path.write_bytes(pickle.dumps({"annotations": entries, "layout": "jhmdb", "split": split}))
    output = invoke("data", "check", path).output
    assert "clip c0: its time stamps are no clock" in output
    assert 'clip c1 needs as "time" one number of seconds for each of its 100 frames' in output

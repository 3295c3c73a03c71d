from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mmn_edge.cli import cli, main
from mmn_edge.datasets.reading import read_clips


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in ("data", *arguments)])
    return int(ended.value.code or 0)


def data_set(path: Path, clips: int = 4, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    entries = [
        {"frame_dir": str(n), "label": n % 2, "keypoint": rng.uniform(0, 400, (1, 5, 136, 2)), **changes}
        for n in range(clips)
    ]
    path.write_bytes(pickle.dumps({"annotations": entries, "class_names": ["nod", "wave"]}))
    return path


def test_check_describes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_set(tmp_path / "set.pkl")
    assert run("check", path, "-o", tmp_path / "report") == 0
    printed = capsys.readouterr().out
    for part in ("halpe136 (a guess)", "nod", "██", "problems: none", "warnings: none"):
        assert part in printed
    assert (tmp_path / "report" / "index.html").is_file()
    assert run("check", path, "-o", tmp_path / "report") == 0
    (tmp_path / "report" / "notes.txt").touch()
    assert run("check", path, "-o", tmp_path / "report") == 2
    assert "holds notes.txt, so it was left alone" in capsys.readouterr().err


def test_check_ends_with_3_where_there_are_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_set(tmp_path / "set.pkl", clips=30, label=5)
    assert run("check", path) == 3
    printed = capsys.readouterr().out
    assert "problems: 1" in printed
    assert "30 clips alike, the first: " in printed
    names = [f"{number}" for number in range(30)]
    assert ", ".join(names) not in printed
    assert run("check", path, "--all") == 3
    assert ", ".join(names) in capsys.readouterr().out
    assert run("check", path, "--json") == 3
    values = json.loads(capsys.readouterr().out)
    assert list(values["clips_of"][values["problems"][0]]) == names
    assert run("check", tmp_path / "none.pkl") == 3
    assert run("check", path, "--split", "train") == 3
    assert "has no split 'train'" in capsys.readouterr().err


def test_import_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_set(tmp_path / "set.pkl", clips=40)
    command = ("import", path, "--from", "halpe136", "--to", "imigue", "-o", tmp_path / "out.pkl")
    assert run(*command) == 0
    printed = capsys.readouterr().out
    assert "40 clips in 2 classes of 2 named, layout imigue" in printed
    assert "splits: all 40, train 34, val 6" in printed
    found = read_clips(tmp_path / "out.pkl", "val")
    assert (found.layout, found.class_names, len(found.clips)) == ("imigue", ("nod", "wave"), 6)
    assert run(*command) == 2
    assert "exists and was left alone" in capsys.readouterr().err
    (tmp_path / "names.txt").write_text("wave\nnod\n")
    assert run(*command, "--force", "--split", "a=0.5,b=0.5", "--classes", tmp_path / "names.txt") == 0
    assert read_clips(tmp_path / "out.pkl", "a").class_names == ("wave", "nod")
    assert run("import", path, "--from", "halpe136", "--to", "ma52", "-o", tmp_path / "x.pkl", "--classes", path) == 0


def test_import_says_which_clips_are_in_no_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = data_set(tmp_path / "one.pkl")
    content = pickle.loads(one.read_bytes())
    content["split"] = {"train": ["0", "1"], "val": ["2", "3"]}
    one.write_bytes(pickle.dumps(content))
    del content["split"]
    for entry in content["annotations"]:
        entry["frame_dir"] += "x"
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(content))
    target = ("--from", "halpe136", "--to", "imigue", "-o", tmp_path / "out.pkl")
    assert run("import", one, tmp_path / "other.pkl", *target) == 0
    assert "4 clips are in no split, such as 0x" in capsys.readouterr().err
    assert run("import", one, tmp_path / "other.pkl", *target, "--force", "--split", "train=0.5,val=0.5") == 0
    assert "no split" not in capsys.readouterr().err


def test_seeds_give_the_same_file(tmp_path: Path) -> None:
    path = data_set(tmp_path / "set.pkl", clips=40)
    files = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        target = tmp_path / f"{name}.pkl"
        assert run("import", path, "--from", "halpe136", "--to", "ma52", "--seed", seed, "-o", target) == 0
        files.append(target.read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--to", "ma53"), 3, "unknown skeleton layout 'ma53'"),
        (("--to", "ma52", "--from", "x"), 3, "unknown skeleton layout 'x'"),
        (("--to", "ma52"), 3, "does not say which layout"),
        (("--to", "ma52", "--image-size", "640"), 2, "--image-size takes width and height"),
        (("--to", "ma52", "--split", "x"), 2, "splits are given as"),
    ],
)
def test_import_explains_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], code: int, message: str
) -> None:
    path = data_set(tmp_path / "set.pkl")
    assert run("import", path, "-o", tmp_path / "out.pkl", *options) == code
    assert message in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.pkl"]


def test_download_refuses_what_is_no_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("download", "name") == 2
    assert "it has the form OWNER/NAME" in capsys.readouterr().err


@pytest.mark.parametrize("command", [(), ("check",), ("import",), ("download",)])
def test_help_has_examples(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert run(*command, "--help") == 0
    assert "Examples:" in capsys.readouterr().out


def test_a_narrow_terminal_shows_every_class_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    names = ["touching or scratching the neck", "clasping hands"]
    rng = np.random.default_rng(0)
    annotations = [
        {"frame_dir": f"c{i}", "label": i % 2, "keypoint": rng.normal(300, 50, (1, 20, 44, 2)).astype(np.float32)}
        for i in range(8)
    ]
    path = tmp_path / "set.pkl"
    content = {"annotations": annotations, "split": {"train": [f"c{i}" for i in range(8)]}, "class_names": names}
    path.write_bytes(pickle.dumps(content))
    output = CliRunner().invoke(cli, ["data", "check", str(path)]).output
    for name in names:
        assert name in output
    assert "train 4 · clips 4" in output


def test_import_is_told_what_scores_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_set(tmp_path / "set.pkl", keypoint_score=np.full((1, 5, 136), 88.0))
    wanted = ("import", path, "-o", tmp_path / "new.pkl", "--from", "halpe136", "--to", "ma52")
    assert run(*wanted) == 3
    assert "--score-scale" in capsys.readouterr().err
    assert run(*wanted, "--score-scale", "100") == 0
    assert read_clips(tmp_path / "new.pkl").clips[0].scores.max() == np.float32(0.88)  # type: ignore[union-attr]
    assert run(*wanted, "--score-scale", "0", "--force") == 2

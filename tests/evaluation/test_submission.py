import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.errors import UsageError
from mmn_edge.evaluation.submission import check_submission, rows, write_submission
from mmn_edge.model import labels
from mmn_edge.model.labels import Labels


def test_rows() -> None:
    names = labels.get("ma52")
    logits = np.zeros((2, 52))
    logits[0, [50, 3, 12, 30, 7]] = [9.0, 8.0, 7.0, 6.0, 5.0]
    header, first, second = rows(["a.mp4", "b.mp4"], logits, names)
    assert ",".join(header) == (
        "vid,action_pred_1,action_pred_2,action_pred_3,action_pred_4,action_pred_5,"
        "body_pred_1,body_pred_2,body_pred_3,body_pred_4,body_pred_5"
    )
    assert first == ["a.mp4", "50", "3", "12", "30", "7", "6", "0", "2", "3", "1"]
    # All equal: classes by number, groups by the number of their classes (13, 10, 8, then 6 and 6).
    assert second == ["b.mp4", "0", "1", "2", "3", "4", "2", "5", "3", "1", "4"]


def test_the_groups_are_summed() -> None:
    names = Labels(tuple("abcdef"), tuple("stuvw"), (0, 1, 1, 2, 3, 4))
    p = np.array([[0.4, 0.3, 0.25, 0.03, 0.01, 0.01]])
    _, row = rows(["x"], np.log(p), names)
    assert row[1] == "0"
    assert row[6:8] == ["1", "0"]


def test_a_model_without_groups_cannot_submit() -> None:
    with pytest.raises(UsageError, match="32 classes in 0 groups"):
        rows(["x"], np.zeros((1, 32)), labels.get("imigue"))


def test_the_zip_holds_one_table_and_is_repeatable(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    table = [["vid", "action_pred_1"], ["clip, one", "3"]]
    write_submission(path, table)
    first = path.read_bytes()
    write_submission(path, table)
    assert path.read_bytes() == first
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["prediction.csv"]
        text = archive.read("prediction.csv").decode()
    assert list(csv.reader(io.StringIO(text))) == table
    assert "\r" not in text


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "photos.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("me.jpg", b"x")
    text = tmp_path / "notes.txt"
    text.write_text("dear diary")
    for path in (other, text, tmp_path):
        with pytest.raises(UsageError, match="left alone"):
            check_submission(path)
    check_submission(tmp_path / "new.zip")

from __future__ import annotations

import pickle
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mmn_edge.datasets.check import Report, check
from mmn_edge.datasets.reading import open_source
from mmn_edge.datasets.report import check_folder, figures, write_report
from mmn_edge.errors import UsageError


def report(tmp_path: Path, classes: int = 3, clips: int = 8) -> Report:
    rng = np.random.default_rng(0)
    entries = [
        {"frame_dir": f"c<{n}>", "label": n % classes, "keypoint": rng.uniform(0, 400, (1, 1 + n, 22, 2))}
        for n in range(clips)
    ]
    entries.append({"frame_dir": "broken", "label": -1, "keypoint": np.ones((1, 1, 22, 2))})
    content = {
        "annotations": entries,
        "split": {"train": ["c<0>", "c<1>"], "val": ["c<2>"]},
        "class_names": [f"a & {n}" for n in range(classes)] + ["empty"],
    }
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content))
    return check(open_source(path))


def test_a_folder_with_pictures_and_a_page_that_holds_them(tmp_path: Path) -> None:
    found = report(tmp_path)
    files = write_report(found, tmp_path / "out")
    assert set(files) == {path.name for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"index.html", "contact_sheet.svg", "classes.svg", "lengths.svg"}
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for name in files[:-1]:
        picture = (tmp_path / "out" / name).read_text("utf-8")
        ElementTree.fromstring(picture)
        assert picture in page
    assert "clip broken has label -1" in page
    assert "a &amp; 1" in page
    assert "c<" not in page.replace("<circle", "")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched


def test_many_classes_make_several_sheets(tmp_path: Path) -> None:
    files = write_report(report(tmp_path, classes=70, clips=70), tmp_path / "out")
    assert "contact_sheet_2.svg" in files
    assert "1 of 2" in (tmp_path / "out" / "contact_sheet.svg").read_text("utf-8")


def test_a_data_set_without_readable_clips_still_has_a_page(tmp_path: Path) -> None:
    assert write_report(report(tmp_path, clips=0), tmp_path / "out") == ("index.html",)
    assert "clip broken" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_only_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    found = report(tmp_path)
    check_folder(tmp_path / "out")
    write_report(found, tmp_path / "out")
    check_folder(tmp_path / "out")
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="left alone"):
        check_folder(tmp_path / "out")
    with pytest.raises(UsageError, match="left alone"):
        check_folder(tmp_path / "set.pkl")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<html><head><title>My own page</title></head></html>")
    with pytest.raises(UsageError, match="left alone"):
        check_folder(tmp_path / "site")


def test_figures(tmp_path: Path) -> None:
    rows = dict(figures(report(tmp_path)))
    assert rows["clips"] == "8, 1 that cannot be read"
    assert rows["splits"] == "train 2, val 1"
    assert rows["classes"] == "4, 1 of them empty"
    assert rows["frames"] == "1 to 8, median 4.5; 1 of one frame"
    assert rows["layout"] == "not named; by its joints imigue (a guess)"
    assert rows["missing joints"] == "0.0%"


@pytest.mark.parametrize("length", [1, 500])
def test_lengths_of_any_range(tmp_path: Path, length: int) -> None:
    entries = [{"frame_dir": str(n), "label": 0, "keypoint": np.full((1, n, 22, 2), n)} for n in (1, length)]
    (tmp_path / "set.pkl").write_bytes(pickle.dumps({"annotations": entries}))
    write_report(check(open_source(tmp_path / "set.pkl")), tmp_path / "out")
    bars = ElementTree.parse(tmp_path / "out" / "lengths.svg").iter("{http://www.w3.org/2000/svg}rect")
    assert 2 <= len(list(bars)) <= 42  # the first is the background


def test_names_that_no_document_can_hold(tmp_path: Path) -> None:
    entries = [{"frame_dir": "a\x01\ud800", "label": "nod\x02\ud800", "keypoint": np.eye(22, 2)[None, None]}]
    (tmp_path / "set.pkl").write_bytes(pickle.dumps({"annotations": entries}))
    write_report(check(open_source(tmp_path / "set.pkl")), tmp_path / "out")
    for name in ("contact_sheet.svg", "classes.svg"):
        ElementTree.parse(tmp_path / "out" / name)

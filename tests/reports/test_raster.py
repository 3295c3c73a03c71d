from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmn_edge.errors import MissingDependencyError, UsageError
from mmn_edge.reports.raster import write_picture
from mmn_edge.reports.svg import picture

SVG = picture(200, 100, ['<text x="10" y="50">ä &amp; b</text>'], title="x")


def test_pictures_in_three_formats(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.svg", SVG)
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == SVG
    try:
        import cairosvg  # noqa: F401
    except (ImportError, OSError):
        pytest.skip("PROOF SKIPPED: CairoSVG or the cairo library is not installed")
    write_picture(tmp_path / "a.PNG", SVG)
    data = (tmp_path / "a.PNG").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (400, 200)
    write_picture(tmp_path / "a.pdf", SVG)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"a picture ends in \.svg, \.png, \.pdf"):
        write_picture(tmp_path / "a.gif", SVG)
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    with pytest.raises(MissingDependencyError, match=r'Writing PNG and PDF needs cairosvg.*pip install "mmn-edge'):
        write_picture(tmp_path / "a.png", SVG)

    def broken(name: str) -> None:
        raise OSError("no library called cairo-2 was found")

    monkeypatch.setattr("mmn_edge.system.extras.importlib.import_module", broken)
    with pytest.raises(MissingDependencyError, match="needs the cairo library"):
        write_picture(tmp_path / "a.png", SVG)
    assert list(tmp_path.iterdir()) == []

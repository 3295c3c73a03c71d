from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from mmn_edge.system.file_kind import file_kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "a Git LFS pointer"),
        (b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<title>Sign in</title>", "a web page"),
        (b"<html lang='de'>", "a web page"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08\0", "a gzip archive: unpack it with gunzip"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PK\x03\x04 and no end", ""),
        ("größer\n".encode(), "a text file that begins with 'größer'"),
        (("a" * 1023 + "ä").encode(), "a text file that begins with 'aaaa"),
        (b"\n\nnot found", "a text file that begins with ''"),
        (b"\x80\x04N.", ""),
        (b"a\0b", ""),
    ],
)
def test_the_first_bytes_tell(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    found = file_kind(tmp_path / "x.pt")
    assert found.startswith(kind)
    assert bool(found) == bool(kind)


def test_archives_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    for name, kind in (("a/data.pkl", "a file of torch.save"), ("a/photo.jpg", "a ZIP archive: unpack it")):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(name, "x")
        assert file_kind(tmp_path / "x.zip") == kind
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    assert file_kind(tmp_path / "x.npz") == "an archive of arrays (.npz)"


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        file_kind(tmp_path)

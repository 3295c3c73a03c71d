"""What a file is that is not what it should be: a web page, a Git LFS pointer, an archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["file_kind"]

_BEGINNINGS = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive: unpack it with gunzip"),
    (b"BZh", "a bzip2 archive: unpack it with bunzip2"),
    (b"\xfd7zXZ", "an xz archive: unpack it with unxz"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
)
_PEEK = 1024


def file_kind(path: Path) -> str:
    """What a file is by its first bytes, as the end of a sentence ``FILE is ...``; empty where they do not tell.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PEEK)
    if not head:
        return "empty"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer, which stands for a file that has not been fetched: fetch it with git lfs pull"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, as a download that needs a click or a login gives: download the file itself in a browser"
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if zipfile.is_zipfile(path):
        return _archive(path)
    if _is_text(head):
        first = head.splitlines()[0].decode("utf-8", "replace").strip()
        return f"a text file that begins with {first[:40]!r}"
    return ""


def _archive(path: Path) -> str:
    """What a ZIP archive is: several formats are some."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return "a damaged ZIP archive"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "a file of torch.save"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of arrays (.npz)"
    return "a ZIP archive: unpack it"


def _is_text(head: bytes) -> bool:
    """Whether bytes are text: UTF-8, perhaps cut within a letter, without control characters."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or len(head) < _PEEK:
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)

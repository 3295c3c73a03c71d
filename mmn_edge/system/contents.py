"""What a path holds, told by its first bytes: so that a file given in the wrong place is named for what it is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["GZIP", "contents", "is_recording"]

GZIP = b"\x1f\x8b"

_MANIFEST = "manifest.json"
_HEAD = 4096
_BOM = b"\xef\xbb\xbf"
_JSON_LINES = (".jsonl", ".ndjson")
_SUFFIXES = {
    "checkpoint": (".pt", ".pth", ".ckpt", ".safetensors"),
    "ONNX model": (".onnx",),
    "data set": (".pkl", ".pickle", ".npz", ".npy"),
    "video": (".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
}


def contents(path: Path) -> str | None:
    """What is at ``path``: ``"bundle"``, ``"recording"``, ``"checkpoint"``, ``"data set"`` ... or None, not known.

    Folders that are no bundle are ``"folder"``, other JSON is ``"JSON file"``. A file that cannot be read is told by
    its suffix.
    """
    if path.is_dir():
        return "bundle" if (path / _MANIFEST).is_file() else "folder"
    if not path.is_file():
        return None
    head = _head(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in _JSON_LINES or (head.startswith(GZIP) and len(suffixes) > 1 and suffixes[-2] in _JSON_LINES):
        return "recording"
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith((b"{", b"[")):
        return "recording" if is_recording(text) else "JSON file"
    if head.startswith(b"PK\x03\x04") and b"/data.pkl" in head[:256]:
        return "checkpoint"  # torch.save, whatever its suffix
    return next((kind for kind, known in _SUFFIXES.items() if last in known), None)


def is_recording(head: bytes) -> bool:
    """Whether JSON that begins like this is a skeleton recording: its first line is a frame."""
    line = head.split(b"\n", 1)[0]
    return line.startswith(b"{") and all(key in line for key in (b'"persons"', b'"layout"', b'"time"'))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""

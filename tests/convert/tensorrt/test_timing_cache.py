"""TensorRT's own part needs a GPU; these are tests of our logic around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmn_edge.convert.tensorrt.timing_cache import TimingCache, cache_folder
from mmn_edge.system.tensorrt import CudaDevice

ORIN = CudaDevice("Orin NX (16 GB)", "8.7", "540.4.0", "12.6")


class Config:
    """Stands for a builder's configuration that takes only what begins with ``TRT``, or nothing."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def create_timing_cache(self, content: bytes) -> bytes | None:
        return content if content.startswith(b"TRT") or not content else None

    def set_timing_cache(self, cache: bytes | None, ignore_mismatch: bool) -> bool:
        if cache is None:
            raise TypeError("incompatible function arguments")
        self.given.append(cache)
        return cache != b"TRT of another GPU"

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: memoryview(b"TRT measured"))


def test_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mmn-edge"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == Path.home() / ".cache" / "mmn-edge"
    path = TimingCache("10.3.0", ORIN, tmp_path).path
    assert path == tmp_path / "timing-10.3.0-Orin_NX_16_GB_-8.7.cache"


def test_timings_are_kept_and_given_to_the_next_build(tmp_path: Path) -> None:
    cache = TimingCache("10.3.0", ORIN, tmp_path / "new")
    first, second = Config(), Config()
    cache.give(first)
    cache.keep(first)
    TimingCache("10.3.0", ORIN, tmp_path / "new").give(second)
    assert (first.given, second.given) == ([b""], [b"TRT measured"])


@pytest.mark.parametrize("content", [b"garbage", b"TRT of another GPU"])
def test_a_file_that_tensorrt_does_not_take_is_as_good_as_none(content: bytes, tmp_path: Path) -> None:
    cache = TimingCache("10.3.0", ORIN, tmp_path)
    cache.path.write_bytes(content)
    config = Config()
    cache.give(config)
    assert config.given[-1] == b""


def test_a_cache_that_cannot_be_written_fails_no_build(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    TimingCache("10.3.0", ORIN, tmp_path / "file").keep(Config())

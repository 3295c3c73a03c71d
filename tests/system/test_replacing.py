from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.errors import BundleError, UsageError
from mmn_edge.system.replacing import check_replaceable


def test_what_is_not_there_is_not_asked_about(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new", lambda path: "is never asked")


def test_an_earlier_output_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    check_replaceable(tmp_path, lambda path: None)
    with pytest.raises(UsageError, match="holds a letter, so it was left alone: move that"):
        check_replaceable(tmp_path, lambda path: "holds a letter")
    with pytest.raises(BundleError):
        check_replaceable(tmp_path, lambda path: "holds a letter", error=BundleError)


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        check_replaceable(tmp_path / "link", lambda path: "exists")

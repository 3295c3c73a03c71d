from pathlib import Path

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.runtime.sinks.options import number, seconds, secret, size, split_options

KNOWN = ("size", "age")


def test_options_follow_commas() -> None:
    assert split_options("a.jsonl,size=5MB,age=1h", KNOWN) == ("a.jsonl", {"size": "5MB", "age": "1h"})


def test_a_comma_in_a_name_stays() -> None:
    assert split_options("a, b=c d.jsonl", KNOWN) == ("a, b=c d.jsonl", {})
    assert split_options("a,b.jsonl,age=1h", KNOWN) == ("a,b.jsonl", {"age": "1h"})


@pytest.mark.parametrize("text", ["a.jsonl,sise=5MB", "a.jsonl,size=1MB,size=2MB"])
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"sise|twice"):
        split_options(text, KNOWN)


def test_durations_and_sizes() -> None:
    assert seconds({"age": "1.5h"}, "age", None) == 5400
    assert seconds({}, "age", 7.0) == 7.0
    assert size({"size": "50MB"}, "size", None) == 50_000_000
    assert number({"queue": "12"}, "queue", 1, most=100) == 12


@pytest.mark.parametrize("text", ["5", "h", "-1h", "0h", "1 fortnight", "1e3s", "9" * 40 + "s", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="age must be a duration"):
        seconds({"age": text}, "age", None)


def test_a_secret_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_SECRET", raising=False)
    assert secret("SOME_SECRET", None) is None
    monkeypatch.setenv("SOME_SECRET", "from the environment")
    assert secret("SOME_SECRET", None) == "from the environment"
    (tmp_path / "secret").write_text("from a file \nnot this")
    assert secret("SOME_SECRET", str(tmp_path / "secret")) == "from a file"
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match="holds no secret"):
        secret("SOME_SECRET", str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="cannot read"):
        secret("SOME_SECRET", str(tmp_path / "absent"))

from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.runtime.sources.grammar import open_source
from mmn_edge.runtime.sources.images import Orientation
from mmn_edge.runtime.streams.endpoint import TOKEN, Endpoint


@pytest.mark.parametrize(
    ("text", "host", "port", "shown", "dials", "local"),
    [
        ("tcp://:9000", "127.0.0.1", 9000, "tcp://127.0.0.1:9000", False, True),
        ("udp://0.0.0.0:1", "0.0.0.0", 1, "udp://0.0.0.0:1", False, False),
        ("tcp+connect://sensor.local:65535", "sensor.local", 65535, "tcp+connect://sensor.local:65535", True, False),
        ("tcp://[::1]:9000", "::1", 9000, "tcp://[::1]:9000", False, True),
        ("ws+connect://10.0.0.7:80/skeletons", "10.0.0.7", 80, "ws+connect://10.0.0.7:80/skeletons", True, False),
        ("ws://localhost:8765/", "localhost", 8765, "ws://localhost:8765", False, True),
    ],
)
def test_addresses(text: str, host: str, port: int, shown: str, dials: bool, local: bool) -> None:
    found = Endpoint.parse(text)
    assert (found.host, found.port, found.shown, found.dials, found.is_local) == (host, port, shown, dials, local)
    assert found.token is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tcp://9000", "is malformed"),
        ("tcp://", "is malformed"),
        ("tcp://:70000", "is malformed"),
        ("tcp://me:secret@host:9000", "is malformed"),
        ("tcp://host:9000/path", "has no path"),
        ("tcp://host:9000?token=x", "is malformed"),
        ("tcp://host:9000,token=secret", "no part of an address"),
        ("tcp://host:9000,certificate=x", "option 'certificate' of tcp:// is not one of token-file=FILE"),
        ("ws://host:9000,key=x", "option 'key'"),
        ("wss://:9000", "needs a certificate"),
        ("tcp://:9000,token-file=a,token-file=b", "each once"),
        ("tcp://:9000,token-file=/nowhere", "cannot read the token file"),
    ],
)
def test_malformed_addresses(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Endpoint.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "ä\n", "x" * 2000, "a\x00b"])
def test_token_files_that_hold_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="must hold one line"):
        Endpoint.parse(f"tcp://:9000,token-file={path}")


def test_tokens_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "from the environment")
    (tmp_path / "token").write_text("from the file\nmore\n")
    assert Endpoint.parse("tcp://:9000").token == "from the environment"
    found = Endpoint.parse(f"tcp://:9000,token-file={tmp_path / 'token'}")
    assert found.token == "from the file"
    assert "from the" not in f"{found!r} {found.shown}"


def test_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("x")
    for text in (f"wss://:0,certificate={tmp_path / 'a.pem'}", "wss://:0,certificate=/nowhere"):
        with pytest.raises(UsageError, match="cannot be used"):
            Endpoint.parse(text).tls()


def test_grammar_takes_them() -> None:
    source = open_source("udp://:9000")
    assert source.live
    assert source.layout is None
    with pytest.raises(UsageError, match="its own pace"):
        open_source("udp://:9000", speed=2)
    with pytest.raises(UsageError, match="no images"):
        open_source("udp://:9000", orientation=Orientation(90))

from __future__ import annotations

from pathlib import Path

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.runtime.sinks.annotations import AnnotationSink
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink
from mmn_edge.runtime.sinks.mqtt import MqttSink
from mmn_edge.runtime.sinks.sink import JsonLinesSink, RotatedSink, TableSink


def test_every_kind_of_sink_has_its_name(tmp_path: Path, context: SinkContext) -> None:
    assert isinstance(open_sink("-", context), JsonLinesSink)
    assert isinstance(open_sink("table", context), TableSink)
    assert isinstance(open_sink(f"{tmp_path}/a.jsonl,size=1MB,keep=7d", context), RotatedSink)
    assert isinstance(open_sink(f"{tmp_path}/a.csv", context), AnnotationSink)
    assert isinstance(open_sink("mqtts://broker/base,discovery=off", context), MqttSink)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host", "unknown sink"),
        ("nonsense", "unknown sink"),
        ("a.eaf,size=1MB", "options are for .jsonl"),
        ("a.jsonl,size=big", "size must be a size"),
        ("mqtt://", "names no host"),
        ("mqtt://me:secret@host", "a password has no place"),
        ("mqtt://host/a/#", "wildcards"),
        ("mqtt://host,ca=ca.pem", "certificates are for mqtts"),
        ("mqtt://host:99999", "names no host"),
        ("ws://token@127.0.0.1", "a token has no place"),
        ("ws://127.0.0.1/events?token=secret", "a token has no place"),
        ("http://127.0.0.1:8080/metrics", "name no path"),
    ],
)
def test_what_is_no_sink_is_refused_in_a_sentence_without_its_secrets(
    context: SinkContext, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_sink(text, context)
    assert "secret" not in str(caught.value)


def test_a_server_for_everybody_says_so(
    context: SinkContext, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMN_EDGE_HTTP_TOKEN", raising=False)
    open_sink("ws://127.0.0.1:1", context)
    assert notes == []
    open_sink("ws://0.0.0.0:1", context)
    assert "can read along" in notes[0]
    monkeypatch.setenv("MMN_EDGE_HTTP_TOKEN", "x")
    open_sink("ws://0.0.0.0:2", context)
    assert len(notes) == 1

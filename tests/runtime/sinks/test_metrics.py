from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from mmn_edge.events.decoder import Event
from mmn_edge.runtime.counters import SourceCounters
from mmn_edge.runtime.recognizer import Prediction
from mmn_edge.runtime.sinks import metrics
from mmn_edge.runtime.sinks.context import SinkContext
from mmn_edge.runtime.sinks.grammar import open_sink

parser = pytest.importorskip("prometheus_client.parser")


def read(context: SinkContext, path: str) -> str:
    port = context.servers.at("127.0.0.1", 0).address[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_prometheus_reads_counters_and_histograms(context: SinkContext, event: Callable[..., Event]) -> None:
    sink = open_sink("http://127.0.0.1:0", context)
    counters = context.counters.sources["desk"] = SourceCounters("desk", live=True, state="running")
    with context.servers, sink:
        for moment in range(5):
            counters.frame(float(moment), True, time.monotonic())
        context.losses["mqtt"] = lambda: 7
        sink.write(Prediction(1.0, 0, "nodding", 0.75, "head", (("nodding", 0.75),), {"infer": 2.0, "total": 2.5}))
        sink.write(event("start"))
        sink.write(event("end"))
        families = {family.name: family for family in parser.text_string_to_metric_families(read(context, "/metrics"))}
        health = json.loads(read(context, "/health"))
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["mmn_edge_frames_total", (("source", "desk"),)] == 5
    assert values["mmn_edge_source_up", (("source", "desk"),)] == 1
    assert values["mmn_edge_sink_lost_total", (("sink", "mqtt"),)] == 7
    assert values["mmn_edge_predictions_total", (("source", "desk"),)] == 1
    assert values["mmn_edge_events_total", (("label", event().label), ("source", "desk"))] == 1
    assert values["mmn_edge_latency_seconds_bucket", (("le", "0.0025"), ("stage", "infer"))] == 1
    assert values["mmn_edge_latency_seconds_bucket", (("le", "0.001"), ("stage", "infer"))] == 0
    assert health["status"] == "ok"
    assert health["run"]["sources"][0]["time"] == 4.0
    assert health["run"]["lost"] == {"mqtt": 7}


def test_a_live_run_is_well_while_any_source_delivers(context: SinkContext, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = context.counters.sources
    sources["desk"] = SourceCounters("desk", live=True, state="failed", failure="unplugged")
    sources["hall"] = SourceCounters("hall", live=True, state="running")
    sink = open_sink("http://127.0.0.1:0", context)
    with context.servers, sink:
        health = json.loads(read(context, "/health"))
        assert [source["ok"] for source in health["run"]["sources"]] == [False, True]
        monkeypatch.setattr(metrics, "STALLED_SECONDS", 0.0)
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            read(context, "/health")
        caught.value.close()

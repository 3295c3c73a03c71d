from __future__ import annotations

import json
import math

from mmn_edge.drift.layers import Layer, LayerDrift

NAN = math.nan
DRIFT = LayerDrift(
    (Layer("a/Conv", 0.001, 0.0), Layer("b/Add", 0.3, 0.001), Layer("c/Relu", 0.5, 0.4), Layer("d/Sub", 0.2, 0.2)),
    windows=2,
    threshold=0.1,
)


def test_where_drift_begins_and_what_adds_most() -> None:
    assert DRIFT.first is not None
    assert DRIFT.first.name == "b/Add"
    assert [layer.name for layer in DRIFT.jumps(2)] == ["c/Relu", "b/Add"]
    assert math.isclose(DRIFT.layers[2].added, 0.3)
    assert DRIFT.layers[3].added == 0
    assert LayerDrift(DRIFT.layers, 2, threshold=1.0).first is None
    assert LayerDrift(DRIFT.layers[2:], 2, threshold=0.1).first is None  # large, and explained by what comes in


def test_what_is_not_finite_has_drifted() -> None:
    layers = (Layer("a/Conv", 0.001, 0.0), Layer("b/Exp", NAN, 0.001), Layer("c/Add", NAN, NAN))
    drift = LayerDrift(layers, 1, threshold=0.1)
    assert drift.first == layers[1]
    assert drift.jumps(1) == (layers[1],)
    assert json.loads(json.dumps(drift.to_dict(), allow_nan=False))["layers"][1]["error"] is None


def test_a_layer_with_less_than_twice_what_it_inherits_is_not_where_drift_begins() -> None:
    for times, begins in ((1.9, False), (2.1, True)):
        layer = Layer("a/Conv", 0.2 * times, 0.2)
        assert (LayerDrift((layer,), 1, threshold=0.1).first is layer) == begins

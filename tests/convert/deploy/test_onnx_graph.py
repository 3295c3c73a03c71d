"""The ONNX graph of the deploy form against PyTorch, and against the graph that PyTorch's exporter makes of it."""

import ast
import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mmn_edge.convert.deploy.deploy import deployed
from mmn_edge.convert.deploy.interfaces import FeaturesGraph, KeypointsGraph, StreamsGraph, window_index
from mmn_edge.convert.deploy.onnx_graph import onnx_graph
from mmn_edge.convert.graph.lint import lint, site_of
from mmn_edge.convert.graph.writer import OPSET
from mmn_edge.convert.layer_outputs import GRAPH, MOVING
from mmn_edge.model.architecture import Architecture
from mmn_edge.model.task import DETECT
from mmn_edge.network import MMN
from mmn_edge.skeleton import layouts
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import STREAMS, Preprocessing

Graph = FeaturesGraph | KeypointsGraph | StreamsGraph

SMALL = Architecture(num_classes=5, num_joints=22, width=16, depth=1, mlp_width=32, num_frames=16)
CONFIGURATIONS = {
    "small": SMALL,
    "two-people-max": replace(SMALL, num_people=2, global_pool="max", num_frames=32),
    "learned-positions": replace(SMALL, index_t=False),
    # Several channels a head and several blocks, as published: reshapes that a small network has no need of.
    "wide-deep": replace(SMALL, width=32, depth=2),
}


def network(arch: Architecture, seed: int = 0) -> MMN:
    """A network none of whose numbers is the one that it begins with."""
    torch.manual_seed(seed)
    net = MMN(arch).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.3, 3.0)
            elif value.is_floating_point():
                value.add_(0.1 * torch.randn_like(value))
        net.head.weight.mul_(10)  # a small network's logits hardly depend on its input
    return net


def of_features(arch: Architecture, *, temperature: float = 1.0) -> FeaturesGraph:
    return FeaturesGraph(deployed(network(arch)), temperature=temperature).eval()


def of_keypoints(
    arch: Architecture, streams: Sequence[str] = ("joint",), weights: Sequence[float] = (), *, temperature: float = 1.0
) -> KeypointsGraph | StreamsGraph:
    members = {}
    for seed, (stream, weight) in enumerate(zip(streams, weights or (1.0,), strict=True)):
        net = deployed(network(arch, seed), window_index(arch.num_frames))
        members[stream] = (net, Preprocessing.for_layout(layouts.get("imigue"), stream), weight)
    if weights:
        return StreamsGraph(members, temperature=temperature).eval()
    return KeypointsGraph(*members[streams[0]][:2], temperature=temperature).eval()


def windows(graph: Graph, arch: Architecture, count: int) -> dict[str, FloatArray]:
    shapes = {
        "keypoints": (arch.num_frames, arch.graph_joints, arch.in_channels),
        "features": (arch.in_channels, arch.num_frames, arch.num_joints, arch.num_people),
        "index_t": (arch.num_frames,),
    }
    rng = np.random.default_rng(count)
    values = {name: rng.uniform(-1, 1, (count, *shapes[name])).astype(np.float32) for name in graph.input_names}
    return {name: 300 + 100 * x if name == "keypoints" else x for name, x in values.items()}


def run(model: onnx.ModelProto, inputs: dict[str, FloatArray]) -> list[FloatArray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[FloatArray] = session.run(["logits", "probabilities"], inputs)
    return found


def check_outputs(graph: Graph, arch: Architecture, model: onnx.ModelProto) -> None:
    """ONNX Runtime's outputs are PyTorch's, for one window and for several."""
    for count in (1, 3):
        inputs = windows(graph, arch, count)
        with torch.inference_mode():
            expected = [x.numpy() for x in graph(*map(torch.from_numpy, inputs.values()))]
        if count > 1:
            assert expected[0].std(0).max() > 1e-2  # logits depend on the input
        for found, exact in zip(run(model, inputs), expected, strict=True):
            np.testing.assert_allclose(found, exact, atol=1e-5 * max(1, np.abs(exact).max()))


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("kind", ["features", "keypoints"])
def test_it_computes_what_the_modules_do(kind: str, name: str) -> None:
    arch = CONFIGURATIONS[name]
    graph = of_features(arch, temperature=1.7) if kind == "features" else of_keypoints(arch, temperature=1.7)
    model = onnx_graph(graph)
    onnx.checker.check_model(model, full_check=True)
    lint(model, (), precision="fp32")
    check_outputs(graph, arch, model)


def test_probabilities_of_the_task_detect_are_sigmoids() -> None:
    graph = FeaturesGraph(deployed(network(SMALL)), temperature=1.7, task=DETECT).eval()
    model = onnx_graph(graph)
    check_outputs(graph, SMALL, model)
    assert [node.op_type for node in model.graph.node if "probabilities" in node.output] == ["Sigmoid"]


def test_three_coordinates() -> None:
    arch = replace(SMALL, in_channels=3)
    graph = of_features(arch)
    check_outputs(graph, arch, onnx_graph(graph))


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream(stream: str) -> None:
    graph = of_keypoints(SMALL, [stream])
    check_outputs(graph, SMALL, onnx_graph(graph))


@pytest.mark.parametrize("weights", [(0.7, 0.2, 0.1), (1.0, 1.0, 0.5)])
def test_several_streams_share_what_they_have_in_common(weights: Sequence[float]) -> None:
    arch = CONFIGURATIONS["two-people-max"]
    graph = of_keypoints(arch, ("joint", "bone", "bone-motion"), weights, temperature=1.4)
    model = onnx_graph(graph)
    check_outputs(graph, arch, model)
    gathers = [node.name for node in model.graph.node if site_of(node.name).endswith("stream")]
    assert gathers == [
        "joint.stream/Gather",
        "bone.stream/Gather",
        "bone.stream/Sub",
        "bone-motion.stream/Gather",
        "bone-motion.stream/Sub",
    ]


def test_every_value_has_a_shape_and_the_batch_is_named() -> None:
    arch = CONFIGURATIONS["wide-deep"]
    model = onnx_graph(of_keypoints(arch))
    values = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    made = {name for node in model.graph.node for name in node.output} - {"logits", "probabilities"}
    assert values.keys() == made
    assert {shape[0].dim_param for shape in values.values()} == {"N", *(f"{t * 22}*N" for t in (16, 8, 4, 2))}
    assert all(axis.dim_value for shape in values.values() for axis in shape[1:])
    assert [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim] == [
        "N",
        16,
        22,
        2,
    ]


# The oracle: the same modules through the exporter of PyTorch, which takes 7 to 25 s a case on an idle core.
@pytest.mark.proof
@pytest.mark.parametrize("case", ["features, two people, max", "keypoints, wide, deep", "two streams"])
def test_it_is_the_graph_that_an_exporter_makes(case: str) -> None:
    if case == "two streams":
        arch = SMALL
        graph: Graph = of_keypoints(arch, ("joint", "bone-motion"), (0.7, 0.3), temperature=1.4)
    elif case == "keypoints, wide, deep":
        arch = CONFIGURATIONS["wide-deep"]
        graph = of_keypoints(arch)
    else:
        arch = CONFIGURATIONS["two-people-max"]
        graph = of_features(arch, temperature=1.7)
    model, oracle = onnx_graph(graph), traced(graph, arch)
    assert len(model.graph.node) <= len(oracle.graph.node)
    for count in (1, 3):
        inputs = windows(graph, arch, count)
        for found, expected in zip(run(model, inputs), run(oracle, inputs), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
    # The same layers compute the same under the same names; data may be moved about less.
    assert computing(model) == computing(oracle)


def computing(model: onnx.ModelProto) -> Counter[str]:
    """The nodes of layers that compute something."""
    names = (node.name for node in model.graph.node if node.op_type not in MOVING)
    return Counter(name for name in names if site_of(name) != GRAPH)


def traced(graph: Graph, arch: Architecture) -> onnx.ModelProto:
    """What ``torch.onnx.export`` makes of a graph, its nodes named by the modules that they come from."""
    example = tuple(map(torch.from_numpy, windows(graph, arch, 2).values()))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=graph.input_names,
            output_names=("logits", "probabilities"),
            dynamic_shapes=tuple({0: torch.export.Dim("N", min=1)} for _ in example),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "[]")
        module = ([GRAPH] + [scope for scope in ast.literal_eval(scopes)[:-1] if scope])[-1]
        # What is called a network holds one and is no layer.
        site = ".".join(part for part in module.split(".") if part != "network") or GRAPH
        name = f"{site}/{node.op_type}"
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return model

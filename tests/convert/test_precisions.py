"""Half precision and int8: one small quantized checkpoint, exported once in both."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from mmn_edge.bundle.bundle import Bundle
from mmn_edge.convert import parity
from mmn_edge.convert.conversion import Conversion, convert
from mmn_edge.convert.deploy.deploy import merged_sites
from mmn_edge.convert.deploy.interfaces import KeypointsGraph
from mmn_edge.convert.graph.element_types import element_types
from mmn_edge.convert.graph.half import halved
from mmn_edge.convert.graph.quantized import Site, quantized, quantized_layers
from mmn_edge.convert.parity import compare_half, compare_int8
from mmn_edge.datasets.reading import read_clips
from mmn_edge.drift.windows import as_features, sample_windows
from mmn_edge.errors import CheckpointError, MissingDependencyError, UsageError, VerificationError
from mmn_edge.model.architecture import Architecture
from mmn_edge.network import MMN, build_network, read_checkpoint
from mmn_edge.network.quantization import calibrate, default_kept, disable, enable, quantize, quantized_sites, sites
from mmn_edge.skeleton.frame import FloatArray
from mmn_edge.skeleton.preprocess import Preprocessing, features, uniform_indices
from mmn_edge.system.extras import half_scales_work, session_options

ARCH = Architecture(num_classes=4, num_joints=5, width=16, depth=1, mlp_width=32, num_frames=16)
OPTIONS = {"num_people": 1, "global_pool": "avg", "num_frames": 16}
TEMPERATURE = 1.7
PRECISIONS = ["fp16", "int8", "int8-fp16"] if half_scales_work() else ["fp16", "int8"]


def network() -> MMN:
    torch.manual_seed(0)
    net = MMN(ARCH).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Linear):  # small beside the noise: no chaos
                module.weight.mul_(0.02 * module.in_features**0.5)
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        net.head.weight.mul_(100)  # a fresh network's logits hardly depend on its input
    return net


def inputs(count: int = 8) -> dict[str, FloatArray]:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (count, 2, 16, 5, 1)).astype(np.float32)
    index_t = np.tile(np.arange(16, dtype=np.float32) * 2 / 16 - 1, (count, 1))
    return {"features": x, "index_t": index_t}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = network()
    batch = [torch.from_numpy(x) for x in inputs().values()]
    calibrate(quantize(net, default_kept(net)), [batch])
    path = tmp_path_factory.mktemp("checkpoint") / "int8.pt"
    description = {"options": OPTIONS, "temperature": TEMPERATURE, "quantization": {"ranges": "made up"}}
    torch.save({"model": net.state_dict(), "description": description}, path)
    return path


@pytest.fixture(scope="module")
def conversion(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    target = tmp_path_factory.mktemp("bundle") / "B"
    return convert(checkpoint, target, input_kind="features", precisions=["fp32", *PRECISIONS])


def run(conversion: Conversion, precision: str) -> tuple[FloatArray, FloatArray]:
    path = str(conversion.bundle.model(precision))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], inputs())
    return logits, probabilities


def reference(checkpoint: Path, *, quantized: bool) -> FloatArray:
    state, _ = read_checkpoint(checkpoint)
    net = build_network(state, OPTIONS, quantized=quantized)
    with torch.inference_mode():
        logits: FloatArray = net(*(torch.from_numpy(x) for x in inputs().values())).numpy()
    return logits


def test_each_precision_gives_its_logits(conversion: Conversion, checkpoint: Path) -> None:
    plain, fake = (reference(checkpoint, quantized=flag) for flag in (False, True))
    assert np.abs(fake - plain).mean() > 1e-3
    half = np.abs(run(conversion, "fp16")[0] - plain)
    assert 1e-6 < half.max() < 5e-3 * np.ptp(plain)
    for precision, share in zip(PRECISIONS[1:], (0.2, 2.0), strict=False):
        int8 = run(conversion, precision)[0]
        assert np.abs(int8 - fake).mean() < share * np.abs(fake - plain).mean()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_probabilities_are_at_the_checkpoints_temperature_and_logits_are_raw(
    conversion: Conversion, precision: str
) -> None:
    logits, probabilities = run(conversion, precision)
    assert logits.dtype == probabilities.dtype == np.float32
    exponent = np.exp((logits - logits.max(1, keepdims=True)) / TEMPERATURE)
    np.testing.assert_allclose(probabilities, exponent / exponent.sum(1, keepdims=True), atol=1e-6)
    assert conversion.bundle.manifest.temperature == TEMPERATURE


def test_int8_weights_are_stored_as_the_fake_quantized_ones(conversion: Conversion, checkpoint: Path) -> None:
    model = onnx.load(str(conversion.bundle.model("int8")))
    constants = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    node = next(node for node in model.graph.node if node.name == "fusion.res_conv/DequantizeLinear_2")
    stored, scale = constants[node.input[0]], constants[node.input[1]]
    assert stored.dtype == np.int8
    assert np.abs(stored).reshape(16, -1).max(1).tolist() == [127] * 16
    weight = read_checkpoint(checkpoint)[0]["fusion.res_conv.weight"].numpy()
    assert np.abs(stored * scale.reshape(-1, 1, 1, 1) - weight).max() <= scale.max() / 2 * 1.001
    assert {entry.version for entry in model.opset_import} <= set(range(17, 21))
    assert not any(node.metadata_props for node in model.graph.node)


def test_the_manifest_says_what_was_quantized(conversion: Conversion) -> None:
    manifest = Bundle.open(conversion.bundle.path).manifest
    assert list(manifest.models) == ["fp32", *PRECISIONS]
    assert manifest.quantization is not None
    assert manifest.quantization["ranges"] == "made up"
    # Besides the sensitive layers, those that the deploy form has merged with others.
    kept = {*default_kept(network()), *merged_sites(network())}
    assert manifest.quantization["kept"] == [name for name in sites(network()) if name in kept]
    assert manifest.quantization["pairs"] == len(sites(network())) - len(kept)
    assert manifest.verification["int8"]["rounding_noise"] >= 0
    assert manifest.verification["fp16"]["reference"] == "PyTorch in float32"


def test_half_precision_is_half_but_for_its_islands(conversion: Conversion) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(str(conversion.bundle.model("fp16"))))
    kinds = {entry.name: entry.data_type for entry in model.graph.initializer}
    kinds |= {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            assert {kinds[name] for name in node.input if name in kinds} == {half}, node.name
        if node.op_type in ("LayerNormalization", "ReduceMean", "Sqrt") and node.name != "graph/ReduceMean":
            assert {kinds[name] for name in node.input if kinds.get(name) in (half, single)} == {single}, node.name


@pytest.mark.skipif(not half_scales_work(), reason="this ONNX Runtime computes half-precision scales wrongly")
def test_int8_in_half_precision_has_half_scales_and_float_islands(conversion: Conversion) -> None:
    model = onnx.load(str(conversion.bundle.model("int8-fp16")))
    assert model.opset_import[0].version == 20
    types = element_types(model)
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "QuantizeLinear"):
            assert types[node.input[0]] == half, node.name
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert types[node.input[1]] == half, node.name
        if node.op_type == "LayerNormalization":
            assert types[node.input[0]] == single, node.name


def test_an_onnx_runtime_that_computes_half_scales_wrongly_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.28.2")
    with pytest.raises(MissingDependencyError, match=r"onnxruntime 1\.28\.2 computes int8-fp16 models wrongly"):
        convert(checkpoint, tmp_path / "B", input_kind="features", precisions=["int8-fp16"])
    assert not (tmp_path / "B").exists()


def test_a_wrong_model_is_refused(conversion: Conversion, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = read_checkpoint(checkpoint)
    plain, fake = Logits(build_network(state, OPTIONS, quantized=False)), Logits(int8_network(state))
    model = conversion.bundle.model("int8")
    assert compare_int8(fake, plain, model, inputs(), data="noise").top1_agreement > 0.8
    other = Logits(quantize_with(state, 1.5))
    with pytest.raises(VerificationError, match=r"model\.int8\.onnx differs from the checkpoint"):
        compare_int8(other, plain, model, inputs(), data="noise")
    monkeypatch.setattr(parity, "HALF_TOLERANCE", 1e-9)
    with pytest.raises(VerificationError, match="max logit difference"):
        compare_half(plain, conversion.bundle.model("fp16"), inputs(), data="noise")


class Logits(torch.nn.Module):
    """A network as the exported graphs are."""

    def __init__(self, net: MMN) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, index_t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.net(x, index_t)
        return logits, torch.softmax(logits / TEMPERATURE, dim=1)


def test_every_layer_that_may_be_int8_can_be(small_checkpoint: Path, small_bundle: Path) -> None:
    """Also those that are kept in floating point by default; what the deploy form has merged stays there."""
    bundle = Bundle.open(small_bundle)
    preprocessing = bundle.manifest.preprocessing
    assert isinstance(preprocessing, Preprocessing)
    net = build_network(read_checkpoint(small_checkpoint)[0], {"num_people": 1, "global_pool": "avg"})
    windows = sample_windows(net.arch, count=8)
    batch = [torch.from_numpy(x) for x in as_features(windows, preprocessing, 1).values()]
    calibrate(quantize(net, ()), [batch])
    disable(net)
    graph = KeypointsGraph(net, preprocessing).eval()
    with torch.inference_mode():
        exact = graph(torch.from_numpy(windows))[0].numpy()
        enable(net, set(quantized_sites(net)).difference(merged_sites(net)))
        expected = graph(torch.from_numpy(windows))[0].numpy()

    model = quantized(onnx.load(str(bundle.model())), quantized_layers(net))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    found = session.run(["logits"], {"keypoints": windows})[0]
    assert np.abs(found - expected).mean() < 0.25 * np.abs(expected - exact).mean()
    # OpenVINO computes such a quantizer wrongly: see tests/runtime/backends/test_openvino.py.
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    assert not [n.name for n in model.graph.node if n.op_type == "QuantizeLinear" and makers[n.input[0]] == "Concat"]


def quantize_with(state: dict[str, torch.Tensor], factor: float) -> MMN:
    changed = {key: value / factor if key.endswith("amax") else value for key, value in state.items()}
    return int8_network(changed)


def int8_network(state: dict[str, torch.Tensor]) -> MMN:
    """The network that an int8 model computes: with fake quantization where the deploy form has the layer."""
    net = build_network(state, OPTIONS)
    enable(net, set(quantized_sites(net)).difference(merged_sites(net)))
    return net


def test_half_batch_norms_survive_tiny_variances() -> None:
    shape = ["N", 2, 3, 4]
    constants = {
        "weight": np.ones((2, 2, 1, 1)),
        "scale": [2, 3],
        "bias": [1, 0],
        "mean": [0, 1],
        "variance": [1e-9] * 2,
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["y"], "site.0/Conv"),
            helper.make_node("BatchNormalization", ["y", "scale", "bias", "mean", "variance"], ["z"], "site.1/Norm"),
            helper.make_node("Relu", ["z"], ["out"], "site.2/Relu"),
        ],
        "norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("y", "z")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    x = np.full((1, 2, 3, 4), 0.001, np.float32)
    plain, half = (evaluate(entry, x) for entry in (model, halved(model)))
    np.testing.assert_allclose(half, plain, rtol=2e-3)
    assert [node.op_type for node in halved(model).graph.node] == ["Cast", "Conv", "Mul", "Add", "Relu", "Cast"]


def test_half_statistics_survive_maps_that_hardly_vary() -> None:
    # (x - mean) * (gain / deviation) with a deviation of 1e-7: the quotient is beyond half precision, the product is 1.
    shape, statistic = ["N", 2, 8, 8], ["N", 2, 1, 1]
    constants = {
        "one": np.ones((2, 1, 1, 1), np.float32),
        "gains": np.ones((2, 1, 1, 1), np.float32),
        "shrink": np.float32(1e-7),
        "axes": np.array([2, 3]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "gains"], ["gain"], "gain/Conv", group=2),
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], "graph/ReduceMean"),
            helper.make_node("Sub", ["x", "mean"], ["centred"], "graph/Sub"),
            helper.make_node("Mul", ["centred", "shrink"], ["small"], "graph/Mul"),
            helper.make_node("Mul", ["small", "small"], ["squares"], "graph/Mul_2"),
            helper.make_node("ReduceMean", ["squares", "axes"], ["variance"], "graph/ReduceMean_2"),
            helper.make_node("Sqrt", ["variance"], ["deviation"], "graph/Sqrt"),
            helper.make_node("Div", ["gain", "deviation"], ["quotient"], "graph/Div"),
            helper.make_node("Mul", ["small", "quotient"], ["scaled"], "graph/Mul_3"),
            helper.make_node("Conv", ["scaled", "one"], ["out"], "site/Conv", group=2),
        ],
        "statistics",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        value_info=[
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, statistic) for name in STATISTICS),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in MAPS),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)
    half = halved(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in half.graph.value_info}
    assert {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16} == {"gain"}
    np.testing.assert_allclose(evaluate(half, x), evaluate(model, x), atol=5e-3)


STATISTICS = ("mean", "variance", "deviation")
MAPS = ("gain", "centred", "small", "squares", "quotient", "scaled")


def evaluate(model: onnx.ModelProto, x: FloatArray) -> FloatArray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: FloatArray = session.run(None, {"x": x})[0]
    return output


def test_precisions_are_one_graph_in_other_types(conversion: Conversion, plain_model: onnx.ModelProto) -> None:
    expected = {node.name for node in plain_model.graph.node}
    for precision in PRECISIONS:
        found = [node.name for node in onnx.load(str(conversion.bundle.model(precision))).graph.node]
        assert len(found) == len(set(found))
        assert expected <= set(found)


def test_a_layer_that_the_graph_does_not_hold_cannot_be_int8(plain_model: onnx.ModelProto) -> None:
    with pytest.raises(VerificationError, match=r"the layer head\.extra has an int8 range"):
        quantized(plain_model, {"head.extra": Site(1.0, per_channel=True)})


@pytest.fixture(scope="module")
def plain_model(conversion: Conversion) -> onnx.ModelProto:
    return onnx.load(str(conversion.bundle.model("fp32")))


def save_plain(path: Path) -> Path:
    torch.save({"model": network().state_dict(), "description": {"options": OPTIONS}}, path / "plain.pt")
    return path / "plain.pt"


def save_clips(path: Path) -> Path:
    rng = np.random.default_rng(0)
    names = [f"clip{index}" for index in range(12)]
    annotations = [
        {"frame_dir": name, "label": 0, "total_frames": 20, "keypoint": rng.normal(300, 40, (1, 20, 5, 2))}
        for name in names
    ]
    content = {"split": {"train": names[:9], "test": names[9:]}, "annotations": annotations}
    (path / "clips.pkl").write_bytes(pickle.dumps(content))
    return path / "clips.pkl"


def test_ranges_of_a_plain_checkpoint_come_from_clips(tmp_path: Path) -> None:
    clips = save_clips(tmp_path)
    made = convert(save_plain(tmp_path), tmp_path / "B", input_kind="features", precisions=["int8"], calibration=clips)
    assert list(made.bundle.manifest.models) == ["int8"]
    train = read_clips(clips, "train").clips
    preprocessing = Preprocessing("joint", tuple(range(5)), ())
    pairs = [features(clip.keypoints[uniform_indices(20, 16)], preprocessing, frames=16) for clip in train]
    expected = network()
    batch = [torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True)]
    calibrate(quantize(expected, default_kept(expected)), [batch])
    ranges, per_channel = int8_sites(made.bundle.model("int8"))
    assert ranges.keys() == set(quantized_sites(expected)).difference(merged_sites(expected))
    for name, amax in ranges.items():
        assert amax == pytest.approx(float(expected.get_submodule(name).get_buffer("quantizer.amax")), rel=1e-5)
        assert per_channel[name] == (not name.endswith("joint_mixing"))


def int8_sites(path: Path) -> tuple[dict[str, float], dict[str, bool]]:
    """Of each int8 layer of a file the largest input, and whether its weights have a scale a channel."""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in onnx.load(str(path)).graph.initializer}
    sites = [name.removesuffix(".input_scale") for name in constants if name.endswith(".input_scale")]
    ranges = {site: 127 * float(constants[f"{site}.input_scale"]) for site in sites}
    return ranges, {site: constants[f"{site}.weight_scale"].ndim == 1 for site in sites}


def test_a_quantized_checkpoint_gives_fp32_and_int8_by_default(checkpoint: Path, tmp_path: Path) -> None:
    made = convert(checkpoint, tmp_path / "B", input_kind="features")
    assert list(made.bundle.manifest.models) == list(made.verifications) == ["fp32", "int8"]
    ranges, _ = int8_sites(made.bundle.model("int8"))
    assert ranges.keys() == set(sites(network())).difference(default_kept(network()), merged_sites(network()))
    assert int8_sites(made.bundle.model("fp32")) == ({}, {})


def test_what_does_not_fit_together_is_said_before_anything_is_made(checkpoint: Path, tmp_path: Path) -> None:
    plain, clips = save_plain(tmp_path), save_clips(tmp_path)
    target = tmp_path / "B"
    with pytest.raises(UsageError, match="int8 needs ranges"):
        convert(plain, target, input_kind="features", precisions=["int8"])
    with pytest.raises(UsageError, match="unknown precision 'fp8'"):
        convert(plain, target, input_kind="features", precisions=["fp32", "fp8"])
    with pytest.raises(UsageError, match="ranges of its own"):
        convert(checkpoint, target, input_kind="features", calibration=clips)
    with pytest.raises(UsageError, match="not among the precisions"):
        convert(plain, target, input_kind="features", precisions=["fp16"], calibration=clips)
    state, _ = read_checkpoint(checkpoint)
    state["head.quantizer.amax"] = torch.zeros(())
    torch.save({"model": state, "description": {"options": OPTIONS}}, tmp_path / "broken.pt")
    with pytest.raises(CheckpointError, match="broken int8 range for head"):
        convert(tmp_path / "broken.pt", target, input_kind="features")
    assert not target.exists()
    assert quantized_sites(build_network(read_checkpoint(plain)[0], OPTIONS)) == ()

"""What a built engine computes in which type, read from the builder's log, and whether that is what the model says.

With detailed profiling verbosity the builder of TensorRT (seen: 10.x) and of TensorRT for RTX (1.7) logs every kernel
on one line: name, kind, data types of inputs and outputs, and the ONNX nodes that it came from. Other versions may
print other keys or none; what cannot be read is left out, and :attr:`KernelReport.unseen` says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["TYPES", "Kernel", "KernelReport", "Product", "match", "read_kernels"]

TYPES = ("int8", "half", "float", "other")
"""Names of data types as they are reported; ``other`` holds integers and whatever else."""

GENERATED = ("kgen", "Reformat", "NoOp", "Constant", "ConstantOp", "shape_call", "signal", "wait", "PointWiseV2")
"""Kinds that hold no matrix product: generated element-wise code, copies, waiting."""

SYNCHRONISATION = ("shape_call", "signal", "wait", "NoOp", "Constant", "ConstantOp")
"""Kinds that compute nothing."""

DEQUANTIZING = re.compile(r"__myl_[A-Za-z]*?Cast[A-Za-z]*?(?:Fc|Corr|Dot|Gemm|Bmm)")
"""A fused kernel lists its steps in its name: ``__myl_CastMulCastMulCastFc`` takes int8 and multiplies in float."""


@dataclass(frozen=True)
class Kernel:
    """One line of the log.

    Attributes:
        name: The builder's own.
        kind: Such as ``"gemm"``, ``"correlation"``, ``"CaskConvolution"``, ``"kgen"``.
        inputs: Types of the inputs, of :data:`TYPES`; where products have weights among them, behind the activations.
        outputs: The same of the outputs.
        origins: Names of the ONNX nodes that it computes, or parts of which.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    origins: tuple[str, ...]

    @property
    def type(self) -> str:
        """The type that it computes in: that of its first input, unless it casts that before it multiplies."""
        if DEQUANTIZING.match(self.name):
            return "float"
        return next(iter(self.inputs or self.outputs), "other")


@dataclass(frozen=True)
class Product:
    """A convolution or matrix product of the parsed model, with the type that its operands have there.

    Attributes:
        name: Of the ONNX node.
        kind: ``"convolution"`` or ``"matrix product"``.
        type: Of :data:`TYPES`.
    """

    name: str
    kind: str
    type: str


@dataclass(frozen=True)
class KernelReport:
    """The products of a model against the kernels that compute them.

    Attributes:
        counts: Kind of product, or ``"other kernels"`` -> type -> how many.
        types: Name of a product -> type that it is computed in.
        wrong: A line for each product that is computed in a wider type than the model says.
        unseen: Names of products that no kernel names as its origin.
    """

    counts: dict[str, dict[str, int]]
    types: dict[str, str]
    wrong: tuple[str, ...]
    unseen: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """A table: its head, then a row a kind; types that do not occur are left out."""
        used = [name for name in TYPES if any(row.get(name) for row in self.counts.values())]
        body = [(kind, *(str(row.get(name, 0)) for name in used)) for kind, row in self.counts.items()]
        return [("kernels", *used), *body]


def read_kernels(log: Iterable[str]) -> tuple[Kernel, ...]:
    """The kernels in a builder's messages, in the order of execution."""
    return tuple(
        kernel
        for message in log
        for line in message.split("\n")  # not splitlines: TensorRT puts ASCII's record separator between origins
        if line.startswith("Name: ")
        for kernel in [_kernel(line)]
        if kernel is not None
    )


def match(products: Sequence[Product], kernels: Sequence[Kernel]) -> KernelReport:
    """Find each product's kernel, and compare types.

    A kernel may be narrower than its model (nothing is lost that the model keeps); it must not be wider, since then an
    int8 or half-precision layer was silently computed in a slower type.
    """
    computing: dict[str, Kernel] = {}
    for generated in (False, True):  # generated code only prepares or finishes a product, unless nothing else does it
        for kernel in kernels:
            if (kernel.kind in GENERATED) == generated:
                for origin in kernel.origins:
                    computing.setdefault(origin, kernel)
    counts: dict[str, Counter[str]] = {"convolution": Counter(), "matrix product": Counter()}
    types: dict[str, str] = {}
    wrong, unseen, taken = [], [], set()
    for product in products:
        found = computing.get(product.name)
        if found is None:
            unseen.append(product.name)
            continue
        taken.add(found.name)
        types[product.name] = found.type
        counts[product.kind][found.type] += 1
        if TYPES.index(found.type) > TYPES.index(product.type):
            wrong.append(f"{product.name} is {product.type} in the model and {found.type} in the engine ({found.kind})")
    others = [kernel for kernel in kernels if kernel.name not in taken and kernel.kind not in SYNCHRONISATION]
    counts["other kernels"] = Counter(kernel.type for kernel in others)
    ordered = {kind: {name: found[name] for name in TYPES if found[name]} for kind, found in counts.items()}
    return KernelReport(ordered, types, tuple(wrong), tuple(unseen))


def _kernel(line: str) -> Kernel | None:
    head = re.match(r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), (?P<rest>.*)", line)
    if head is None:
        return None  # an input or output tensor of the engine
    rest, _, metadata = head["rest"].partition("Metadata: ")
    return Kernel(
        name=head["name"],
        kind=head["kind"],
        inputs=_types(rest, "Inputs"),
        outputs=_types(rest, "Outputs"),
        origins=tuple(re.findall(r"\[ONNX Layer: ([^\]]*)\]", metadata)),
    )


def _types(text: str, key: str) -> tuple[str, ...]:
    """Types of the tensors in ``Inputs: [ { Name: x, ..., Datatype: Half, ...}, ...]``."""
    found = re.search(rf"\b{key}: \[ ?(\{{.*?\}}) ?\]", text)
    if found is None:
        return ()
    return tuple(_type(entry) for entry in re.findall(r"\bData[Tt]ype: ([^}\]]*)", found[1]))


def _type(text: str) -> str:
    """The type in ``Half, Format: ...`` or in ``Channel major FP16 format where channel % 8 == 0``."""
    found = re.search(r"Int8|Half|FP16|Float|FP32", text)
    return {"Int8": "int8", "Half": "half", "FP16": "half"}.get(found[0], "float") if found else "other"

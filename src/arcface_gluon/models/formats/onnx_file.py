"""ONNX files: written operator by operator from a network's own graph, and run in ONNX Runtime.

MXNet's converter needs an older `onnx`, declares another opset than it writes, and gives PReLU slopes of shape (C,),
which ONNX broadcasts along the width.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import __version__
from ...errors import UserError
from ...runtime import import_optional
from ..backbone import Backbone
from ..graph import inference_graph

INPUT, OUTPUT = "data", "embedding"
OPSETS = range(11, 23)
# What `raw` networks take, (x - 127.5) / 127.5, as insightface's ArcFaceONNX feeds networks without normalisation.
RAW_MEAN = RAW_STD = 127.5
_SMALLEST_NORM = 1e-12  # what an embedding is divided by at least


def onnx_model(
    net: Backbone,
    size: tuple[int, int],
    *,
    raw: bool = False,
    normalise: bool = False,
    float16: bool = False,
    opset: int = 13,
    metadata: dict[str, str] | None = None,
) -> Any:
    """A network as an onnx.ModelProto, checked: images (N, 3, H, W) float32 -> embeddings (N, d) float32.

    Args:
        net: network of `get_model` or `load_model`.
        size: (H, W) of its images.
        raw: take (x - 127.5) / 127.5 instead of RGB 0..255. Otherwise the first two operators, Sub and Mul, normalise.
        normalise: divide each embedding by its length.
        float16: store weights in float16, at half the size; the arithmetic stays in float32.
        opset: version of ONNX's operators.
        metadata: {name: text} for the file.

    Raises:
        UserError: onnx is not installed, an unknown opset, an operator without a counterpart, weights beyond float16.
    """
    onnx = import_optional("onnx")
    from onnx import TensorProto, helper

    if opset not in OPSETS:
        raise UserError(f"--opset {opset}: choose one from {OPSETS[0]} to {OPSETS[-1]}")
    writer = _Writer(onnx, float16, opset)
    operators = inference_graph(net)
    if raw:
        operators = _without_normalisation(operators)
    for operator in operators:
        writer.add(operator)
    last, d = operators[-1].name, net.spec["embedding_size"]
    if normalise:
        last = writer.normalise(last)
    writer.nodes[-1].output[0] = OUTPUT
    graph = helper.make_graph(
        writer.nodes,
        net.spec["name"],
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, *size])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", d])],
        writer.initializers,
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="arcface-gluon", producer_version=__version__,
    )  # fmt: skip
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnx(content: bytes, images: np.ndarray, raw: bool = False) -> np.ndarray:
    """Embeddings (B, d) float32 of RGB images (B, 3, H, W), 0..255, by ONNX Runtime on the CPU.

    Raises:
        UserError: onnxruntime is not installed.
    """
    onnxruntime = import_optional("onnxruntime")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = np.asarray(images, np.float32)
    return session.run(None, {INPUT: (images - RAW_MEAN) / np.float32(RAW_STD) if raw else images})[0]


def _without_normalisation(operators):
    """The operators for images that come as (x - 127.5) / 127.5; the rest of the scale goes into the weights."""
    minus, times, first = operators[:3]
    if (minus.kind, minus.attributes["scalar"], times.kind, first.kind) != (
        "_minus_scalar", RAW_MEAN, "_mul_scalar", "Convolution",
    ):  # fmt: skip
        raise UserError("--raw: this network does not begin with (x - 127.5) * scale; export it without --raw")
    first.arrays["weight"] = (first.arrays["weight"] * (RAW_STD * times.attributes["scalar"])).astype(np.float32)
    first.inputs = [INPUT]
    return operators[2:]


class _Writer:
    """Collects the nodes and initializers of a graph. A method for each kind of operator, by MXNet's name."""

    def __init__(self, onnx, float16, opset):
        self._onnx, self._float16, self._opset = onnx, float16, opset
        self.nodes, self.initializers = [], []

    def add(self, operator):
        method = getattr(self, f"_{operator.kind.lstrip('_')}", None)
        if method is None:
            raise UserError(f"operator {operator.kind} ({operator.name}) has no counterpart in ONNX here")
        method(operator)

    def normalise(self, name):
        """Divide by the length, as the last node; gives its output."""
        axes = {"axes": [1]} if self._opset < 18 else {}
        inputs = [name] if self._opset < 18 else [name, self._constant("length_axes", np.array([1], np.int64))]
        self._node("ReduceL2", inputs, "length", keepdims=1, **axes)
        smallest = self._constant("smallest_length", np.array(_SMALLEST_NORM, np.float32))
        self._node("Max", ["length", smallest], "length_or_smallest")
        return self._node("Div", [name, "length_or_smallest"], "normalised")

    def _node(self, kind, inputs, name, label=None, **attributes):
        node = self._onnx.helper.make_node(kind, inputs, [name], name=label or name, **attributes)
        self.nodes.append(node)
        return name

    def _constant(self, name, value):
        self.initializers.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def _weights(self, operator, *keys, shape=None):
        """Inputs for an operator's arrays; those that it lacks are left out."""
        names = []
        for key in keys:
            if key not in operator.arrays:
                continue
            name = f"{operator.name}_{key}"
            value = operator.arrays[key]
            value = np.ascontiguousarray(value if shape is None else value.reshape(shape))
            if not self._float16 or key != "weight":
                names.append(self._constant(name, value))
                continue
            if np.abs(value).max() > np.finfo(np.float16).max:
                raise UserError(f"--float16: {name} has values beyond float16's 65504; export it in float32")
            self._constant(f"{name}_half", value.astype(np.float16))
            self._node("Cast", [f"{name}_half"], name, to=self._onnx.TensorProto.FLOAT)
            names.append(name)
        return names

    # insightface's ArcFaceONNX tells by names that begin with Sub and Mul whether a network normalises by itself.
    def _minus_scalar(self, operator):
        mean = self._constant("mean", np.array(operator.attributes["scalar"], np.float32))
        self._node("Sub", [*operator.inputs, mean], operator.name, "Sub_mean")

    def _mul_scalar(self, operator):
        scale = self._constant("scale", np.array(operator.attributes["scalar"], np.float32))
        self._node("Mul", [*operator.inputs, scale], operator.name, "Mul_scale")

    def _Convolution(self, operator):
        given = operator.attributes
        inputs = [*operator.inputs, *self._weights(operator, "weight", "bias")]
        self._node(
            "Conv", inputs, operator.name, kernel_shape=list(given["kernel"]), strides=list(given["stride"]),
            pads=list(given["pad"]) * 2, group=given["num_group"],
        )  # fmt: skip

    def _BatchNorm(self, operator):
        inputs = [*operator.inputs, *self._weights(operator, "gamma", "beta", "mean", "var")]
        self._node("BatchNormalization", inputs, operator.name, epsilon=operator.attributes["eps"])

    def _LeakyReLU(self, operator):
        self._node("PRelu", [*operator.inputs, *self._weights(operator, "slope", shape=(-1, 1, 1))], operator.name)

    def _FullyConnected(self, operator):
        flat = self._node("Flatten", operator.inputs, f"{operator.name}_flat", axis=1)
        self._node("Gemm", [flat, *self._weights(operator, "weight", "bias")], operator.name, transB=1)

    def _Pooling(self, operator):
        if (operator.attributes["pool_type"], operator.attributes.get("global_pool")) != ("avg", True):
            raise UserError(f"{operator.name}: of poolings, only global averages can be exported")
        self._node("GlobalAveragePool", operator.inputs, operator.name)

    def _Activation(self, operator):
        self._node(
            {"sigmoid": "Sigmoid", "relu": "Relu"}[operator.attributes["act_type"]], operator.inputs, operator.name
        )

    def _broadcast_mul(self, operator):
        self._node("Mul", operator.inputs, operator.name)

    def _elemwise_add(self, operator):
        self._node("Add", operator.inputs, operator.name)

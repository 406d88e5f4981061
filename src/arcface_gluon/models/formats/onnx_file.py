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
from ..exported import SymbolNetwork
from ..graph import inference_graph
from .onnx_writer import Writer

INPUT, OUTPUT = "data", "embedding"
OPSETS = range(11, 23)
# What `raw` networks take, (x - 127.5) / 127.5, as insightface's ArcFaceONNX feeds networks without normalisation.
RAW_MEAN = RAW_STD = 127.5


def onnx_model(
    net: Backbone | SymbolNetwork,
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
        raw: take (x - 127.5) / 127.5 instead of RGB 0..255. Otherwise the first two operators, Sub and Mul, normalise;
            where the network does not do so at first, they change nothing.
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
    writer = Writer(onnx, float16, opset)
    operators = inference_graph(net)
    if len(operators[-1].shape) != 2:
        raise UserError(f"the network's output is not one row an image (it is {operators[-1].shape} of one image)")
    last, d = operators[-1].name, operators[-1].shape[1]
    first, mean, scale = _normalisation(operators)
    if raw:
        operators = _without_normalisation(operators[first:], mean, scale, first)
    else:
        pixels = writer.normalise_pixels(INPUT, mean, scale)
        taken = operators[first - 1].name if first else INPUT
        operators = [_renamed(operator, taken, pixels) for operator in operators[first:]]
    for operator in operators:
        writer.add(operator)
    if normalise:
        last = writer.normalise(last)
    writer.nodes[-1].output[0] = OUTPUT
    graph = helper.make_graph(
        writer.nodes,
        net.spec["name"] if net.spec else "symbol",
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


def _normalisation(operators):
    """(how many operators at first do (x - mean) * scale, mean, scale): 0 or 2, and 0 changes nothing."""
    kinds = [operator.kind for operator in operators[:2]]
    if kinds != ["_minus_scalar", "_mul_scalar"] or operators[1].inputs != [operators[0].name]:
        return 0, 0.0, 1.0
    if sum(name in (INPUT, operators[0].name) for operator in operators for name in operator.inputs) != 2:
        return 0, 0.0, 1.0  # another operator reads the pixels too
    return 2, *(operator.attributes["scalar"] for operator in operators[:2])


def _renamed(operator, old, new):
    operator.inputs = [new if name == old else name for name in operator.inputs]
    return operator


def _without_normalisation(operators, mean, scale, first):
    """The operators for images that come as (x - 127.5) / 127.5; the rest of the scale goes into the weights."""
    layer = operators[0]
    if not first or mean != RAW_MEAN or layer.kind != "Convolution":
        raise UserError("--raw: this network does not begin with (x - 127.5) * scale; export it without --raw")
    taken = layer.inputs[0]
    if any(taken in operator.inputs for operator in operators[1:]):
        raise UserError("--raw: several layers of this network read its pixels; export it without --raw")
    layer.arrays["weight"] = (layer.arrays["weight"] * (RAW_STD * scale)).astype(np.float32)
    layer.inputs = [INPUT]
    return operators

"""What a network computes at inference: its operators in order, with their arrays, BatchNorm folded where exact."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError
from .backbone import Backbone
from .parameters import parameter_values
from .reference import TRANSPARENT, export_symbol, reference_name

# Inputs of MXNet's operators that are parameters, in the order of the graph.
_ARRAYS = {
    "Convolution": ("weight", "bias"),
    "FullyConnected": ("weight", "bias"),
    "BatchNorm": ("gamma", "beta", "mean", "var"),
    "LeakyReLU": ("slope",),
}


@dataclass
class Operator:
    """One operator of a network.

    Attributes:
        kind: MXNet's name of it, such as Convolution.
        name: its output's, as in the reference's symbols.
        inputs: names of operators, or "data".
        attributes: MXNet's, as Python values.
        arrays: float32 parameters: weight (O, I / groups, kH, kW) or (O, I), bias (O,); gamma, beta, mean, var (C,);
            slope (C,).
    """

    kind: str
    name: str
    inputs: list
    attributes: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)


def inference_graph(net: Backbone) -> list[Operator]:
    """Operators of a network from "data" (RGB 0..255) to the embedding, which the last of them gives.

    BatchNorm is folded into the convolution or fully connected layer before it, and into a fully connected layer after
    it. It stays before a convolution, whose zero padding comes after the normalisation.

    Raises:
        UserError: `net` was not built by `get_model`, or an operator of one's own class has parameters that are
            not known.
    """
    if not isinstance(net, Backbone):
        raise UserError("only networks built by get_model can be exported; this one already is an exported symbol")
    values = {reference_name(name): value for name, value in parameter_values(net).items()}
    operators, names = [], {}
    nodes = json.loads(export_symbol(net).tojson())["nodes"]
    for i, node in enumerate(nodes):
        inputs = [source for source, *_ in node["inputs"]]
        if node["op"] == "null":
            names[i] = node["name"]
        elif node["op"] in TRANSPARENT:
            names[i] = names[inputs[0]]
        else:
            names[i] = node["name"]
            operators.append(_operator(node, [names[source] for source in inputs], values))
    return _fold(operators)


def _operator(node, inputs, values):
    keys = _ARRAYS.get(node["op"], ())
    flows = [name for name in inputs if name not in values]
    held = [values[name] for name in inputs if name in values]
    if len(held) > len(keys):
        raise UserError(f"{node['name']}: what the operator {node['op']} does with its parameters is not known")
    arrays = dict(zip(keys, held))
    attributes = {key: _value(text) for key, text in node.get("attrs", {}).items() if not key.startswith("__")}
    if attributes.get("fix_gamma"):
        arrays["gamma"] = np.ones_like(arrays["gamma"])
    return Operator(node["op"], node["name"], flows, attributes, arrays)


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _fold(operators):
    """The operators without the BatchNorms that their neighbours can do."""
    readers = Counter(name for operator in operators for name in operator.inputs)
    kept, renamed = {}, {}
    for operator in operators:
        alone = readers[operator.inputs[0]] == 1
        operator.inputs = [renamed.get(name, name) for name in operator.inputs]
        before = kept.get(operator.inputs[0]) if alone else None
        if before and operator.kind == "BatchNorm" and before.kind in ("Convolution", "FullyConnected"):
            scale_outputs(before, *scale_and_shift(operator))
            renamed[operator.name] = before.name
            continue
        if before and operator.kind == "FullyConnected" and before.kind == "BatchNorm":
            scale_inputs(operator, *scale_and_shift(before))
            operator.inputs = kept.pop(before.name).inputs
        kept[operator.name] = operator
    return list(kept.values())


def scale_and_shift(norm: Operator) -> tuple[np.ndarray, np.ndarray]:
    """(scale, shift), float64, of the line that a BatchNorm is at inference."""
    gamma, beta, mean, var = (norm.arrays[key].astype(np.float64) for key in ("gamma", "beta", "mean", "var"))
    scale = gamma / np.sqrt(var + norm.attributes["eps"])
    return scale, beta - mean * scale


def scale_outputs(layer: Operator, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a layer give scale * output + shift."""
    weight = layer.arrays["weight"].astype(np.float64)
    bias = layer.arrays.get("bias", np.float64(0))
    layer.arrays["weight"] = (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    layer.arrays["bias"] = (bias * scale + shift).astype(np.float32)


def scale_inputs(layer: Operator, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a fully connected layer take what the scaling of channels took."""
    weight = layer.arrays["weight"].astype(np.float64)
    places = weight.shape[1] // len(scale)
    bias = layer.arrays.get("bias", np.float64(0))
    layer.arrays["bias"] = (bias + weight @ np.repeat(shift, places)).astype(np.float32)
    layer.arrays["weight"] = (weight * np.repeat(scale, places)).astype(np.float32)

"""What a network computes at inference: its operators in order, with their arrays, BatchNorm folded where exact."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections import Counter
from dataclasses import dataclass, field

import mxnet as mx
import numpy as np

from ..errors import UserError
from .backbone import Backbone, input_size
from .exported import SymbolNetwork
from .parameters import parameter_values
from .reference import TRANSPARENT, export_symbol, reference_name
from .symbol_file import shapes_of

# Inputs of MXNet's operators that are parameters, in the order of the graph.
_ARRAYS = {
    "Convolution": ("weight", "bias"),
    "FullyConnected": ("weight", "bias"),
    "BatchNorm": ("gamma", "beta", "mean", "var"),
    "LeakyReLU": ("slope",),
}
_DEFAULTS = {"BatchNorm": {"eps": 1e-3, "fix_gamma": True, "axis": 1}}
# Where channels lie, and where they must lie to be followed.
_PLACES = {"BatchNorm": ("axis", (1,)), "Convolution": ("layout", (None, "NCW", "NCDHW", "NCHW"))}
SPLITS = ("SliceChannel", "slice_channel", "split")  # operators with several outputs that a network goes on with


@dataclass
class Operator:
    """One operator of a network.

    Attributes:
        kind: MXNet's name of it, such as Convolution.
        name: its output's, as in the reference's symbols.
        inputs: names of operators, or "data"; output k of one with several is name:k.
        attributes: MXNet's, as Python values.
        arrays: float32 parameters: weight (O, I / groups, kH, kW) or (O, I), bias (O,); gamma, beta, mean, var (C,);
            slope (C,).
        shape: of its (first) output for one image, before anything is folded; () where it is not known.
    """

    kind: str
    name: str
    inputs: list
    attributes: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    shape: tuple = ()


def inference_graph(net: Backbone | SymbolNetwork) -> list[Operator]:
    """Operators of a network from "data" (RGB 0..255) to the embedding, which the last of them gives.

    BatchNorm is folded into the convolution or fully connected layer before it, and into a fully connected layer after
    it. It stays before a convolution, whose zero padding comes after the normalisation.

    Raises:
        UserError: `net` is neither of `get_model` nor of `load_model`, or an operator that is none of this project's
            has parameters that are not known, or channels on another axis than 1.
    """
    symbol, values = symbol_and_values(net)
    shapes = _shapes(symbol, input_size(net))
    operators, names = [], {}
    nodes = json.loads(symbol.tojson())["nodes"]
    if len({node["name"] for node in nodes}) < len(nodes):
        raise UserError("two operators of the network have one name")
    for i, node in enumerate(nodes):
        inputs = [_output(nodes, names, source, number) for source, number, *_ in node["inputs"]]
        if node["op"] == "null":
            names[i] = node["name"]
        elif node["op"] in TRANSPARENT and not _changes(node):
            names[i] = inputs[0]
        else:
            names[i] = node["name"]
            operators.append(_operator(node, inputs, values, shapes))
    return _fold(operators)


def symbol_and_values(net: Backbone | SymbolNetwork) -> tuple[mx.sym.Symbol, dict[str, np.ndarray]]:
    """(a network's graph in the reference's names, {flat name: float32 parameter}).

    Raises:
        UserError: it is neither of `get_model` nor of `load_model`.
    """
    if isinstance(net, Backbone):
        return export_symbol(net), {reference_name(name): value for name, value in parameter_values(net).items()}
    if isinstance(net, SymbolNetwork):
        parameters = net.body.collect_params()
        return net.symbol, {name: value.data(value.list_ctx()[0]).asnumpy() for name, value in parameters.items()}
    raise UserError("only networks of get_model and load_model can be followed")


def _shapes(symbol, size):
    """{name of an output: its shape for one image of this size}; empty where that does not fit the network."""
    inside = symbol.get_internals()
    found = shapes_of(inside, size)
    return {} if found is None else dict(zip(inside.list_outputs(), found[1]))


def _changes(node):
    """Whether an operator that passes its input on changes it after all: a cast to integers, a dropout for ever."""
    given = node.get("attrs", {})
    return "int" in given.get("dtype", "") or given.get("mode") == "always"


def _output(nodes, names, source, number):
    if nodes[source]["op"] in SPLITS:
        return f"{names[source]}:{number}"
    if number:
        raise UserError(f"{nodes[source]['name']}: of {nodes[source]['op']}, only the first output can be followed")
    return names[source]


def _operator(node, inputs, values, shapes):
    kind = re.sub("_v1$", "", node["op"])
    keys = _ARRAYS.get(kind, ())
    flows = [name for name in inputs if name not in values]
    held = [values[name] for name in inputs[len(flows) :] if name in values]
    known = len(flows) + len(held) == len(inputs) and len(held) <= len(keys)
    if not known or not flows or (keys and len(flows) > 1):
        raise UserError(f"{node['name']}: what the operator {node['op']} does with its parameters is not known")
    arrays = dict(zip(keys, held))
    given = {key: _value(text) for key, text in node.get("attrs", {}).items() if not key.startswith("__")}
    attributes = {**_DEFAULTS.get(kind, {}), **given}
    if attributes.get("fix_gamma"):
        arrays["gamma"] = np.ones_like(arrays["gamma"])
    key, places = _PLACES.get(kind, ("", (None,)))
    if attributes.get(key) not in places:
        raise UserError(f"{node['name']}: {kind} with {key} {attributes[key]} cannot be followed, only {places[-1]}")
    outputs = [name for name in (f"{node['name']}_output", f"{node['name']}_output0") if name in shapes]
    return Operator(kind, node["name"], flows, attributes, arrays, shapes[outputs[0]] if outputs else ())


@functools.lru_cache(maxsize=None)
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
        if before and operator.kind == "BatchNorm" and (before.kind == "Convolution" or mixes_channels(before)):
            scale_outputs(before, *scale_and_shift(operator))
            renamed[operator.name] = before.name
            continue
        if before and mixes_channels(operator) and before.kind == "BatchNorm":
            scale_inputs(operator, *scale_and_shift(before))
            operator.inputs = kept.pop(before.name).inputs
        kept[operator.name] = operator
    return list(kept.values())


def mixes_channels(operator: Operator) -> bool:
    """Whether an operator is a fully connected layer from all channels to its own, not along another, last axis."""
    flat = operator.attributes.get("flatten", True) or len(operator.shape) == 2
    return operator.kind == "FullyConnected" and bool(flat)


def scale_and_shift(norm: Operator) -> tuple[np.ndarray, np.ndarray]:
    """(scale, shift), float64, of the line that a BatchNorm is at inference."""
    gamma, beta, mean, var = (norm.arrays[key].astype(np.float64) for key in ("gamma", "beta", "mean", "var"))
    scale = gamma / np.sqrt(var + norm.attributes["eps"])
    return scale, beta - mean * scale


def scale_outputs(layer: Operator, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a layer give scale * output + shift."""
    weight, bias = layer.arrays["weight"], layer.arrays.get("bias", np.float64(0))
    layer.arrays["weight"] = weight * scale.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
    layer.arrays["bias"] = (bias * scale + shift).astype(np.float32)


def scale_inputs(layer: Operator, scale: np.ndarray, shift: np.ndarray) -> None:
    """Let a fully connected layer take what the scaling of channels took."""
    weight, bias = layer.arrays["weight"], layer.arrays.get("bias", np.float64(0))
    by_channel = weight.reshape(len(weight), len(scale), -1)
    layer.arrays["bias"] = (bias + by_channel.sum(axis=2, dtype=np.float64) @ shift).astype(np.float32)
    layer.arrays["weight"] = (by_channel * scale.astype(np.float32)[:, None]).reshape(weight.shape)

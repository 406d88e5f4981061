"""Exported networks, a symbol and its parameters: as a network of this project where it is one, else as it stands."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, SymbolBlock

from ..errors import UserError
from .backbone import Backbone
from .normalisation import Normalisation
from .parameters import assign, check_names, mismatch, shown
from .params_file import read_params
from .reference import TRANSPARENT, attribute, recognise, reference_name
from .symbol_file import read_symbol, shapes_of

OUTPUT_NODE = "fc1_output"  # the embedding in the reference's symbols
# Parameters of the classifier, which training checkpoints keep though their symbol ends before it.
_CLASSIFIER = re.compile(r"fc7(_\d+)?_(weight|bias)")
# A network whose pixels go straight into one of these does not normalise them.
_LAYERS = {"Convolution", "Convolution_v1", "FullyConnected", "Pad", "pad", "Flatten", "flatten"}
# Sizes that such networks are made for, (height, width), the likeliest first.
_SIZES = [(112, 112), (112, 96), *((side, side) for side in (96, 128, 160, 224, 64, 144, 80, 48, 32, 192, 256, 299))]
_SIZES += [(128, 112), (128, 96), (96, 80), (160, 128), (112, 80), (224, 192), (96, 112), (112, 128), (128, 160)]


def load_exported(
    symbol_file: Path, params_file: Path, devices: list[mx.Context], normalisation: Normalisation | None = None
) -> Backbone | SymbolNetwork:
    """The network of a `-symbol.json` and its .params on devices, not hybridised; see `load.load_model`.

    Float32, whatever the files' precision. Its `notes` say what a user should know.

    Raises:
        UserError: a file is missing or damaged, they do not fit each other, or the symbol normalises by itself though
            `normalisation` does too.
    """
    values = {re.sub(r"^(arg|aux):", "", name): _float32(value) for name, value in read_params(params_file).items()}
    symbol, cut_off, notes = _embedding(read_symbol(symbol_file, values), symbol_file)
    inputs = set(symbol.list_inputs())
    values = {n: v for n, v in values.items() if n in inputs or not (n in cut_off or _CLASSIFIER.fullmatch(n))}
    nodes = json.loads(symbol.tojson())["nodes"]
    _add_fixed_gammas(nodes, values)
    symbol, raw = _normalised(symbol, nodes, normalisation, symbol_file, notes)
    net = recognise(symbol, {name: value.shape for name, value in values.items()})
    if net is None:
        net = SymbolNetwork(symbol, values, params_file, devices)
    else:
        check_names(net, values, params_file, reference_name)
        values = {name: values[reference_name(name)] for name in net._collect_params_with_prefix()}
        if "fc1.gamma" in values:
            values["fc1.gamma"] = np.ones_like(values["fc1.gamma"])  # fixed in the reference, whatever its file holds
        assign(net, values, devices)
    net.notes, net.normalisation, net.found_raw = notes, normalisation, raw
    return net


def _float32(value):
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def _embedding(whole, path):
    """(symbol up to the embedding, names of parameters only needed after it, notes)."""
    internals, notes = whole.get_internals(), []
    if OUTPUT_NODE in internals.list_outputs():
        symbol = internals[OUTPUT_NODE]
    elif len(whole.list_outputs()) == 1:
        symbol = whole
    else:
        raise UserError(f"{path}: the network has no output {OUTPUT_NODE} and several others; keep only one")
    graph = json.loads(symbol.tojson())
    head = graph["nodes"][graph["heads"][0][0]]
    if head["op"] == "L2Normalization":
        symbol = symbol.get_children()[0]
        notes.append(f"{path} ends in {head['name']}, which makes embeddings of length 1; they are taken before it")
    return symbol, set(whole.list_inputs()) - set(symbol.list_inputs()), notes


def _add_fixed_gammas(nodes, values):
    """Give BatchNorms that hold gamma at 1 one, where the file has none."""
    for node in nodes:
        if node["op"].startswith("BatchNorm") and attribute(node, "fix_gamma", True):
            gamma, beta = (nodes[source]["name"] for source, *_ in node["inputs"][1:3])
            if gamma not in values and beta in values:
                values[gamma] = np.ones_like(values[beta])


def _normalised(symbol, nodes, normalisation, path, notes):
    """(symbol for RGB 0..255, whether nothing normalises: neither the symbol, which is noted, nor what is asked)."""
    first = _first_operators(nodes)
    alone = first <= _LAYERS
    if normalisation is None:
        if alone:
            notes.append(
                f"{path} does not normalise its input, and is given RGB 0 to 255 as it is: where it was trained on "
                "other values, say so with --mean, --std and --bgr (such as --mean 127.5 --std 128)"
            )
        return symbol, alone
    if normalisation.scales and not alone:
        raise UserError(
            f"{path} normalises by itself (it begins with {', '.join(sorted(first))}); leave out --mean, --std"
        )
    return normalisation.before(symbol), False


def _first_operators(nodes):
    """What the image goes into."""
    passing, first = set(), set()
    for number, node in enumerate(nodes):
        if node["op"] == "null":
            if node["name"] == "data":
                passing.add(number)
        elif any(source in passing for source, *_ in node["inputs"]):
            if node["op"] in TRANSPARENT:
                passing.add(number)
            else:
                first.add(node["op"])
    return first


class SymbolNetwork(HybridBlock):
    """An exported network that is none of ours, run as its symbol stands. uint8 or floating images, float32 out.

    Attributes:
        spec: None: `get_model` builds no such network.
        symbol: its graph.
        input_size: (height, width) of the images whose maps its parameters fit, the likeliest if several do; None if
            none that is usual does.

    Raises:
        UserError: parameters that the symbol needs are missing or left over; when called, images or parameters have
            shapes that it cannot process.
    """

    spec = None

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        values: Mapping[str, np.ndarray],
        source: str | os.PathLike[str],
        contexts: list[mx.Context],
    ):
        super().__init__(prefix="")
        self._source, self.symbol = source, symbol
        self.body = SymbolBlock(symbol, [mx.sym.var("data", dtype="float32")])
        parameters = self.body.collect_params()
        problem = mismatch(dict.fromkeys(parameters), dict.fromkeys(values))
        if problem:
            raise UserError(f"{source} does not fit its symbol: {problem}")
        self.input_size = _input_size(symbol, {name: value.shape for name, value in values.items()})
        parameters.load_dict({name: mx.nd.array(value, dtype="float32") for name, value in values.items()}, contexts)

    def forward(self, x: Any, *args: Any) -> Any:
        try:
            return super().forward(x, *args)
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{self._source} cannot process images {shown(x.shape)}: {reason}") from error

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.body(F.cast(x, dtype="float32"))


def _input_size(symbol, shapes):
    """The first of the usual sizes whose maps fit the parameters of these shapes, or None."""
    for size in _SIZES:
        found = shapes_of(symbol, size)
        if found is None:
            continue
        wanted = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(), found[0] + found[2]))
        if all(wanted[name] == shape for name, shape in shapes.items()):
            return size
    return None

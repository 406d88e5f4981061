"""Evaluation's folded networks beside the networks unfolded: one batch forward, in float32 and in bfloat16.

They stand beside two: "as built" is the gluon network, whose PReLU is oneDNN's already; "MXNet's own PReLU" is its
symbol, as other tools run it, and as this project did until it had the faster form. `floor` is one of these in float32,
measured in turns; a ratio below 1 says that folding pays. bfloat16 is measured where the processor has AMX. What a
folded network is made of tells its convolutions and last layer alone, below which no form of PReLU can bring it. The
time that folding takes, proof included, stands below; it has no turns.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from arcface_gluon import blas, get_model, runtime
from arcface_gluon.models.folded import LIMIT, compiled, evaluation_network
from arcface_gluon.models.folding import fold
from arcface_gluon.models.graph import inference_graph

from . import floors, peers

mx = runtime.import_mxnet()

NETWORKS = {"mobilefacenet": 16, "r18": 16, "r50": 8}  # images of a batch


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "by", "ratio", "spread"}; quick: without r50."""
    precisions = ["float32"] + ["bfloat16"] * blas.allow_amx()
    return [
        row
        for name, batch in NETWORKS.items()
        if not (quick and name == "r50")
        for row in _measure_one(name, batch, precisions, 5)
    ]


def _measure_one(name, batch, precisions, rounds):
    mx.random.seed(0)
    net = get_model(name)
    net.initialize()
    net.hybridize()
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, 112, 112), np.uint8)
    images = mx.nd.array(pixels, dtype="uint8")
    networks, folding = {"as built": net}, {}
    for kind in precisions:
        began = time.perf_counter()
        networks[kind] = evaluation_network(net, None, kind)
        folding[kind] = time.perf_counter() - began
    networks["MXNet's own PReLU"] = _symbol_network(net)
    if name != "mobilefacenet":  # where depthwise convolutions are not PReLU's alone
        networks["without PReLU"] = _without_prelu(net)
    works = {kind: lambda network=network: network(images).asnumpy() for kind, network in networks.items()}
    others = peers.forwards(name, pixels, "bfloat16" in precisions)
    seconds = floors.in_turns({**works, **others}, rounds)
    what, rows = f"{name}, batch {batch}", []
    for floor, end in (("as built", ""), ("MXNet's own PReLU", ", beside MXNet's own PReLU")):
        for kind in precisions:
            row = floors.row(f"{what}, folded, {kind}{end}", seconds[kind], seconds[floor], floor, "ms")
            if kind == "float32" and not end and "without PReLU" in seconds:
                bare = float(np.median(seconds["without PReLU"] / seconds[floor]))
                row["profile"] = f"convolutions and last layer {bare:.2f}, PReLU {row['ratio'] - bare:.2f}"
            rows.append(row)
    for kind in precisions if others else ():
        times = seconds[f"PyTorch, {kind}"]
        rows.append(floors.row(f"{what}, PyTorch, {kind}", times, seconds["as built"], "as built", "ms"))
        rows.append(floors.row(f"{what}, PyTorch over folded, {kind}", times, seconds[kind], f"folded, {kind}", "ms"))
    return rows + [{"what": f"{name}: to fold, {kind}", "value": folding[kind], "unit": "s"} for kind in precisions]


def _symbol_network(net):
    """The network's symbol, as an export of it is run."""
    symbol = net(mx.sym.var("data"))
    values = {parameter.name: parameter.data() for parameter in net.collect_params().values()}
    forward = mx.nd.CachedOp(symbol, [("static_alloc", True), ("static_shape", True)])
    return lambda images: forward(*(images if name == "data" else values[name] for name in symbol.list_inputs()))


def _without_prelu(net):
    """The folded network with its PReLUs left out."""
    kept, left = [], {}
    for operator in fold(inference_graph(net), LIMIT["float32"]):
        inputs = [left.get(name, name) for name in operator.inputs]
        if operator.kind == "Activation" or operator.arrays.get("weight", np.empty(0)).shape[1:] == (1, 1, 1):
            left[operator.name] = inputs[0]
        else:
            kept.append(replace(operator, inputs=inputs))
    return compiled(kept, [mx.cpu(0)], "float32")

"""Evaluation's folded networks beside the networks as they were built: one batch forward, in float32 and in bfloat16.

Here `floor` is the forward pass of the network as it was built, in float32, measured in turns with the others; `ratio`
is below 1 where folding pays. bfloat16 is measured where the processor has AMX. The time that folding takes, proof
included, stands beside that of one such pass; it has no turns.
"""

from __future__ import annotations

import time

import numpy as np

from arcface_gluon import blas, get_model, runtime
from arcface_gluon.models.folded import evaluation_network

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
    works = {kind: lambda network=network: network(images).asnumpy() for kind, network in networks.items()}
    others = peers.forwards(name, pixels, "bfloat16" in precisions)
    seconds = floors.in_turns({**works, **others}, rounds)
    built = seconds.pop("as built")
    what = f"{name}, batch {batch}"
    rows = [
        floors.row(f"{what}, {kind if kind in others else 'folded, ' + kind}", times, built, "as built", "ms")
        for kind, times in seconds.items()
    ]
    return rows + [{"what": f"{name}: to fold, {kind}", "value": folding[kind], "unit": "s"} for kind in precisions]

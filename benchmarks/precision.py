"""What dtype=auto chooses, beside the time of both: training and inference of narrow, wide and depthwise networks.

`floor` is the same in float32, measured in turns; a ratio below 1 says that bfloat16 pays. A row names what auto takes
there (`models/precision.py`, which judges by the widths of convolutions and times nothing).
"""

from __future__ import annotations

import numpy as np

from arcface_gluon import blas, get_model, runtime
from arcface_gluon.models.folded import evaluation_network
from arcface_gluon.models.precision import why_float32
from arcface_gluon.models.training_network import TrainingNetwork

from . import floors

mx = runtime.import_mxnet()

SMALL = {"stem_stride": 2, "input_size": 56}  # as the recipe synthetic has it
# Network, options, images of a batch.
CASES = (
    ("r18", {"width": 0.125, **SMALL}, 8),
    ("r18", {"width": 0.25, **SMALL}, 32),
    ("r18", {"width": 0.5, **SMALL}, 32),
    ("r18", {"width": 0.75, **SMALL}, 16),
    ("r18", {}, 4),
    ("mobilefacenet", {}, 8),
)


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "by", "ratio", "spread"}; one that says so where there is no AMX."""
    if not blas.allow_amx():
        return [{"what": f"left out: {blas.why_no_amx()}", "value": None, "unit": ""}]
    return [row for case in CASES for row in _measure_one(*case, rounds=3 if quick else 5)]


def _measure_one(name, options, batch, rounds):
    mx.random.seed(0)
    net = get_model(name, **options)
    net.initialize()
    net.hybridize()
    side = options.get("input_size", 112)
    images = mx.nd.array(np.random.default_rng(0).integers(0, 256, (batch, 3, side, side), np.uint8), dtype="uint8")
    works = {}
    for precision in ("float32", "bfloat16"):
        network = TrainingNetwork(net, precision)
        works["training", precision] = lambda network=network: _step(network, images)
        folded = evaluation_network(net, None, precision)
        works["inference", precision] = lambda folded=folded: folded(images).asnumpy()
    seconds = floors.in_turns(works, rounds)
    what = f"{name}{''.join(f', {key} {value}' for key, value in options.items() if key == 'width')}, batch {batch}"
    rows = []
    for kind in ("training", "inference"):
        taken = "float32" if why_float32(net, training=kind == "training") else "bfloat16"
        text = f"{kind} of {what}, {side} x {side}, bfloat16 (auto: {taken})"
        rows.append(floors.row(text, seconds[kind, "bfloat16"], seconds[kind, "float32"], "float32", "ms"))
    return rows


def _step(network, images):
    with mx.autograd.record():
        embeddings = network(images)
    embeddings.backward()
    mx.nd.waitall()

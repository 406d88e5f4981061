"""Whole training steps of the backbones on CPU, in float32 and bfloat16, beside PyTorch's where it is installed.

A step is forward, margin head of 10,572 identities (CASIA), backward, and update of backbone and centres. The rate's
floor is the bound set by matrix products: six times the multiply-additions of an image, at the rate of a large float32
product by oneDNN measured in turns with the steps. All other rows stand beside the step in float32, which is their
`floor`: bfloat16, and the same step in PyTorch as arcface_torch does it; "over ours" says by how much that takes longer
in the same precision. What a step is made of is measured in two more steps, which wait after each part.
"""

from __future__ import annotations

import multiprocessing

import numpy as np

BATCH, IDENTITIES = 16, 10_572
PRODUCT = 2048  # side of the matrices whose product gives the rate


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "by", "ratio", "spread"}; quick: r18 alone, three rounds, no peers."""
    # A process lives for one network: memory is its own, and MXNet's pools start empty.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        works = [("r18", 3, False)] if quick else [("r18", 5, True), ("r50", 5, True)]
        return [row for rows in pool.imap(_measure_one, works) for row in rows]


def _measure_one(case):
    name, rounds, with_peers = case
    from arcface_gluon import blas

    precisions = ["float32"] + ["bfloat16"] * blas.allow_amx()
    from arcface_gluon.models import get_model, multiply_additions

    from . import floors, peers
    from .steps import Step, parts_of

    ours = {precision: Step(name, BATCH, IDENTITIES, precision) for precision in precisions}
    others = peers.training_steps(name, BATCH, IDENTITIES, "bfloat16" in precisions) if with_peers else {}
    seconds = floors.in_turns({**ours, "product": _product(), **others}, rounds)
    rate = BATCH / np.median(seconds["float32"])
    bound = 2 * PRODUCT**3 / np.median(seconds["product"]) / 6 / multiply_additions(get_model(name))
    what = f"{name} training step, batch {BATCH}, 1 context(s)"
    first = {"what": what, "value": rate, "unit": "images/s", "floor": bound, "by": "oneDNN", "ratio": rate / bound}
    rows = [first]
    for key in [*precisions, *others]:
        rows.append(floors.row(f"{name} whole step: {key}", seconds[key], seconds["float32"], "float32", "ms"))
        if key in precisions:
            made = ", ".join(f"{part} {1000 * taken:.0f} ms" for part, taken in parts_of(ours[key]).items())
            rows[-1]["profile"] = made
            if others:
                what, other = f"{name} whole step: PyTorch over ours, {key}", seconds[f"PyTorch, {key}"]
                rows.append({**floors.row(what, other, seconds[key], key, "ms"), "profile": f"ours {made}"})
    return rows


def _product():
    import mxnet as mx

    from arcface_gluon.parallel.products import inner

    left, right = (mx.nd.random.normal(shape=(PRODUCT, PRODUCT)) for _ in range(2))
    out = mx.nd.zeros((PRODUCT, PRODUCT))

    def work():
        inner(left, right, out=out)
        mx.nd.waitall()

    return work

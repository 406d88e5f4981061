"""Time and memory of a step of the sharded margin head on CPU.

The floor of the time is the three matrix products of the same sizes (logits, gradients of embeddings and of centres)
with preallocated outputs, measured between the rounds; the best round of each counts. The floor of the memory is
centres, momenta and one buffer of logits. Every configuration has a process of its own.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from pathlib import Path

import numpy as np

from arcface_gluon import ShardedMarginHead  # prepares for MXNet, which is imported after it

SIZE = 512
# Identities, batch, contexts, options of the head, rounds.
CASES = (
    (10_000, 256, 1, {}, 15),
    (100_000, 256, 1, {}, 7),
    (100_000, 256, 4, {}, 5),
    (100_000, 256, 1, {"block_rows": 8192}, 5),
    (100_000, 256, 1, {"sample_rate": 0.1}, 5),
    (1_000_000, 64, 1, {}, 3),
)
QUICK = ((10_000, 256, 1, {}, 5), (100_000, 256, 1, {}, 3))


def measure(quick=False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; quick: 10,000 and 100,000 identities, fewer rounds."""
    # A process lives for one task, so that its peak memory is its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        groups = list(pool.imap(_measure_one, QUICK if quick else CASES))
    return [row for rows in groups for row in rows] + _growth(groups[0], groups[1])


def _growth(small, large):
    """What 1,000 identities more cost, between the first two cases, which differ in nothing else."""
    rows = []
    for one, other in zip(small, large):
        by = (other["identities"] - one["identities"]) / 1000
        value, floor = ((other[key] - one[key]) / by for key in ("value", "floor"))
        rows.append(_row(f"growth with 1,000 identities: {other['kind']}", value, other["unit"], floor))
    return rows


def _measure_one(case):
    identities, batch, contexts, options, rounds = case
    import mxnet as mx

    devices, random = [mx.cpu(i) for i in range(contexts)], np.random.default_rng(0)
    embeddings = random.normal(size=(batch, SIZE)).astype(np.float32)
    parts = [mx.nd.array(part, ctx=ctx) for part, ctx in zip(np.array_split(embeddings, contexts), devices)]
    labels = np.array_split(random.integers(0, identities, batch), contexts)
    # A head of another size first: libraries with their buffers are there before the memory is measured.
    _steps(ShardedMarginHead(1000, SIZE, devices), parts, [part % 1000 for part in labels])
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
    head = ShardedMarginHead(identities, SIZE, devices, **options)
    _steps(head, parts, labels)
    memory = (_memory("VmHWM") - before) / 2**20
    needed = 4 * (2 * identities * SIZE + identities * batch) / 2**20

    def gradients():
        head.forward_backward(parts, labels)
        for _ in head.centre_gradient_blocks():
            pass
        mx.nd.waitall()

    seconds = _best_times([_floor(mx, head, embeddings), gradients, lambda: _step(head, parts, labels)], rounds)
    name = f"{identities:,} identities, batch {batch}"
    name += "".join(f", {key}={value:,}" for key, value in {"contexts": contexts, **options}.items() if value != 1)
    kinds = ("loss and all gradients", "the same and the update of the centres")
    rows = [(kind, 1000 * value, "ms", 1000 * seconds[0]) for kind, value in zip(kinds, seconds[1:])]
    rows.append(("memory above the inputs", memory, "MiB", needed))
    return [{**_row(f"{name}: {kind}", *numbers), "kind": kind, "identities": identities} for kind, *numbers in rows]


def _row(what, value, unit, floor):
    return {"what": what, "value": value, "unit": unit, "floor": floor, "ratio": value / floor}


def _floor(mx, head, embeddings):
    """The three products, on the head's own centres; the gradient of the centres goes where their momenta are."""
    products = []
    for _, _, arrays in head.shards():
        weight, gradient = arrays["weight"], arrays["momentum"]
        x = mx.nd.array(embeddings, ctx=weight.context)
        logits = mx.nd.zeros((len(embeddings), weight.shape[0]), ctx=weight.context)
        products.append((x, weight, logits, mx.nd.zeros_like(x), gradient))

    def run():
        for x, weight, logits, pull, gradient in products:
            mx.nd.dot(x, weight, transpose_b=True, out=logits)
            mx.nd.dot(logits, weight, out=pull)
            mx.nd.dot(logits, x, transpose_a=True, out=gradient)
            # One after the other, as the head does it: together, CPU contexts would fight for the cores.
            gradient.wait_to_read()
        mx.nd.waitall()

    return run


def _step(head, parts, labels):
    import mxnet as mx

    head.forward_backward(parts, labels)
    head.update(1e-9, 0.9, 5e-4)
    mx.nd.waitall()


def _steps(head, parts, labels):
    for _ in range(3):
        _step(head, parts, labels)


def _best_times(works, rounds):
    times = []
    for _ in range(rounds):
        times.append([])
        for work in works:
            began = time.perf_counter()
            work()
            times[-1].append(time.perf_counter() - began)
    return [min(column) for column in zip(*times)]


def _memory(field):
    """Bytes, from the kernel's account of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", status).group(1))

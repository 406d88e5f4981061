"""Time and memory of a step of the sharded margin head on CPU.

The floor of the time is the three matrix products of the same sizes (logits, gradients of embeddings and of centres)
with preallocated outputs, by the fastest library there is, measured in turns with the steps (`floors`). The floor of
the memory is centres, momenta and one buffer of logits. Every configuration has a process of its own. Where numba is
installed, the step is measured without it as well.
"""

from __future__ import annotations

import multiprocessing
import re
from functools import partial
from pathlib import Path

import numpy as np

from arcface_gluon import ShardedMarginHead  # prepares for MXNet, which is imported after it
from arcface_gluon.losses.compiled_kernels import CompiledKernels
from arcface_gluon.losses.host_kernels import HostKernels
from arcface_gluon.losses.shard import KERNELS

from . import floors, peers

SIZE = 512
# Identities of which peers, NumPy and gradients alone are measured: more takes minutes, or does not fit small machines.
LARGEST_FOR_ALL = 100_000
# Identities, batch, contexts, options of the head, rounds.
CASES = (
    (10_000, 256, 1, {}, 15),
    (100_000, 256, 1, {}, 5),
    (100_000, 256, 4, {}, 3),
    (100_000, 256, 1, {"block_rows": 8192}, 3),
    (100_000, 256, 1, {"sample_rate": 0.1}, 3),
    (1_000_000, 64, 1, {}, 5),
)
QUICK = ((10_000, 256, 1, {}, 5), (100_000, 256, 1, {}, 5))


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; quick: 10,000 and 100,000 identities, no peers."""
    # A process lives for one task, so that its peak memory is its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        groups = list(pool.imap(partial(_measure_one, with_peers=not quick), QUICK if quick else CASES))
    return [row for rows in groups for row in rows] + _growth(groups[0], groups[1])


def _growth(small, large):
    """What 1,000 identities more cost, between the first two cases, which differ in nothing else."""
    rows = []
    for one, other in zip(small[:3], large[:3]):
        by = (other["identities"] - one["identities"]) / 1000
        value, floor = ((other[key] - one[key]) / by for key in ("value", "floor"))
        rows.append(_row(f"growth with 1,000 identities: {other['kind']}", value, other["unit"], floor))
    return rows


def _measure_one(case, with_peers):
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

    arrays = [arrays for _, _, arrays in head.shards()]
    whole = contexts == 1 and not options
    bare, others = _floors(embeddings, arrays), {}
    works = {"gradients": gradients} if identities <= LARGEST_FOR_ALL else {}
    works["step"] = lambda: _step(head, parts, labels)
    if whole:
        works["passes"] = floors.passes(arrays[0]["weight"], arrays[0]["momentum"])
        if issubclass(KERNELS["cpu"], CompiledKernels):
            works["step without numba"] = lambda: _by_numpy(head, works["step"])
        if with_peers and identities <= LARGEST_FOR_ALL:
            others = peers.heads(embeddings, labels[0], head.centres())
    else:
        bare = {"oneDNN": bare["oneDNN"]}
    if identities > LARGEST_FOR_ALL:
        bare.pop("NumPy")
    seconds = floors.in_turns({**bare, **works, **others}, rounds)
    by, floor = floors.fastest({name: seconds[name] for name in bare})
    name = f"{identities:,} identities, batch {batch}"
    name += "".join(f", {key}={value:,}" for key, value in {"contexts": contexts, **options}.items() if value != 1)
    rows = []
    kinds = {"gradients": "loss and all gradients", "step": "the same and the update of the centres"}
    kinds = {key: kind for key, kind in kinds.items() if key in seconds}
    for key, kind in kinds.items():
        row = floors.row(f"{name}: {kind}", seconds[key], floor, by, "ms")
        rows.append({**row, "kind": kind, "identities": identities})
    kind = "memory above the inputs"
    rows.append({**_row(f"{name}: {kind}", memory, "MiB", needed), "kind": kind, "identities": identities})
    if whole:
        for key, kind in kinds.items() if "NumPy" in bare else ():
            rows.append(floors.row(f"{name}: {kind}, beside NumPy", seconds[key], seconds["NumPy"], "NumPy", "ms"))
        unavoidable, passed = floor + seconds["passes"], "beside products and one pass over centres and momenta"
        for key in ("step", "step without numba"):
            if key in seconds:
                rows.append(floors.row(f"{name}: {key}, {passed}", seconds[key], unavoidable, f"{by} + passes", "ms"))
        rows += [floors.row(f"{name}: bare products by {one}", seconds[one], floor, by, "ms") for one in bare]
    for one in others:
        rows.append(floors.row(f"{name}: gradients by {one}", seconds[one], floor, by, "ms"))
        rows.append(floors.row(f"{name}: {one} over ours", seconds[one], seconds["gradients"], "ours", "ms"))
    return rows


def _by_numpy(head, work):
    """The work with the elementwise part by NumPy, as where numba is not installed."""
    shards, compiled = head._shards, head._shards[0].kernels
    try:
        for shard in shards:
            shard.kernels = HostKernels(shard.context)
        work()
    finally:
        for shard in shards:
            shard.kernels = compiled


def _row(what, value, unit, floor):
    return {"what": what, "value": value, "unit": unit, "floor": floor, "ratio": value / floor}


def _floors(embeddings, arrays):
    """The three products, on the head's own centres; the gradient of the centres goes where their momenta are."""
    # Small numbers, so that what they leave as momenta moves no centre.
    shards = [floors.head_products(1e-6 * embeddings, of["weight"], of["momentum"]) for of in arrays]
    # One shard after the other, as the head does it: together, CPU contexts would fight for the cores.
    return {name: lambda name=name: [works[name]() for works in shards] for name in shards[0]}


def _step(head, parts, labels):
    import mxnet as mx

    head.forward_backward(parts, labels)
    head.update(1e-9, 0.9, 5e-4)
    mx.nd.waitall()


def _steps(head, parts, labels):
    for _ in range(3):
        _step(head, parts, labels)


def _memory(field):
    """Bytes, from the kernel's account of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", status).group(1))

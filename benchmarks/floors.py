"""What the same work costs at the least here: the bare products of every library there is, measured in turns with it.

The floor of a row is the fastest library of the run, which the row names. Works are measured in turns, so that whatever
else the machine does burdens all alike; values are medians, ratios are medians of each round's ratio.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Callable

import mxnet as mx
import numpy as np

from arcface_gluon.parallel.operators import host_view
from arcface_gluon.parallel.products import block_products, inner
from arcface_gluon.parallel.threads import in_parts, thread_count
from arcface_gluon.progress import progress

Work = Callable[[], object]


def head_products(x: np.ndarray, weight: mx.nd.NDArray, gradient: mx.nd.NDArray) -> dict[str, Work]:
    """The three products of a step of the head, into memory made before, by each library.

    Args:
        x: (B, d). weight: (N, d) centres, and `gradient` (N, d), memory for theirs, on one CPU context.
    """
    rows, pull, weighted = (mx.nd.array(x, weight.context) for _ in range(3))
    logits = mx.nd.empty((len(x), weight.shape[0]), weight.context)
    step = block_products(rows, weight, logits, pull, weighted, gradient)
    mx.nd.waitall()

    def onednn():
        step.to_logits()
        step.to_pull()
        step.to_gradient()
        mx.nd.waitall()

    arrays = [host_view(array) for array in (rows, weight, logits, pull, gradient)]

    def numpy():
        x, w, z, p, g = arrays
        np.matmul(x, w.T, out=z)
        np.matmul(z, w, out=p)
        np.matmul(z.T, x, out=g)

    works = {"NumPy": numpy, "oneDNN": onednn}
    if has("torch"):
        import torch

        torch.set_num_threads(thread_count())
        tensors = [torch.from_numpy(array) for array in arrays]

        def pytorch():
            x, w, z, p, g = tensors
            torch.mm(x, w.T, out=z)
            torch.mm(z, w, out=p)
            torch.mm(z.T, x, out=g)

        works["PyTorch"] = pytorch
    return works


def search_products(probes: np.ndarray, gallery: np.ndarray, block: int = 8192) -> dict[str, Work]:
    """Products of all probes (n, d) with blocks of the gallery (m, d), into one buffer, by each library."""
    memory = np.zeros(len(probes) * block, np.float32)
    parts = [gallery[start : start + block] for start in range(0, len(gallery), block)]
    outs = [memory[: len(probes) * len(part)].reshape(len(probes), -1) for part in parts]
    wrapped = [[mx.nd.from_numpy(array[:], zero_copy=True) for array in pair] for pair in zip(parts, outs)]
    rows = mx.nd.array(probes)

    def numpy():
        for part, out in zip(parts, outs):
            np.matmul(probes, part.T, out=out)

    def onednn():
        for part, out in wrapped:
            inner(rows, part, out=out)
        mx.nd.waitall()

    works = {"NumPy": numpy, "oneDNN": onednn}
    if has("torch"):
        import torch

        torch.set_num_threads(thread_count())
        tensors = [[torch.from_numpy(array) for array in pair] for pair in zip(parts, outs)]
        left = torch.from_numpy(probes)
        works["PyTorch"] = lambda: [torch.mm(left, part.T, out=out) for part, out in tensors]
    return works


def passes(*arrays: mx.nd.NDArray) -> Work:
    """Read and write each array once, at the speed of the memory, over all threads."""
    views = [host_view(array) for array in arrays]

    def work():
        for view in views:
            in_parts(lambda a, b, view=view: np.multiply(view[a:b], np.float32(1), out=view[a:b]), len(view))

    return work


def in_turns(works: dict[str, Work], rounds: int, warm: bool = True) -> dict[str, np.ndarray]:
    """{name: (rounds,) seconds}, after one round that warms up, unless something else did (`warm=False`)."""
    seconds: dict[str, list] = {name: [] for name in works}
    first = -1 if warm else 0
    for index in progress(range(first, rounds), desc=f"{len(works)} works in turns", unit="rounds", delay=2):
        for name, work in works.items():
            mx.nd.waitall()
            began = time.perf_counter()
            work()
            if index >= 0:
                seconds[name].append(time.perf_counter() - began)
    return {name: np.array(times) for name, times in seconds.items()}


def fastest(seconds: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """The library with the smallest median, and its times."""
    name = min(seconds, key=lambda name: np.median(seconds[name]))
    return name, seconds[name]


def row(what: str, seconds: np.ndarray, floor: np.ndarray, by: str, unit: str = "s") -> dict:
    """A row of a table; `spread` is half the range between the quartiles of the rounds' ratios."""
    ratios, factor = seconds / floor, {"s": 1, "ms": 1000}[unit]
    low, high = np.percentile(ratios, [25, 75])
    return {
        "what": what,
        "value": factor * float(np.median(seconds)),
        "unit": unit,
        "floor": factor * float(np.median(floor)),
        "by": by,
        "ratio": float(np.median(ratios)),
        "spread": float(high - low) / 2,
    }


def has(package: str) -> bool:
    """Whether a library is installed."""
    return importlib.util.find_spec(package) is not None

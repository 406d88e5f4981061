"""Time of the 10-fold verification protocol: 6,000 pairs of 512-d embeddings, the size of LFW and AgeDB-30."""

from __future__ import annotations

import time

import numpy as np

from arcface_gluon.protocols.verification import evaluate_pairs

PAIRS, SIZE = 6000, 512


def measure(quick: bool = False) -> list[dict]:
    """Time `evaluate_pairs`; the floor is one pass over the pairs for their distances, a sort and a running sum."""
    rng, repeats = np.random.default_rng(0), 3 if quick else 7
    issame = np.arange(PAIRS) % 2 == 0
    embeddings = rng.normal(size=(PAIRS, 2, SIZE)).astype(np.float32)
    embeddings[issame, 1] = embeddings[issame, 0] + rng.normal(size=(issame.sum(), SIZE))
    embeddings = embeddings.reshape(2 * PAIRS, SIZE)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    seconds = _best(lambda: evaluate_pairs(embeddings, issame), repeats)
    floor = _best(lambda: _distances_and_sums(unit, issame), repeats)
    return [
        {
            "what": f"10-fold verification, {PAIRS} pairs, {SIZE}-d",
            "value": seconds * 1000,
            "unit": "ms",
            "floor": floor * 1000,
            "ratio": seconds / floor,
        }
    ]


def _distances_and_sums(unit, issame, block=64):
    distances = np.empty(PAIRS, np.float32)
    difference = np.empty((block, SIZE), np.float32)
    for start in range(0, PAIRS, block):
        part = difference[: min(block, PAIRS - start)]
        np.subtract(unit[2 * start : 2 * (start + block) : 2], unit[2 * start + 1 : 2 * (start + block) : 2], out=part)
        np.einsum("ij,ij->i", part, part, out=distances[start : start + block])
    return np.cumsum(issame[np.argsort(distances)])


def _best(work, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)

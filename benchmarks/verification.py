"""Time of the 10-fold verification protocol: 6,000 pairs of 512-d embeddings, the size of LFW and AgeDB-30.

The floor is one pass over the pairs for their distances, a sort and a running sum. Beside it, on the same pairs: the
protocol by scikit-learn's KFold and roc_curve, and as insightface's public code has it, which tries 400 thresholds.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from arcface_gluon.protocols.verification import evaluate_pairs

from . import floors, peers

PAIRS, SIZE = 6000, 512


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "by", "ratio", "spread"}."""
    rng = np.random.default_rng(0)
    issame = np.arange(PAIRS) % 2 == 0
    embeddings = rng.normal(size=(PAIRS, 2, SIZE)).astype(np.float32)
    embeddings[issame, 1] = embeddings[issame, 0] + rng.normal(size=(issame.sum(), SIZE))
    embeddings = embeddings.reshape(2 * PAIRS, SIZE)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    works = {
        "floor": partial(_distances_and_sums, unit, issame),
        "ours": partial(evaluate_pairs, embeddings, issame),
        **peers.verifications(embeddings, issame),
    }
    seconds = floors.in_turns(works, 5 if quick else 15)
    floor = seconds.pop("floor")
    what = f"10-fold verification, {PAIRS:,} pairs, {SIZE}-d"
    return [
        floors.row(what if name == "ours" else f"the same by {name}", times, floor, "distances and a sort", "ms")
        for name, times in seconds.items()
    ]


def _distances_and_sums(unit, issame, block=64):
    distances = np.empty(PAIRS, np.float32)
    difference = np.empty((block, SIZE), np.float32)
    for start in range(0, PAIRS, block):
        part = difference[: min(block, PAIRS - start)]
        np.subtract(unit[2 * start : 2 * (start + block) : 2], unit[2 * start + 1 : 2 * (start + block) : 2], out=part)
        np.einsum("ij,ij->i", part, part, out=distances[start : start + block])
    return np.cumsum(issame[np.argsort(distances)])

"""Exact search for the best of a gallery, beside the bare products and, where it is installed, faiss."""

from __future__ import annotations

import numpy as np
from arcface_gluon.datasets.demo import planted

from arcface_gluon.protocols.scores.blocks import UnitBlocks
from arcface_gluon.protocols.scores.search import top_k
from arcface_gluon.runtime import contexts

from . import floors, peers

PROBES, GALLERY = 3530, 100_000


def measure(quick: bool = False) -> list[dict]:
    """Rows of times in seconds, of five rounds in turns."""
    gallery, probes = planted(GALLERY // 8 if quick else GALLERY, 0, seed=1)[0], planted(PROBES, 0)[0]
    devices = contexts()
    load = UnitBlocks(gallery, devices)
    bare, others = floors.search_products(probes, gallery), peers.searches(probes, gallery)
    ours = {"ours": lambda: top_k(probes, load, len(gallery), 1, devices)}
    seconds = floors.in_turns({**bare, **ours, **others}, rounds=5)
    by, floor = floors.fastest({name: seconds[name] for name in bare})
    size = f"{len(probes):,} x {len(gallery):,} x {probes.shape[1]}"
    rows = [floors.row(f"best of the gallery, {size}", seconds["ours"], floor, by)]
    for name in others:
        rows.append(floors.row(f"best of the gallery, {size}, beside {name}", seconds["ours"], seconds[name], name))
        rows.append(floors.row(f"the same by {name}", seconds[name], floor, by))
    rows += [floors.row(f"bare products by {name}", seconds[name], floor, by) for name in bare]
    if others and not quick:
        indices = [np.ravel(ours["ours"]()[1]), np.ravel(next(iter(others.values()))()[1])]
        rows.append({"what": "share of probes with the same answer", "value": float(np.mean(indices[0] == indices[1]))})
    return rows

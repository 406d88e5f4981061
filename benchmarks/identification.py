"""MegaFace at full size, and Trillion-Pairs by a part of it, beside the bare products of the same features.

Features are random unit vectors with planted persons. A sixth of the probes is nobody's, as of FaceScrub's labels a
sixth is wrong: their mates lie among the bulk of the distractors, which is the costly case. The bare products are those
of the fastest library, into one buffer, measured before and after. With faiss installed, its exact index is measured as
well.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator

import numpy as np
from arcface_gluon.datasets.demo import planted

from arcface_gluon.protocols import trillion_pairs
from arcface_gluon.protocols.megaface import identify, rank1

from .floors import search_products
from .peers import searches

PROBES, PEOPLE, DISTRACTORS, SIZE = 3530, 80, 1_000_000, 512
STREAMED_PROBES, STREAMED_PEOPLE = 100_000, 530
ELFW, ELFW_PEOPLE, FLICKR = 274_000, 5_700, 1_580_000


def measure(quick: bool = False) -> list[dict]:
    """Rows of times in seconds; the floor is the bare products of the same features."""
    gallery = planted(DISTRACTORS // 16 if quick else DISTRACTORS, 0, seed=1)[0]
    probes, labels = mislabelled(*planted(PROBES, PEOPLE))
    before = bare(probes, gallery)
    with peak_memory() as memory:
        full = timed(lambda: identify(probes, labels, gallery))
    first = timed(lambda: rank1(probes, labels, gallery))
    floor = (before + bare(probes, gallery)) / 2
    size = f"{PROBES:,} x {len(gallery):,} x {SIZE}"
    rows = [
        row(f"MegaFace, CMC and ROC, {size}", full, floor),
        {"what": "its memory above the features (limit 1,024)", "value": memory.mib, "unit": "MiB"},
        row(f"MegaFace, rank-1 alone, {size}", first, floor),
    ]
    rows += [row(f"the same by {name}, {size}", timed(work), floor) for name, work in searches(probes, gallery).items()]
    rows += streamed(gallery[: len(gallery) // 8])
    return [*rows, trillion(64 if quick else 16, gallery)]


def streamed(gallery: np.ndarray) -> list[dict]:
    """100,000 probes: one chunk of them, measured against a part of the gallery."""
    probes, labels = mislabelled(*planted(4096, STREAMED_PEOPLE * 4096 // STREAMED_PROBES, seed=3))
    factor = STREAMED_PROBES / len(probes) * DISTRACTORS / len(gallery)
    floor = bare(probes, gallery)
    with peak_memory() as memory:
        seconds = timed(lambda: identify(probes, labels, gallery))
    what = f"{STREAMED_PROBES:,} x {DISTRACTORS:,}, CMC and ROC, from {len(probes):,} x {len(gallery):,}"
    return [
        row(what, seconds * factor, floor * factor),
        {"what": "its memory above the features", "value": memory.mib, "unit": "MiB"},
    ]


def trillion(part: int, gallery: np.ndarray) -> dict:
    """Trillion-Pairs from one `part`-th of its probes and as small a part of its distractors."""
    probes, persons = planted(ELFW // part, ELFW_PEOPLE // part, seed=4)
    distractors = gallery[: FLICKR // part]
    floor = bare(probes, distractors) + bare(probes, probes)
    seconds = timed(lambda: trillion_pairs.evaluate(probes, persons, distractors))
    return row(f"Trillion-Pairs, {ELFW:,} x {FLICKR:,}, from 1/{part**2:,} of it", seconds * part**2, floor * part**2)


def mislabelled(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sixth of the features replaced by nobody's."""
    wrong = np.random.default_rng(0).random(len(features)) < 1 / 6
    features[wrong] = planted(int(wrong.sum()), 0, seed=2)[0]
    return features, labels


def bare(probes: np.ndarray, gallery: np.ndarray) -> float:
    """Seconds of the bare products of all probes with blocks of the gallery, by the faster library."""
    return min(timed(work) for work in search_products(probes, gallery).values())


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(what: str, seconds: float, floor: float) -> dict:
    return {"what": what, "value": seconds, "unit": "s", "floor": floor, "ratio": seconds / floor}


@contextmanager
def peak_memory() -> Iterator[SimpleNamespace]:
    """Most memory that the process held in this block beyond what it held before; sampled, so Linux only."""
    result = SimpleNamespace(mib=None)
    ended, before, most = threading.Event(), resident(), 0

    def sample():
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, resident())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        ended.set()
        thread.join()
        result.mib = (most - before) / 2**20


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

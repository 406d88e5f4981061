"""MegaFace at full size, and Trillion-Pairs by parts of it, beside the bare products of the same features.

Features are random unit vectors with planted persons. A sixth of the probes is nobody's, as of FaceScrub's labels a
sixth is wrong: their mates lie among the bulk of the distractors, which is the costly case. The bare products are those
of the fastest library, into one buffer, in turns with what they are the floor of. With faiss installed, its exact index
is measured as well. A round of full size takes a minute, so there are three, and a small part of the gallery warms up.
100,000 probes are searched for 4,096 at a time, each time among all distractors: one such chunk is measured.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Iterator

import numpy as np
from arcface_gluon.datasets.demo import planted

from arcface_gluon.protocols import trillion_pairs
from arcface_gluon.protocols.megaface import identify, rank1

from . import floors
from .peers import searches

PROBES, PEOPLE, DISTRACTORS, SIZE = 3530, 80, 1_000_000, 512
ROUNDS = 3
STREAMED_PROBES, STREAMED_PEOPLE = 100_000, 530
ELFW, ELFW_PEOPLE, FLICKR = 274_000, 5_700, 1_580_000


def measure(quick: bool = False) -> list[dict]:
    """Rows of times in seconds, of rounds in turns; the floor is the bare products of the same features."""
    gallery = planted(DISTRACTORS // 16 if quick else DISTRACTORS, 0, seed=1)[0]
    probes, labels = mislabelled(*planted(PROBES, PEOPLE))
    others, (by, bare) = searches(probes, gallery), fastest_products(probes, gallery)
    full, memory = _watched(probes, labels, gallery)
    for protocol in (identify, rank1):
        protocol(probes, labels, gallery[: len(gallery) // 32])
    works = {by: bare, "full": full, "first": lambda: rank1(probes, labels, gallery), **others}
    seconds = floors.in_turns(works, ROUNDS, warm=False)
    floor, size = seconds[by], f"{PROBES:,} x {len(gallery):,} x {SIZE}"
    rows = [
        floors.row(f"MegaFace, CMC and ROC, {size}", seconds["full"], floor, by),
        {"what": "its memory above the features (limit 1,024)", "value": max(memory), "unit": "MiB"},
        floors.row(f"MegaFace, rank-1 alone, {size}", seconds["first"], floor, by),
    ]
    for name in others:
        rows.append(floors.row(f"the same by {name}, {size}", seconds[name], floor, by))
        rows.append(floors.row(f"MegaFace, rank-1 alone, beside {name}", seconds["first"], seconds[name], name))
    rows += streamed(gallery)
    return [*rows, trillion(64 if quick else 32, gallery)]


def streamed(gallery: np.ndarray) -> list[dict]:
    """100,000 probes: one chunk of them, measured against the whole gallery."""
    probes, labels = mislabelled(*planted(4096, STREAMED_PEOPLE * 4096 // STREAMED_PROBES, seed=3))
    factor = STREAMED_PROBES / len(probes) * DISTRACTORS / len(gallery)
    by, bare = fastest_products(probes, gallery)
    ours, memory = _watched(probes, labels, gallery)
    seconds = floors.in_turns({by: bare, "ours": ours}, ROUNDS, warm=False)
    what = f"{STREAMED_PROBES:,} x {DISTRACTORS:,}, CMC and ROC, from {len(probes):,} x {len(gallery):,}"
    return [
        floors.row(what, seconds["ours"] * factor, seconds[by] * factor, by),
        {"what": "its memory above the features", "value": max(memory), "unit": "MiB"},
    ]


def _watched(probes, labels, gallery):
    """CMC and ROC as work, and a list that gets the MiB above the features that each call took."""
    memory: list[float] = []

    def work():
        with peak_memory() as peak:
            identify(probes, labels, gallery)
        memory.append(peak.mib)

    return work, memory


def trillion(part: int, gallery: np.ndarray) -> dict:
    """Trillion-Pairs from one `part`-th of its images, and from half as many.

    Its time is a share for every image and one for every pair of two, as that of its products is. Scaled up by the
    pairs alone, the shares of the images would weigh `part` times too much.
    """
    works = {}
    for name, size in {"few": 2 * part, "more": part}.items():
        probes, persons = planted(ELFW // size, ELFW_PEOPLE // size, seed=4)
        distractors = gallery[: FLICKR // size]
        (by, some), (_, others) = fastest_products(probes, distractors), fastest_products(probes, probes)
        works[name] = partial(trillion_pairs.evaluate, probes, persons, distractors)
        works[f"{name}: products"] = lambda some=some, others=others: (some(), others())
    seconds = floors.in_turns(works, ROUNDS, warm=False)
    ours, floor = (whole(part, seconds["more" + kind], seconds["few" + kind]) for kind in ("", ": products"))
    what = f"Trillion-Pairs, {ELFW:,} x {FLICKR:,}, from 1/{part**2:,} and 1/{4 * part**2:,} of it"
    return floors.row(what, ours, floor, by)


def whole(part: int, more: np.ndarray, few: np.ndarray) -> np.ndarray:
    """Time of all images by those of one `part`-th of them and of half as many: a n + b n^2 of n images."""
    pairs = 2 * part**2 * (more - 2 * few)
    return pairs + part * (more - pairs / part**2)


def mislabelled(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A sixth of the features replaced by nobody's."""
    wrong = np.random.default_rng(0).random(len(features)) < 1 / 6
    features[wrong] = planted(int(wrong.sum()), 0, seed=2)[0]
    return features, labels


def fastest_products(probes: np.ndarray, gallery: np.ndarray) -> tuple[str, floors.Work]:
    """The bare products of all probes with blocks of the gallery by the library that is fastest with a part of it."""
    by, _ = floors.fastest(floors.in_turns(floors.search_products(probes, gallery[:8192]), rounds=3))
    return by, floors.search_products(probes, gallery)[by]


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

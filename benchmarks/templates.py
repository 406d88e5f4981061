"""IJB-C at full size: pooling, 15.7 million pair scores, and 1:N search, beside the bare products and gathers."""

from __future__ import annotations

import time
from typing import Any, Callable

import mxnet as mx
import numpy as np
from arcface_gluon.datasets.demo import planted

from arcface_gluon.parallel.products import inner
from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols import ijb_verification as templates

IMAGES, GALLERY, PROBES, SUBJECTS, PAIRS, SIZE = 469_375, 3_531, 19_593, 3_531, 15_658_489, 512


def measure(quick: bool = False) -> list[dict]:
    """Rows of times in seconds; every floor does the same products and gathers with nothing around them."""
    part = 8 if quick else 1
    count, pairs = GALLERY + PROBES, PAIRS // part
    random = np.random.default_rng(0)
    subjects = np.r_[np.arange(GALLERY), random.integers(0, SUBJECTS, PROBES)]
    numbers = np.sort(np.r_[np.arange(count), random.integers(0, count, IMAGES // part - count)])
    features, _ = planted(len(numbers), 0)
    centres, _ = planted(SUBJECTS, 0, seed=1)
    features += centres[subjects[numbers]]
    media = np.arange(len(numbers)) // 3
    first = np.sort(random.integers(0, GALLERY, pairs))
    second = random.integers(GALLERY, count, pairs)
    pooling, pooled = timed(lambda: templates.pool(features, numbers, media))
    scoring, _ = timed(lambda: templates.pair_scores(pooled.vectors, first, second))
    same = subjects[first] == subjects[second]
    floor = scoring_floor(pooled.vectors, first, second)
    whole, _ = timed(lambda: templates.verify(pooled, first, second, same))
    enrolled = np.array_split(np.arange(GALLERY), 2)
    searching, _ = timed(
        lambda: template_search.search(
            pooled, (np.arange(GALLERY, count), subjects[GALLERY:]), [(ids, subjects[ids]) for ids in enrolled]
        )
    )
    products = product_floor(pooled.vectors[GALLERY:], pooled.vectors[:GALLERY])
    return [
        row(f"pooling {len(numbers):,} images into {count:,} templates", pooling, pooling_floor(features, numbers)),
        row(f"scores of {pairs:,} pairs", scoring, floor),
        row("the same with lookup of the templates and the error curve", whole, floor),
        # Each probe is compared with both galleries, alone and joined.
        row(f"1:N search, {PROBES:,} probes, {GALLERY:,} enrolled", searching, 2 * products),
    ]


def pooling_floor(features: np.ndarray, numbers: np.ndarray, part: int = 2048) -> float:
    """The sparse products alone, of as many templates as MXNet takes at a time."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    dense, products = mx.nd.from_numpy(features[:], zero_copy=True), []
    for first in range(0, len(starts) - 1, part):
        here = starts[first : first + part + 1]
        images = int(here[-1] - here[0])
        values = np.ones(images, np.float32), np.arange(images), here - here[0]
        matrix = mx.nd.sparse.csr_matrix(values, shape=(len(here) - 1, images))
        products.append((matrix, dense[int(here[0]) : int(here[-1])]))
    return timed(lambda: [mx.nd.dot(*pair).wait_to_read() for pair in products])[0]


def scoring_floor(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, block: int = 512) -> float:
    """Products of blocks of gallery templates with all probe templates, then one gather a block."""
    rows, columns = mx.nd.array(vectors[:GALLERY]), mx.nd.array(vectors[GALLERY:])
    memory, width = np.zeros(block * PROBES, np.float32), len(vectors) - GALLERY
    out, scores = mx.nd.from_numpy(memory[:], zero_copy=True), np.zeros(len(first), np.float32)
    parts = []
    for start in range(0, GALLERY, block):
        here = slice(*np.searchsorted(first, [start, start + block]))
        parts.append((start, here, (first[here] - start) * width + second[here] - GALLERY))

    def work():
        for start, here, flat in parts:
            left = rows[start : min(start + block, GALLERY)]
            size = left.shape[0] * width
            inner(left, columns, out=out[:size].reshape((left.shape[0], width)))
            out.wait_to_read()
            np.take(memory[:size], flat, out=scores[here], mode="wrap")

    return timed(work)[0]


def product_floor(probes: np.ndarray, gallery: np.ndarray, block: int = 4096) -> float:
    """Bare products of all probes with the gallery."""
    rows, columns = mx.nd.array(probes), mx.nd.array(gallery)
    out = mx.nd.zeros((block, len(gallery)))

    def work():
        for start in range(0, len(probes), block):
            part = rows[start : min(start + block, len(probes))]
            inner(part, columns, out=out[: part.shape[0]])
        mx.nd.waitall()

    return timed(work)[0]


def timed(work: Callable[[], Any], repeats: int = 2) -> tuple[float, Any]:
    """Seconds of the faster of two runs, and the result."""
    times = []
    for _ in range(repeats):
        mx.nd.waitall()
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def row(what: str, seconds: float, floor: float) -> dict:
    return {"what": what, "value": seconds, "unit": "s", "floor": floor, "ratio": seconds / floor}

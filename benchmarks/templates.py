"""IJB-C at full size: pooling, 15.7 million pair scores, and 1:N search, beside the bare products and gathers."""

from __future__ import annotations

import mxnet as mx
import numpy as np
from arcface_gluon.datasets.demo import planted
from scipy.sparse import csr_matrix

from arcface_gluon.parallel.products import inner
from arcface_gluon.parallel.threads import in_parts
from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols import ijb_templates
from arcface_gluon.protocols import ijb_verification as verification

from . import floors

IMAGES, GALLERY, PROBES, SUBJECTS, PAIRS, SIZE = 469_375, 3_531, 19_593, 3_531, 15_658_489, 512


def measure(quick: bool = False) -> list[dict]:
    """Rows of times in seconds, in turns; every floor does the same products and gathers with nothing around them."""
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
    pooled = ijb_templates.pool(features, numbers, media)
    same = subjects[first] == subjects[second]
    enrolled = np.array_split(np.arange(GALLERY), 2)
    asked, lists = (np.arange(GALLERY, count), subjects[GALLERY:]), [(ids, subjects[ids]) for ids in enrolled]
    sparse = pooling_products(features, numbers)
    works = {
        **sparse,
        "pool": lambda: ijb_templates.pool(features, numbers, media),
        "products and gathers": scoring_floor(pooled.vectors, first, second),
        "scores": lambda: verification.pair_scores(pooled.vectors, first, second),
        "verify": lambda: verification.verify(pooled, first, second, same),
        "products": product_floor(pooled.vectors[GALLERY:], pooled.vectors[:GALLERY]),
        "search": lambda: template_search.search(pooled, asked, lists),
    }
    seconds = floors.in_turns(works, rounds=5)
    by, floor = floors.fastest({name: seconds[name] for name in sparse})
    scoring = seconds["products and gathers"]
    return [
        floors.row(f"pooling {len(numbers):,} images into {count:,} templates", seconds["pool"], floor, by),
        floors.row(f"scores of {pairs:,} pairs", seconds["scores"], scoring, "oneDNN and NumPy"),
        floors.row(
            "the same with lookup of the templates and the error curve", seconds["verify"], scoring, "oneDNN and NumPy"
        ),
        # Each probe is compared with both galleries, alone and joined.
        floors.row(
            f"1:N search, {PROBES:,} probes, {GALLERY:,} enrolled", seconds["search"], 2 * seconds["products"], "oneDNN"
        ),
    ]


def pooling_products(features: np.ndarray, numbers: np.ndarray, part: int = 2048) -> dict[str, floors.Work]:
    """The sparse products alone by each library: of as many templates as MXNet takes at a time, or over all threads."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    dense, products = mx.nd.from_numpy(features[:], zero_copy=True), []
    for first in range(0, len(starts) - 1, part):
        here = starts[first : first + part + 1]
        images = slice(int(here[0]), int(here[-1]))
        count = images.stop - images.start
        values = np.ones(count, np.float32), np.arange(count), here - here[0]
        shape = len(here) - 1, count
        products.append(
            (mx.nd.sparse.csr_matrix(values, shape=shape), dense[images], csr_matrix(values, shape=shape), images)
        )

    def scipy(first, last):
        for _, _, matrix, images in products[first:last]:
            matrix @ features[images]

    return {
        "MXNet": lambda: [mx.nd.dot(matrix, images).wait_to_read() for matrix, images, _, _ in products],
        "SciPy": lambda: in_parts(scipy, len(products)),
    }


def scoring_floor(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, block: int = 512) -> floors.Work:
    """Products of blocks of gallery templates with all probe templates, then one gather a block, over all threads."""
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
            values, found = memory[:size], scores[here]

            def gather(a, b, values=values, flat=flat, found=found):
                np.take(values, flat[a:b], out=found[a:b], mode="clip")

            in_parts(gather, len(flat), 1 << 16)

    return work


def product_floor(probes: np.ndarray, gallery: np.ndarray, block: int = 4096) -> floors.Work:
    """Bare products of all probes with the gallery."""
    rows, columns = mx.nd.array(probes), mx.nd.array(gallery)
    out = mx.nd.zeros((block, len(gallery)))

    def work():
        for start in range(0, len(probes), block):
            part = rows[start : min(start + block, len(probes))]
            inner(part, columns, out=out[: part.shape[0]])
        mx.nd.waitall()

    return work

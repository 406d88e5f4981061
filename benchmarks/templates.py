"""IJB-C at full size: pooling, 15.7 million pair scores, and 1:N search, beside the bare products and gathers."""

from __future__ import annotations

import mxnet as mx
import numpy as np
from arcface_gluon.datasets.demo import planted
from scipy.sparse import csr_matrix

from arcface_gluon.parallel.products import inner
from arcface_gluon.parallel.threads import in_parts, thread_count
from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols import ijb_templates
from arcface_gluon.protocols import ijb_verification as verification
from arcface_gluon.protocols.scores.pairs import pair_scores

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
    # 32 bits, as `read_pairs` gives them.
    first = np.sort(random.integers(0, GALLERY, pairs, np.int32))
    second = random.integers(GALLERY, count, pairs, np.int32)
    pooled = ijb_templates.pool(features, numbers, media)
    same = subjects[first] == subjects[second]
    enrolled = np.array_split(np.arange(GALLERY), 2)
    asked, lists = (np.arange(GALLERY, count), subjects[GALLERY:]), [(ids, subjects[ids]) for ids in enrolled]
    sparse = {f"pooling by {name}": work for name, work in pooling_products(features, numbers).items()}
    scoring = {f"scoring by {name}": work for name, work in scoring_floors(pooled.vectors, first, second).items()}
    works = {
        **sparse,
        "pool": lambda: ijb_templates.pool(features, numbers, media),
        **scoring,
        "scores": lambda: pair_scores(pooled.vectors, first, second),
        "verify": lambda: verification.verify(pooled, first, second, same),
        "products": product_floor(pooled.vectors[GALLERY:], pooled.vectors[:GALLERY]),
        "search": lambda: template_search.search(pooled, asked, lists),
    }
    seconds = floors.in_turns(works, rounds=5)
    sums = {name.split(" by ")[1]: seconds[name] for name in sparse}
    by, floor = floors.fastest(sums)
    multiplier, product = floors.fastest({name: times for name, times in sums.items() if name != "PyTorch"})
    gatherer, gathers = floors.fastest({name.split(" by ")[1]: seconds[name] for name in scoring})
    pooling = f"pooling {len(numbers):,} images into {count:,} templates"
    return [
        floors.row(pooling, seconds["pool"], floor, by),
        floors.row(f"{pooling}, beside the sparse product", seconds["pool"], product, multiplier),
        floors.row(f"scores of {pairs:,} pairs", seconds["scores"], gathers, gatherer),
        floors.row("the same with lookup of the templates and the error curve", seconds["verify"], gathers, gatherer),
        # Each probe is compared with both galleries, alone and joined.
        floors.row(
            f"1:N search, {PROBES:,} probes, {GALLERY:,} enrolled", seconds["search"], 2 * seconds["products"], "oneDNN"
        ),
    ]


def pooling_products(features: np.ndarray, numbers: np.ndarray, part: int = 2048) -> dict[str, floors.Work]:
    """Sums of the images alone: sparse products of as many templates as MXNet takes at a time, or PyTorch's sums."""
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

    works = {
        "MXNet": lambda: [mx.nd.dot(matrix, images).wait_to_read() for matrix, images, _, _ in products],
        "SciPy": lambda: in_parts(scipy, len(products)),
    }
    if floors.has("torch"):
        import torch

        torch.set_num_threads(thread_count())
        tensor, begins = torch.from_numpy(features), torch.from_numpy(starts[:-1])
        images, weights = torch.arange(len(features)), torch.ones(len(features))
        # Its bags, whose sums are no product of a matrix; they are faster than its sparse products.
        works["PyTorch"] = lambda: torch.nn.functional.embedding_bag(
            images, tensor, begins, per_sample_weights=weights, mode="sum"
        )
    return works


def scoring_floors(
    vectors: np.ndarray, first: np.ndarray, second: np.ndarray, block: int = 512
) -> dict[str, floors.Work]:
    """Products of blocks of gallery templates with all probe templates, then one gather a block, by each library.

    The gathers' places are known and the memory of the scores is there before: neither is part of the floor.
    """
    left, right = vectors[:GALLERY], vectors[GALLERY:]
    memory, width = np.zeros((block, len(right)), np.float32), len(right)
    scores, parts = np.zeros(len(first), np.float32), []
    for start in range(0, GALLERY, block):
        here = slice(*np.searchsorted(first, np.array([start, start + block], first.dtype)))
        flat = (first[here].astype(np.intp) - start) * width + second[here] - GALLERY
        rows = left[start : start + block]
        parts.append((rows, memory[: len(rows)], flat, scores[here]))
    columns = mx.nd.array(right)
    wrapped = [[mx.nd.from_numpy(array[:], zero_copy=True) for array in part[:2]] for part in parts]

    def onednn():
        for (rows, out), (_, products, flat, found) in zip(wrapped, parts):
            inner(rows, columns, out=out)
            out.wait_to_read()
            values = products.ravel()

            def gather(a, b, values=values, flat=flat, found=found):
                np.take(values, flat[a:b], out=found[a:b], mode="clip")

            in_parts(gather, len(flat), 1 << 16)

    works = {"oneDNN and NumPy": onednn}
    if floors.has("torch"):
        import torch

        torch.set_num_threads(thread_count())
        tensors, others = [[torch.from_numpy(array) for array in part] for part in parts], torch.from_numpy(right)

        def pytorch():
            for rows, out, flat, found in tensors:
                torch.mm(rows, others.T, out=out)
                torch.index_select(out.view(-1), 0, flat, out=found)

        works["PyTorch"] = pytorch
    return works


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

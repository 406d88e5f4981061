"""`arcface-gluon threshold --bin SET`: thresholds of a model for chosen false accept rates, with their intervals."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from .recognition import add_recogniser_options, open_recogniser, rate

EXAMPLE = "arcface-gluon threshold --bin /data/lfw.bin --model runs/casia_r50 --out threshold.json"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--bin", required=True, metavar="FILE", help="a verification set of aligned faces")
    parser.add_argument("--out", metavar="FILE", help="write them as JSON, for --threshold of compare, identify …")
    parser.add_argument(
        "--far", type=rate, nargs="+", metavar="RATE", help="rates (1e-1 1e-2 … 1e-6, as far as "
        "there are pairs enough)",
    )  # fmt: skip
    add_recogniser_options(parser, aligned=False)
    parser.set_defaults(aligned=True)  # a .bin has crops
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    recogniser = open_recogniser(args)
    from ..data.demos import set_name
    from ..data.images.sources import EncodedImages
    from ..data.verification.bin_file import read_bin
    from ..embed import embed_images
    from ..files import sha256
    from ..protocols.thresholds import FARS
    from ..recognition.thresholds import measure

    encoded, issame = read_bin(args.bin)
    name, fars = set_name(args.bin), args.far or FARS
    index: dict = {}
    order = [index.setdefault(image, len(index)) for image in encoded]
    distinct = EncodedImages(args.bin, list(index))
    note = distinct.size_note(recogniser.size)
    if note:
        print(note)
    rows = embed_images(recogniser.net, distinct, None, None, recogniser.flip, args.quiet, name)
    found = measure(rows[order], encoded, issame, name, sha256(args.bin), recogniser.digest, recogniser.model, fars)
    how = (
        f"the pairs' {found.people:,} people drawn again and again"
        if found.people is not None
        else "pairs taken as independent, since the set does not tell whose they are"
    )
    print(f"{name}: {found.pairs:,} pairs, {found.impostors:,} of them impostors; 95 % intervals of {how}")
    print(f"{'FAR':>8} {'angle':>8} {'interval':>16} {'cosine':>8} {'FAR on others':>20} {'TAR':>8} {'interval':>17}")
    for point in found.points:
        angles = f"{point.angle_interval[0]:.2f} to {point.angle_interval[1]:.2f}"
        rates = f"{point.far_interval[0]:.2g} to {point.far_interval[1]:.2g}"
        tars = f"{point.tar_interval[0]:.2%} to {point.tar_interval[1]:.2%}"
        columns = f"{point.far:8g} {point.angle:7.2f}° {angles:>16} {point.cosine:8.4f} {rates:>20}"
        print(f"{columns} {point.tar:8.2%} {tars:>17}")
    left = [far for far in fars if far not in {point.far for point in found.points}]
    if left:
        needed = ", ".join(f"{far:g} ({np.ceil(1 / far):,.0f} needed)" for far in left)
        print(f"too few impostor pairs for {needed}")
    if args.out:
        found.write(Path(args.out))
        print(f"{args.out}: give it with --threshold to compare, identify, cluster, demo")

"""`arcface-gluon unpack lfw.bin FOLDER`: a verification set, pair by pair, or a train.rec by identity."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

EXAMPLE = "arcface-gluon unpack lfw.bin lfw_images"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("bin", help="a verification set, or a train.rec or its folder")
    parser.add_argument("folder", help="folder to make")


def run(args: Namespace) -> None:
    if args.bin.endswith(".rec") or Path(args.bin).is_dir():
        from ..data.records.unpacking import LIST, unpack_records

        images, identities, left_out = unpack_records(args.bin, args.folder)
        damaged = f"; {left_out:,} damaged or of a wrong label were left out" if left_out else ""
        print(f"{args.folder}: {images:,} images of {identities:,} identities, {LIST} lists them{damaged}")
        return
    from ..data.verification.packing import unpack

    pairs = unpack(args.bin, args.folder)
    print(f"{args.folder}: {pairs:,} pairs, foldNN/NNNN_same_a.jpg beside foldNN/NNNN_same_b.jpg; pairs.txt lists them")

"""`arcface-gluon unpack lfw.bin FOLDER`: the images of a verification set, pair by pair, to look at."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

EXAMPLE = "arcface-gluon unpack lfw.bin lfw_images"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("bin", help="a verification set")
    parser.add_argument("folder", help="folder to make")


def run(args: Namespace) -> None:
    from ..data.verification.packing import unpack

    pairs = unpack(args.bin, args.folder)
    print(f"{args.folder}: {pairs:,} pairs, foldNN/NNNN_same_a.jpg beside foldNN/NNNN_same_b.jpg; pairs.txt lists them")

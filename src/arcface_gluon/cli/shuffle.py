"""`arcface-gluon shuffle SET FOLDER`: a training set in random order."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .options import add_first_label_option, add_rewriting_options, add_seed_option
from .stopping import unless_stopped

EXAMPLE = "arcface-gluon shuffle datasets/casia datasets/casia_shuffled --seed 0"


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "A training set in random order, for what reads it from end to end, such as mx.io.ImageRecordIter. Training "
        "here draws its own order and needs none."
    )
    parser.add_argument("set", help="folder with train.rec")
    parser.add_argument("out", type=Path, metavar="FOLDER", help="of the shuffled set")
    add_seed_option(parser)
    add_first_label_option(parser)
    add_rewriting_options(parser, "leave damaged records out; skipped.txt lists them")


def run(args: Namespace) -> None:
    from ..data import FaceRecords
    from ..data.records.rearranging import shuffle

    with unless_stopped(args.out) as stop:
        records = FaceRecords(args.set, args.first_label)
        written = shuffle(records, args.out, args.seed, args.skip_missing, args.force, stop)
    print(f"{args.out}: {written.describe()}, seed {args.seed}")

"""`arcface-gluon merge SET SET … FOLDER`: several training sets as one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError
from .options import add_first_label_option, add_rewriting_options
from .stopping import unless_stopped

EXAMPLE = "arcface-gluon merge datasets/ms1mv2 datasets/asian_deepglint datasets/ms1mv2_asian"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", metavar="SET", help="folders with train.rec, two or more")
    parser.add_argument("out", type=Path, metavar="FOLDER", help="of the new set; labels.tsv tells where each is from")
    parser.add_argument(
        "--by-name",
        action="store_true",
        help="identities of one name (names.tsv beside the records) become one (default: numbered on, set after set)",
    )
    add_first_label_option(parser)
    add_rewriting_options(parser, "leave damaged records out; skipped.txt lists them")


def run(args: Namespace) -> None:
    from ..data import FaceRecords
    from ..data.records.rearranging import merge

    if len(args.sets) < 2:
        raise UserError("give two or more sets, and then the folder of the new one")
    sets = [FaceRecords(path, args.first_label) for path in args.sets]
    with unless_stopped(args.out) as stop:
        written = merge(sets, args.out, args.by_name, args.skip_missing, args.force, stop)
    print(f"{args.out}: {written.describe()} of {len(sets)} sets; labels.tsv: new label, old label, set")

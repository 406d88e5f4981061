"""`arcface-gluon split SET FOLDER`: people to train with, and others to verify on."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from ..errors import UserError
from .options import add_first_label_option, add_pair_options, add_rewriting_options
from .pack_pairs import chosen_folds, tell, tell_sharing
from .stopping import unless_stopped

EXAMPLE = "arcface-gluon split datasets/all datasets/mine --verification 10% --pairs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("set", help="folder with train.rec")
    parser.add_argument("out", type=Path, metavar="FOLDER", help="of the training part; FOLDER/unseen gets the other")
    parser.add_argument(
        "--verification",
        type=_part,
        default="10%",
        metavar="N",
        help="identities to verify on: a number, or a part such as 10%% (the default)",
    )
    parser.add_argument(
        "--pairs", action="store_true", help="draw pairs of them too: FOLDER/verification.bin, for data.validation"
    )
    add_pair_options(parser)
    add_first_label_option(parser)
    add_rewriting_options(parser, "leave damaged records out; skipped.txt lists them")


def run(args: Namespace) -> None:
    import numpy as np

    from ..data import FaceRecords
    from ..data.records.rearranging import PAIRS, split_identities, write_split
    from ..data.records.training_set import UNSEEN
    from ..data.verification.drawing import draw_pairs, write_drawn

    records = FaceRecords(args.set, args.first_label)
    labels = records.labels()
    parts = split_identities(records, args.verification(len(np.unique(labels[labels >= 0]))), args.seed)
    if args.pairs:  # what cannot be drawn is told before anything is written
        chosen = labels[np.isin(labels, parts.verification)]
        folds = chosen_folds(args, chosen)
        draw_pairs(chosen, args.genuine, args.impostor, folds, args.seed)
    elif args.genuine or args.impostor:
        raise UserError("--genuine and --impostor are of --pairs; add it")
    with unless_stopped(args.out) as stop:
        training, verification = write_split(records, args.out, parts, args.skip_missing, args.force, stop)
    print(f"{args.out}: {training.describe()}")
    print(f"{args.out / UNSEEN}: {verification.describe()}, none of them in the other")
    if args.pairs:
        path = args.out / PAIRS
        others = FaceRecords(args.out / UNSEEN)
        tell_sharing(others.labels(), folds)
        tell(path, write_drawn(others, path, args.genuine, args.impostor, folds, args.seed))


def _part(text):
    """A function from how many identities there are to how many are meant."""
    number = text[:-1] if text.endswith("%") else text
    if not number.isdecimal() or (text.endswith("%") and not 0 < int(number) < 100):
        raise ArgumentTypeError(f"{text!r} is no number of identities, nor a part such as 10%")
    return lambda count: max(1, round(count * int(number) / 100)) if text.endswith("%") else int(number)

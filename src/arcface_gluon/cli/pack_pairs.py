"""`arcface-gluon pack-pairs IMAGES FILE.bin`: a verification set of own pairs, or of pairs drawn here."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from ..errors import UserError
from .options import add_pair_options, add_rewriting_options
from .pack import check_outside

if TYPE_CHECKING:
    import numpy as np

EXAMPLE = "arcface-gluon pack-pairs /data/aligned datasets/mine/mine.bin --genuine 3000 --impostor 3000"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        help="with --pairs, the folder that its paths start from; else whatever `pack` takes, or a train.rec or its "
        "folder, of which pairs are drawn (in folds that share no identity, where there are two or more a fold)",
    )
    parser.add_argument("out", type=Path, metavar="FILE.bin", help="the verification set")
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="LIST",
        help="own pairs, in the folds' order: LFW's pairs.txt, lines first,second,same as .csv, or unpack's pairs.txt",
    )
    parser.add_argument("--root", help="folder that the paths of a list of images start from (default: the list's own)")
    add_pair_options(parser)
    add_rewriting_options(parser, "leave out pairs with a missing or damaged image; FILE.bin.missing.txt lists those")


def run(args: Namespace) -> None:
    from ..data.verification.packing import pack
    from ..data.verification.pair_lists import Pair, read_own_pairs

    if args.out.exists() and not args.force:
        raise UserError(f"{args.out} is there already; name another file, or replace it with --force")
    if args.out.suffix != ".bin":
        raise UserError(f"{args.out}: a verification set is called NAME.bin")
    if args.pairs:
        if args.genuine or args.impostor:
            raise UserError("--pairs gives the pairs; leave --genuine and --impostor out")
        check_outside(args.images, args.out)
        packed = pack(read_own_pairs(args.pairs), args.images, args.out, args.skip_missing)
    elif args.images.endswith(".rec") or (Path(args.images) / "train.rec").is_file():
        _of_records(args)
        return
    else:
        from ..data.images.listing import read_listing
        from ..data.verification.drawing import draw_pairs

        check_outside(args.images, args.out)
        listing = read_listing(args.images, args.root)
        folds = chosen_folds(args, listing.labels)
        drawn = draw_pairs(listing.labels, args.genuine, args.impostor, folds, args.seed)
        names = listing.images.names
        pairs = [Pair(names[first], names[second], same) for first, second, same in drawn]
        packed = pack(pairs, listing.images.root, args.out, args.skip_missing)
        tell_sharing(listing.labels, folds)
    tell(args.out, [pair.same for pair in packed.pairs])
    if packed.missing:
        print(f"{len(packed.missing):,} images are missing or damaged: {args.out}.missing.txt")
    if packed.unaligned:
        print(
            f"{len(packed.unaligned):,} images are not 112x112, such as {packed.unaligned[0]}; a network that takes "
            "another size scales them as a whole"
        )


def _of_records(args):
    from ..data import FaceRecords
    from ..data.verification.drawing import write_drawn

    records = FaceRecords(args.images)
    labels = records.labels()
    folds = chosen_folds(args, labels[labels >= 0])
    same = write_drawn(records, args.out, args.genuine, args.impostor, folds, args.seed)
    tell_sharing(labels, folds)
    tell(args.out, same)


def chosen_folds(args: Namespace, labels: Sequence[int] | np.ndarray) -> int:
    """--folds, or the usual number for the people of these labels, which is told where they are few."""
    from ..data.verification.drawing import usual_folds
    from ..data.verification.pair_lists import FOLDS

    if args.folds:
        return args.folds
    folds = usual_folds(labels)
    if folds < FOLDS:
        print(f"{folds} folds instead of {FOLDS}, for want of people")
    return folds


def tell_sharing(labels: Sequence[int] | np.ndarray, folds: int) -> None:
    """Print where impostor pairs are of two folds."""
    from ..data.verification.drawing import folds_share

    if folds_share(labels, folds):
        print(f"fewer than {2 * folds} people: folds share them in impostor pairs, not in genuine ones")


def tell(path: Path, same: list[bool]) -> None:
    """Print how many pairs a set has."""
    print(f"{path}: {len(same):,} pairs, {sum(same):,} of them genuine")

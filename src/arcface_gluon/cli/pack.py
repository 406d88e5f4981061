"""`arcface-gluon pack IMAGES FOLDER`: aligned images as a training set, train.rec, train.idx and property."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from ..errors import UserError
from .options import add_processes_option, add_rewriting_options, image_size
from .stopping import unless_stopped

EXAMPLE = "arcface-gluon pack /data/aligned datasets/mine"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        help="a folder with a folder for each identity, or a list: path,identity as .csv, im2rec's .lst, train.lst, or "
        "lines `path <tab> identity`",
    )
    parser.add_argument("out", metavar="FOLDER", type=Path, help="of train.rec, train.idx, property and names.tsv")
    parser.add_argument("--root", help="folder that the paths of a list start from (default: the list's own)")
    parser.add_argument(
        "--size",
        type=image_size,
        help="scale images of another size to it, 112 or 112x96 (default: all must have one size)",
    )
    parser.add_argument(
        "--encoding",
        choices=("jpg", "png"),
        help="of what is stored (default: JPEG and PNG as the files have them, byte for byte; others become PNG)",
    )
    parser.add_argument(
        "--quality",
        type=_quality,
        metavar="N",
        help="encode all images again, as JPEG of 1 to 100 (default: only those that must be, at 95)",
    )
    add_processes_option(parser)
    add_rewriting_options(parser, "leave out images that are missing or damaged, and empty identities; skipped.txt")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    from ..data.images.listing import read_listing
    from ..data.records.packing import Encoding, pack_files

    if args.quality and args.encoding == "png":
        raise UserError("--quality is of JPEG; leave it out with --encoding png")
    check_outside(args.images, args.out)
    listing = read_listing(args.images, args.root)
    for note in listing.notes:
        print(note)
    encoding = Encoding(args.size, args.encoding, args.quality)
    with unless_stopped(args.out) as stop:
        done = pack_files(listing, args.out, encoding, args.processes, args.skip_missing, args.force, args.quiet, stop)
    (height, width), written = done.size, done.written
    print(
        f"{args.out}: {written.images:,} images of {written.identities:,} identities, {height}x{width}; "
        f"{done.unchanged:,} stored byte for byte"
    )
    if done.left_out:
        print(f"{len(done.left_out):,} were left out, the first is {done.left_out[0]}: {args.out / 'skipped.txt'}")


def check_outside(source: str, out: Path) -> None:
    """Refuse to write into a folder of images.

    Raises:
        UserError: `out` is `source` or lies in it.
    """
    folder = Path(source).resolve()
    if folder.is_dir() and folder in (out.resolve(), *out.resolve().parents):
        raise UserError(f"{out} lies in {source}; choose a folder outside of it")


def _quality(text):
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ArgumentTypeError(f"{text!r} is no quality from 1 to 100")
    return int(text)

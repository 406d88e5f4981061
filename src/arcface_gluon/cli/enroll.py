"""`arcface-gluon enroll FOLDER`: the faces of known people as one file, to identify others by."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..errors import UserError
from .recognition import add_recogniser_options, open_recogniser

EXAMPLE = "arcface-gluon enroll /data/people --out gallery.npz"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", help="of people's folders, or of photographs named after people")
    parser.add_argument(
        "--out", default="gallery.npz", metavar="FILE.npz", help="the gallery (gallery.npz); photographs that it has "
        "already are not looked at again",
    )  # fmt: skip
    parser.add_argument("--every", action="store_true", help="take all faces of a photograph, not the largest alone")
    add_recogniser_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    recogniser = open_recogniser(args)
    from ..recognition.enrolment import enroll

    done = enroll(recogniser, args.folder, args.out, args.every, args.aligned, args.quiet)
    for note in done.notes:
        print(note)
    gallery = done.gallery
    before = f", {done.before:,} of them from before" if done.before else ""
    print(f"{args.out}: {len(gallery):,} faces of {len(gallery.people):,} people{before}")
    if done.several:
        print(
            f"{len(done.several):,} photographs have several faces, of which the largest was taken: {done.several[0]} …"
        )
    print_left_out(done.left_out)
    if done.left_out:
        raise UserError(_missing(args.out, done))


def print_left_out(left_out: list[tuple[str, str]], most: int = 10) -> None:
    """Say which photographs gave no face, and why."""
    if left_out:
        print(f"{len(left_out):,} photographs were left out:")
        for _, why in left_out[:most]:
            print(f"  {why}")
        if len(left_out) > most:
            print(f"  … and {len(left_out) - most:,} more")


def _missing(out, done, most=5):
    """What a gallery that was written lacks: photographs, and people who have no other."""
    from ..recognition.enrolment import person_of

    names = [name for name, _ in done.left_out]
    photographs = len(names) + len({entry.photo for entry in done.gallery.entries})
    people = sorted({*map(person_of, names)} - {*done.gallery.people})
    more = f" and {len(people) - most:,} more" if len(people) > most else ""
    nobody = f", and has no face of {', '.join(people[:most])}{more}" if people else ""
    return (
        f"{out} is written, without {len(names):,} of {photographs:,} photographs{nobody}; replace those, or take them "
        "out of the folder"
    )

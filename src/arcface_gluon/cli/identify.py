"""`arcface-gluon identify PHOTO --gallery G`: who is in a photograph, of the people of a gallery, or unknown."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path

from ..files import write_json
from .options import count
from .recognition import (
    add_recogniser_options,
    add_threshold_options,
    describe_threshold,
    open_recogniser,
    open_threshold,
    refuse_left_out,
    usable,
)

EXAMPLE = "arcface-gluon identify party.jpg --gallery gallery.npz --threshold threshold.json"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("photographs", nargs="+", metavar="PHOTO", help="each with any number of faces")
    parser.add_argument("--gallery", default="gallery.npz", metavar="FILE", help="of `enroll` (gallery.npz)")
    parser.add_argument("--top", type=count, default=3, metavar="K", help="candidates that are listed (3)")
    add_recogniser_options(parser)
    add_threshold_options(parser)
    parser.add_argument("--draw", metavar="FOLDER", help="write the photographs with boxes there: green who is known")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON too")


def run(args: Namespace) -> None:
    recogniser = open_recogniser(args)
    from ..detect.photographs import check_apart
    from ..recognition.gallery import Gallery
    from ..recognition.identification import identify

    gallery = Gallery.read(args.gallery)
    gallery.require(recogniser.digest, args.gallery)
    threshold = open_threshold(args, recogniser)
    print(describe_threshold(threshold))
    results: dict[str, list] = {}
    left_out: list[str] = []
    drawn = _drawn_names(args.photographs)
    if args.draw:
        check_apart(args.photographs, [Path(args.draw) / name for name in drawn.values()])

    def look(path):
        image = recogniser.read(path)
        return image, [recogniser.aligned(image, path)] if args.aligned else recogniser.faces(image, path)

    for path, (image, faces) in usable(args.photographs, look, left_out):
        found = identify(gallery, faces, threshold[1] if threshold else None, args.top)
        results[path] = [one.to_json() for one in found]
        print(f"{path}: {len(faces)} face{'s' * (len(faces) != 1)}")
        for number, one in enumerate(found, 1):
            left, top, right, bottom = one.face.box
            who = "" if threshold is None else f" {one.person or 'unknown'};"
            best = ", ".join(f"{c.person} {angle:.1f}° ({c.photo})" for c, angle in zip(one.candidates, one.angles))
            print(f"  {number} at {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}:{who} nearest {best}")
        if args.draw and not args.aligned:
            from ..detect.crops import draw, save

            known = [i for i, one in enumerate(found) if threshold is None or one.person]
            save(draw(image, faces, known), args.draw, drawn[path])
    if args.json:
        write_json(args.json, results)
    refuse_left_out(left_out, len(args.photographs))


def _drawn_names(paths):
    """{photograph: name of its picture}: photographs of one name in several folders get a number."""
    names, seen = {}, Counter()
    for path in dict.fromkeys(paths):
        stem = Path(path).stem
        seen[stem] += 1
        while (name := f"{stem}_{seen[stem]}" if seen[stem] > 1 else stem) in names.values():
            seen[stem] += 1
        names[path] = name
    return {path: f"{name}.jpg" for path, name in names.items()}

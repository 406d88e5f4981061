"""`arcface-gluon inspect SET`: what a training or verification set holds, and what is wrong with it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..files import write_json
from .options import add_first_label_option

EXAMPLE = "arcface-gluon inspect datasets/mine --sheet mine.jpg"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("set", help="folder with train.rec, a .rec, or a verification set (.bin)")
    parser.add_argument("--sheet", type=Path, metavar="FILE.jpg", help="draw some of its pictures there")
    parser.add_argument("--json", metavar="FILE", help="write the facts as JSON")
    add_first_label_option(parser)


def run(args: Namespace) -> None:
    from ..data.records import inspection

    if args.set.endswith(".bin"):
        facts = inspection.inspect_pairs(args.set)
        rows = inspection.sheet_of_pairs(args.set) if args.sheet else []
        print(
            f"{args.set}: {facts['pairs']:,} pairs, {facts['genuine']:,} of them genuine, of {facts['images']:,} "
            "different images"
        )
        if facts["uneven_folds"]:
            print(f"folds without as many genuine as other pairs: {', '.join(map(str, facts['uneven_folds']))}")
    else:
        from ..data import FaceRecords

        records = FaceRecords(args.set, args.first_label)
        facts = inspection.inspect_records(records)
        rows = inspection.sheet_of_records(records) if args.sheet else []
        _tell_records(args.set, facts)
    for name in ("sizes", "encodings"):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in facts[name].items())
        print(f"{name} (of {facts['looked_at']:,} images): {kinds}")
    for fault in facts["faults"]:
        print(f"fault: {fault}")
    if not facts["faults"]:
        print("nothing is wrong with it")
    if args.sheet:
        inspection.write_sheet(args.sheet, rows)
        print(f"pictures: {args.sheet}")
    if args.json:
        write_json(args.json, facts)


def _tell_records(path, facts):
    height, width = facts["size"]
    print(f"{path}: {facts['images']:,} images, {facts['identities']:,} identities, {height}x{width} by property")
    spread = facts["images_per_identity"]
    if not spread:
        return
    print(
        f"images an identity: {spread['smallest']:,} to {spread['largest']:,}, median {spread['median']:g}, mean "
        f"{spread['mean']:.1f}; {facts['with_images']:,} identities have images, {facts['named']:,} have names"
    )
    for kind, count in spread["identities"].items():
        print(f"  {kind:>11} images: {count:,} identities")

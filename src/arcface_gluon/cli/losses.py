"""`arcface-gluon losses`: the losses with equation and source, or all that one of them sets."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import recipe
from ..errors import UserError, did_you_mean

EXAMPLE = "arcface-gluon losses"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="show what this loss sets in a recipe instead")


def run(args: Namespace) -> None:
    known = recipe.losses()
    if args.name:
        if args.name not in known:
            raise UserError(f"unknown loss {args.name!r}{did_you_mean(args.name, known)}")
        for key, value in known[args.name]["sets"].items():
            print(f"{key} = {value!r}")
        return
    lines = [("name", "equation (target logit, or terms)", "row of Table 2", "source")]
    lines += [
        (name, entry["equation"], entry["paper"].get("row", ""), entry["source"]) for name, entry in known.items()
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for *cells, source in lines:
        print("  ".join([*(f"{cell:{width}}" for cell, width in zip(cells, widths)), source]).rstrip())

"""Which data sets of the paper's Table 1 are here: present, incomplete (and what is missing) or absent.

    arcface-gluon data check [FOLDER] [--set NAME …] [--json FILE]

FOLDER (datasets by default) has a folder for each training set and benchmark, laid out as `--set NAME` tells; .bin
files are found beside training records too. Lists, indices and headers are read; of long lists a thousand files are
looked for. Demo sets do not count. `--set NAME` tells what a set is, its terms, where it is asked for, and its layout.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data.catalogue.present import ABSENT, Presence, check
from arcface_gluon.data.catalogue.table1 import TABLE1, sets_called
from arcface_gluon.errors import UserError
from arcface_gluon.files import write_json

EXAMPLE = "arcface-gluon data check datasets --set LFW --set IJB-C"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data check", __doc__, EXAMPLE)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("datasets"), help="of data sets (datasets)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME", help="only this one, with all that is known"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the states as JSON")
    args = parser.parse_args(arguments)
    return run_safely(lambda: tell(args))


def tell(args: argparse.Namespace) -> None:
    chosen = [one for name in args.set for one in sets_called(name)] or TABLE1
    if not args.folder.is_dir() and not args.set:  # what is known of a set can be told all the same
        raise UserError(f"there is no folder {args.folder}; name the one that holds the data sets")
    states = []
    for one in chosen:
        states.append(check(one, args.folder))
        print(*lines_of(states[-1], bool(args.set)), sep="\n")
    counts = [f"{sum(one.state == state for one in states)} {state}" for state in ("present", "incomplete", "absent")]
    print(f"{args.folder}: {', '.join(counts)}")
    if args.json:
        write_json(args.json, {one.data_set.title: facts_of(one) for one in states})


def lines_of(presence: Presence, whole: bool = False) -> list[str]:
    one = presence.data_set
    lines = [f"{presence.state:11} {one.title:16} {presence.place or ''}{': ' * bool(presence.found)}{presence.found}"]
    lines += [f"{'':28} missing: {text}" for text in presence.missing]
    if presence.state == ABSENT:
        lines[0] = f"{lines[0].rstrip():28} {one.layout}"
    if whole:
        sizes = f"{one.identities} identities, {one.images}{'' if 'videos' in one.images else ' images'}"
        lines += [f"{'':28} {text}" for text in (one.what, sizes, f"terms: {one.terms}", f"asked for at: {one.source}")]
        lines.append(f"{'':28} layout: {one.layout}")
    return lines


def facts_of(presence: Presence) -> dict:
    place = presence.place and str(presence.place)
    return {"state": presence.state, "place": place, "found": presence.found, "missing": presence.missing}

"""`arcface-gluon tables`: the paper's Table 1 with the data that are here, 2 to 9 with what is measured under runs/."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

EXAMPLE = "arcface-gluon tables --runs runs"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="folder of runs (default runs)"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("datasets"), metavar="FOLDER", help="folder of data sets (default datasets)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="of tables.html and tables.md (default: that of --runs)"
    )


def run(args: Namespace) -> None:
    from ..report.tables import describe_gap, write_tables

    coverage = write_tables(args.runs, args.out, args.data)
    print(coverage.verdict)
    for problem in coverage.problems:
        print(f"not used: {problem}")
    if coverage.gaps:
        print(f"{coverage.missing} are missing:")
    for gap in coverage.gaps:
        title, count, command, data = describe_gap(gap)
        print(f"  {title} ({count} blank)\n    {command}\n    needs: {data}")
    print(f"tables: {(args.out or args.runs) / 'tables.html'} and .md")

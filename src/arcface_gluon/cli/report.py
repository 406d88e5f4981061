"""`arcface-gluon report RUN`: write runs/<name>/report.html again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

EXAMPLE = "arcface-gluon report runs/orl"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="a run's folder, such as runs/orl")


def run(args: Namespace) -> None:
    from ..report.run_report import write_report

    print(write_report(args.run))

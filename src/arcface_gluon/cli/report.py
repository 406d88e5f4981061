"""`arcface-gluon report RUN`: write runs/<name>/report.html again."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = "arcface-gluon report runs/orl"


def add_arguments(parser):
    parser.add_argument("run", type=Path, help="a run's folder, such as runs/orl")


def run(args):
    from ..report.run_report import write_report

    print(write_report(args.run))

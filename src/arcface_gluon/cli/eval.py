"""`arcface-gluon eval NAME`: the evaluations, one a file of eval/."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from . import modules

EXAMPLE = "arcface-gluon eval megaface --recipe ms1mv2_r100 --data /data/megaface"

FOLDER = "eval"


def add_arguments(parser: ArgumentParser) -> None:
    modules.add_arguments(parser, FOLDER)


def run(args: Namespace) -> int:
    return modules.run(args, FOLDER)

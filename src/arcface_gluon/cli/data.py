"""`arcface-gluon data NAME`: the data sets, one a file of datasets/."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from . import modules

EXAMPLE = "arcface-gluon data lfw --list pairs.txt --images lfw_aligned --out datasets/casia"

FOLDER = "datasets"


def add_arguments(parser: ArgumentParser) -> None:
    modules.add_arguments(parser, FOLDER)


def run(args: Namespace) -> int:
    return modules.run(args, FOLDER)

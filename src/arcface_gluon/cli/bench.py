"""`arcface-gluon bench [NAME …]`: the benchmarks of benchmarks/, each beside its floor."""

from __future__ import annotations

import argparse
import importlib

from .modules import list_modules, modules

EXAMPLE = "arcface-gluon bench head verification"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    list_modules(parser, "benchmarks")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="one of the commands below with its options; or what `run` takes, the names of benchmarks (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    first, *rest = args.arguments or [""]
    if first in modules("benchmarks"):  # one with options of its own, such as million
        return importlib.import_module(f"arcface_gluon.benchmarks.{first.replace('-', '_')}").main(rest)
    return importlib.import_module("arcface_gluon.benchmarks.run").main(args.arguments)

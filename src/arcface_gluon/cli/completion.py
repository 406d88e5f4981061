"""`arcface-gluon completion SHELL`: what a shell needs to complete commands and options."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

EXAMPLE = "arcface-gluon completion bash > ~/.local/share/bash-completion/completions/arcface-gluon"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the script is written to standard output")


def run(args: Namespace) -> None:
    import shtab

    from . import COMMANDS, build_parser

    print(shtab.complete(build_parser(COMMANDS), args.shell))

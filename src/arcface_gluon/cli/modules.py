"""What `eval NAME`, `data NAME` and `bench` share: modules of eval/, datasets/ and benchmarks/ as commands.

The modules import this package's layers; the command line finds them by name only, so that a new evaluation or data set
is a new file and nothing else. Each has a docstring, whose first line is listed, and `main(arguments) -> exit status`.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Callable

from ..errors import UserError, did_you_mean


def command_of(folder: str) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]:
    """(add_arguments, run) of the command that runs the modules of a folder."""
    return lambda parser: add_arguments(parser, folder), lambda args: run(args, folder)


def add_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """The name of a module of `folder`, and whatever that module takes."""
    list_modules(parser, folder)
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="one of those below, or a file.py of your own; without it they are listed",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="what that one takes")


def list_modules(parser: argparse.ArgumentParser, folder: str) -> None:
    """Let the help of a command end with the modules of `folder`, a line each."""
    lines = "\n".join(f"  {name:14} {line}" for name, line in modules(folder).items())
    # Not at the beginning of the epilog, where argparse would take the first line's indentation away.
    parser.epilog = f"commands:\n{lines}\n\n`{parser.prog} NAME --help` tells the options of one."


def command_parser(command: str, document: str | None, example: str) -> argparse.ArgumentParser:
    """The parser of a module's own command, whose help ends with an example, as that of every command does.

    Args:
        command: as it is called, such as "eval megaface".
        document: the module's docstring, whose first line says what it does.
        example: a whole command line.
    """
    return argparse.ArgumentParser(
        prog=f"arcface-gluon {command}",
        description=(document or "").split("\n")[0],
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(args: argparse.Namespace, folder: str) -> int:
    """Run one module's command; gives its exit status.

    Raises:
        UserError: there is no such module.
    """
    if args.name and args.name.endswith(".py"):
        main = getattr(own_module(Path(args.name)), "main", None)
        if main is None:
            raise UserError(f"{args.name} has no function main(arguments), which gives the exit status")
        return main(args.arguments)
    known = modules(folder)
    if args.name is None:
        for name, line in known.items():
            print(f"{name:14} {line}")
        return 0
    if args.name not in known:
        raise UserError(f"no `{args.command} {args.name}`{did_you_mean(args.name, known)}")
    module = importlib.import_module(f"arcface_gluon.{folder}.{args.name.replace('-', '_')}")
    return module.main(args.arguments)


def own_module(path: Path) -> ModuleType:
    """A module of the user's own, by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules(folder: str) -> dict[str, str]:
    """{name: first line of the docstring} of the modules that are commands, sorted by name."""
    found = {}
    for path in sorted(place(folder).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem.replace("_", "-")] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def place(folder: str) -> Path:
    """Where a package beside the layers lies: in a checkout its top-level folder, else inside the installed package."""
    spec = importlib.util.find_spec(f"arcface_gluon.{folder}")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the folder {folder}/ is not part of this installation; install arcface-gluon again")
    return Path(spec.submodule_search_locations[0])

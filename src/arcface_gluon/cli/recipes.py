"""`arcface-gluon recipes`: the recipes with a line each."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import recipe

EXAMPLE = "arcface-gluon recipes casia_r50"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="show all values of this recipe, with meaning and range")


def run(args: Namespace) -> None:
    if args.name:
        values, options = recipe.flatten(recipe.resolve(args.name)), recipe.options()
        lines = {key: f"{key} = {value!r}" for key, value in values.items()}
        width = max(len(line) for line in lines.values() if len(line) < 50)
        for key, line in lines.items():
            print(f"{line:{width}}  # {options[key].describe()}".rstrip(" #"))
        return
    names = recipe.names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {recipe.summary(name)}")

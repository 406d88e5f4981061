"""`arcface-gluon recipes`: the recipes with a line each."""

from __future__ import annotations

from .. import recipe

EXAMPLE = "arcface-gluon recipes casia_r50"


def add_arguments(parser):
    parser.add_argument("name", nargs="?", help="show all values of this recipe instead")


def run(args):
    if args.name:
        for key, value in recipe.flatten(recipe.resolve(args.name)).items():
            print(f"{key} = {value!r}")
        return
    names = recipe.names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {recipe.summary(name)}")

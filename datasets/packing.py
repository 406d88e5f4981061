"""What the scripts of the verification sets share: their options, and what they say."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Mapping, Sequence

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data.verification.packing import pack
from arcface_gluon.data.verification.pair_lists import differences

if TYPE_CHECKING:
    from arcface_gluon.data.verification.pair_lists import Pair


def command_line(
    name: str,
    text: str,
    readers: Mapping[str, Callable[[str | os.PathLike[str]], list[Pair]]],
    list_help: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read a pair list, pack its images, and say what differs from the whole set; gives the exit status.

    Args:
        name: the script's.
        text: its docstring; its first line describes the command.
        readers: {set's name: function from the list's path to pairs}; each becomes <name>.bin.
        list_help: what --list is.
    """
    parser = command_parser(f"data {name}", text, example=text.splitlines()[2].strip())
    parser.add_argument("--list", required=True, type=Path, help=list_help)
    parser.add_argument("--images", required=True, type=Path, help="folder of the aligned 112x112 images")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the .bin (default: this one)")
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out pairs of missing images and list those beside the .bin"
    )
    args = parser.parse_args(arguments)
    return run_safely(lambda: pack_all(readers, args))


def pack_all(readers: Mapping[str, Callable[[str | os.PathLike[str]], list[Pair]]], args: argparse.Namespace) -> None:
    for name, read in readers.items():
        path = args.out / f"{name}.bin"
        packed = pack(read(args.list), args.images, path, args.skip_missing)
        print(f"{path}: {len(packed.pairs):,} pairs, {sum(pair.same for pair in packed.pairs):,} of them genuine")
        for line in differences(name, packed.pairs):
            print(f"  {line}")
        if packed.missing:
            print(f"  {len(packed.missing):,} images are missing or damaged: {path}.missing.txt")
        if packed.unaligned:
            print(
                f"  {len(packed.unaligned):,} images are not 112x112, such as {packed.unaligned[0]}: they would be "
                "scaled as a whole; align them first"
            )

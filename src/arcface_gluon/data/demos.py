"""Telling demo sets from the benchmarks whose layout they have: what is measured on them says nothing about a model."""

from __future__ import annotations

import os
from pathlib import Path

from ..files import atomic_write

_MARK = "DEMO.txt"
_PREFIX = "demo_"


def mark_demo(folder: str | os.PathLike[str]) -> None:
    """Write DEMO.txt into the folder of a demo set, last or first: all below it is known as a demo then."""
    with atomic_write(Path(folder) / _MARK, "w") as file:
        file.write("A small set in the layout of a benchmark, to try an evaluation with. Its results are kept apart.\n")


def is_demo(path: str | os.PathLike[str]) -> bool:
    """Whether this is the word `demo`, or a file or folder up to two levels below one that `mark_demo` marked (or just
    above one, as the folder of IJB's two benchmarks).
    """
    if str(path) == "demo":
        return True
    path = Path(path).resolve()
    return any((folder / _MARK).is_file() for folder in (path, *list(path.parents)[:2], path / "IJBB", path / "IJBC"))


def set_name(path: str | os.PathLike[str]) -> str:
    """What a .bin is called: as its file, with `demo_` before it where it is a demo set."""
    path = Path(path)
    return demo_name(path.stem) if is_demo(path) else path.stem


def demo_name(name: str) -> str:
    """What a demo verification set is called, so that it is not taken for the set whose layout it has."""
    return name if is_demo_name(name) else _PREFIX + name


def is_demo_name(name: str) -> bool:
    """Whether a verification set is called as demos are."""
    return name.startswith(_PREFIX)

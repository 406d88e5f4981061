"""names.tsv, beside records or a list of images: what the identities are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Mapping

from ...errors import UserError
from ...files import read_lines

NAMES = "names.tsv"


def read_names(path: str | os.PathLike[str], identities: int) -> dict[int, str]:
    """{label: name} of a names.tsv, lines `label <tab> name`; empty where there is none.

    Raises:
        UserError: a line is another, or its label is none of so many identities.
    """
    names: dict[int, str] = {}
    if not Path(path).is_file():
        return names
    for number, line in read_lines(path):
        label, tab, name = line.partition("\t")
        if not tab or not label.isdecimal() or int(label) >= identities:
            raise UserError(f"{path} line {number}: expected `label <tab> name` of an identity, found {line!r}")
        names[int(label)] = name
    return names


def name_lines(names: Mapping[int, str]) -> list[str]:
    """The lines of names.tsv for {label: name}."""
    return [f"{label}\t{name}" for label, name in sorted(names.items())]

"""Telling whether a data set was prepared already, whole and in the wanted way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable

from ..errors import UserError
from ..files import read_json, sha256, write_json

NAME = "prepared.json"


def begin(folder: str | os.PathLike[str], facts: Any) -> None:
    """Write prepared.json before a set, without checksums: what is in the folder from now on may be replaced.

    Raises:
        UserError: the folder has files, and no set was begun there; or it cannot be written to.
    """
    folder = Path(folder)
    if not (folder / NAME).exists() and folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
        raise UserError(f"{folder} has files that no set was prepared of; choose another folder, or empty it")
    write_json(folder / NAME, {"facts": facts})


def mark_prepared(folder: str | os.PathLike[str], files: Iterable[str], facts: Any) -> None:
    """Write prepared.json, last of all: `facts` (JSON-able: how the set was made) and the checksums of `files`."""
    folder = Path(folder)
    write_json(folder / NAME, {"facts": facts, "sha256": {name: sha256(folder / name) for name in files}})


def is_prepared(folder: str | os.PathLike[str], facts: Any) -> bool:
    """Whether `folder` holds a set that was marked with equal `facts`, and all its files are as they were then."""
    folder = Path(folder)
    try:
        content = read_json(folder / NAME)
        checksums = content["sha256"]
        return content["facts"] == facts and all(sha256(folder / name) == value for name, value in checksums.items())
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return False

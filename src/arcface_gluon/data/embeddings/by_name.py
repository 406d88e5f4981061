"""Features of a list of images that were extracted before: rows of a .npy with an index, or a file an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ...errors import UserError
from .devkit_files import Features, read_features, read_matrix, read_npy
from .embedding_file import read_embeddings


def find_features(
    source: str | os.PathLike[str], names: Sequence[Any], ending: str | None = None, skip_missing: bool = False
) -> Features:
    """The features of the images `names`, in their order.

    Args:
        source: a .npy with the index that `arcface-gluon embed` writes, or with one row a name and no index; a .bin
            matrix with one row a name, as the Trillion-Pairs server took it; or a folder with a file <name><ending>
            for each image, as the MegaFace devkit has them.
        ending: what the devkit appends to an image's path, such as `_r100.bin`; for a folder.
        skip_missing: leave out images without features and report them.

    Returns:
        `Features`; vectors are a read-only memory map where the .npy has just these rows.

    Raises:
        UserError: features are missing, damaged, of different sizes, or an index names an image twice.
    """
    source = Path(source)
    if source.is_dir():
        if not ending:
            raise UserError(f"{source} is a folder of feature files: say what their names end in, such as _r100.bin")
        try:
            return read_features([source / f"{name}{ending}" for name in names], skip_missing)
        except UserError as error:
            hint = "" if skip_missing or "cannot read" not in str(error) else "; --skip-missing leaves it out"
            raise UserError(f"{error}{hint}") from error
    if source.suffix == ".bin":
        matrix = read_matrix(source)
        if len(matrix) != len(names):
            raise UserError(f"{source} has {len(matrix):,} rows, but the list names {len(names):,} images")
        return Features(matrix, np.arange(len(names)), [])
    if source.suffix != ".npy":
        raise UserError(
            f"{source} is no folder and no .npy or .bin of features; extract them with `arcface-gluon embed`"
        )
    if not source.with_suffix(".txt").exists():
        return Features(read_npy(source, len(names)), np.arange(len(names)), [])
    return _rows(source, names, skip_missing)


def _rows(source, names, skip_missing):
    found = read_embeddings(source)
    row = rows_by_name(found.names, source)
    missing = [name for name in names if name not in row]
    if missing and (not skip_missing or len(missing) == len(names)):
        raise UserError(
            f"{source} has no feature of {len(missing):,} of {len(names):,} images, the first is {missing[0]}; "
            "extract them, or leave them out with --skip-missing"
        )
    kept = np.array([place for place, name in enumerate(names) if name in row], np.int64)
    rows = np.array([row[names[place]] for place in kept], np.int64)
    whole = len(rows) == len(found.vectors) and (rows == np.arange(len(rows))).all()
    return Features(found.vectors if whole else found.vectors[rows], kept, missing)


def rows_by_name(names: Sequence[str], source: Path) -> dict:
    """{name: row} of the index of `source`, a .npy.

    Raises:
        UserError: a name is there twice.
    """
    row = {name: number for number, name in enumerate(names)}
    if len(row) != len(names):
        twice = next(name for number, name in enumerate(names) if row[name] != number)
        raise UserError(f"{source.with_suffix('.txt')} names {twice} twice; which row is its feature? Remove one")
    return row

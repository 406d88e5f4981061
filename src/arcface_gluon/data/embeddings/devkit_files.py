"""Feature files: one vector or one matrix behind the header that the MegaFace devkit reads, and .npy arrays.

Header: four little-endian int32: rows, columns, bytes of a row (columns x 4), 5 (OpenCV's CV_32FC1); then the float32
values. The devkit stores a vector as d rows of one column; the Trillion-Pairs and iQIYI servers take one matrix.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ...arrays import load_npy
from ...errors import UserError
from ...files import atomic_write
from ...progress import progress

_HEADER = struct.Struct("<iiii")
_CV_32FC1 = 5


def write_feature(path: str | os.PathLike[str], vector: np.ndarray) -> None:
    """Write one vector (d,) as the devkit reads it."""
    write_matrix(path, np.reshape(vector, (-1, 1)))


def write_matrix(path: str | os.PathLike[str], matrix: np.ndarray) -> None:
    """Write a matrix (rows, columns) as one file."""
    rows, columns = np.shape(matrix)
    with atomic_write(path) as file:
        file.write(_HEADER.pack(rows, columns, columns * 4, _CV_32FC1))
        for start in range(0, rows, 1 << 16):
            file.write(np.ascontiguousarray(matrix[start : start + (1 << 16)], "<f4").data)


def read_feature(path: str | os.PathLike[str]) -> np.ndarray:
    """One vector (d,) float32.

    Raises:
        UserError: the file is missing, truncated, not of this format, or a matrix.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    rows, columns = _shape(path, content[: _HEADER.size], len(content))
    if rows != 1 and columns != 1:
        raise UserError(f"{path} holds a matrix of {rows} x {columns} values; one vector a file is wanted here")
    return np.frombuffer(content, "<f4", offset=_HEADER.size)


def read_matrix(path: str | os.PathLike[str]) -> np.ndarray:
    """A matrix (rows, columns) float32, as a read-only memory map.

    Raises:
        UserError: the file is missing, truncated or not of this format.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    return np.memmap(path, "<f4", "r", _HEADER.size, _shape(path, header, size))


def read_npy(path: str | os.PathLike[str], rows: int | None = None) -> np.ndarray:
    """A float32 or float64 matrix (rows, d) from a .npy file, as a read-only memory map.

    Raises:
        UserError: the file is missing, damaged, no matrix of numbers, or has not `rows` rows.
    """
    array = load_npy(path, "extract the features again")
    if array.ndim != 2 or array.dtype.kind != "f":
        raise UserError(f"{path} must hold one matrix of floating-point features, one row an image")
    if rows is not None and len(array) != rows:
        raise UserError(f"{path} has {len(array)} rows, but the list names {rows} images; extract the features again")
    return array


@dataclass
class Features:
    """vectors: (n, d) float32. kept: (n,) positions in the list asked for. missing: paths that were not there."""

    vectors: np.ndarray
    kept: np.ndarray
    missing: list


def read_features(paths: Sequence[str | os.PathLike[str]], skip_missing: bool = False) -> Features:
    """Read one feature file after the other into one array.

    Args:
        skip_missing: leave out files that do not exist and report them; a damaged file is refused all the same.

    Raises:
        UserError: a file is missing or damaged, or has another number of values than the first; it is named.
    """
    vectors, kept, missing = None, [], []
    for position, path in enumerate(progress(paths, unit="file", desc="features")):
        if skip_missing and not os.path.exists(path):
            missing.append(str(path))
            continue
        vector = read_feature(path)
        if vectors is None:
            vectors = np.empty((len(paths), len(vector)), np.float32)
        if len(vector) != vectors.shape[1]:
            raise UserError(
                f"{path} has {len(vector)} values, the files before it {vectors.shape[1]}; use one model for all"
            )
        vectors[len(kept)] = vector
        kept.append(position)
    if vectors is None:
        raise UserError(f"none of the {len(paths)} feature files is there; the first would be {next(iter(paths), '?')}")
    return Features(vectors[: len(kept)], np.array(kept, np.int64), missing)


def _shape(path, header, size):
    if len(header) < _HEADER.size:
        raise UserError(f"{path} is cut short: no header of {_HEADER.size} bytes; extract it again")
    found = _HEADER.unpack(header)
    rows, columns, _, kind = found
    if kind != _CV_32FC1 or rows < 1 or columns < 1:
        raise UserError(f"{path} is not a feature file: its header is {found}, expected rows, columns, bytes, 5")
    wanted = _HEADER.size + 4 * rows * columns
    if size != wanted:
        state = "cut short" if size < wanted else "too long"
        raise UserError(f"{path} is {state}: {size} bytes, {rows} x {columns} values take {wanted}; extract it again")
    return rows, columns


def _unreadable(path, error):
    return UserError(f"cannot read {path}: {error.strerror or error}; check the path or extract the features again")

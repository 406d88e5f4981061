"""Verification sets: the .bin files of encoded image pairs (lfw.bin, cfp_fp.bin, agedb_30.bin, ...).

Such a file is a pickle of (images, issame): 2n encoded images, images 2i and 2i+1 being pair i, and n truth values.
`bin_pickle` reads it without trusting it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from typing import Any, Iterable, Sequence

import numpy as np

from ...errors import UserError
from ...files import atomic_write
from ...progress import write_line
from ..images.decode import is_image
from ..images.encoded import encoded_bytes
from ..records.recordio import MAGIC
from .bin_pickle import Array, Refused, load_pickle

# One encoded face is some KB; one of more than this is a decompression trap or not an image at all.
MAX_IMAGE_BYTES = 1 << 26

# First bytes of files that are whole, but no pickle.
_OTHER_FILES = (
    (struct.pack("<I", MAGIC), "a file of training records (train.rec)"),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"PK\3\4", "an archive (.zip, .npz)"),
    (b"\x1f\x8b", "an archive (.gz)"),
)


def read_bin(path: str | os.PathLike[str]) -> tuple[list[bytes], list[bool]]:
    """Read a verification set.

    Returns:
        (images, issame): a list of 2n encoded images (bytes), images 2i and 2i+1 being pair i; a list of n bool, True
        for pairs of one person. An image that the file stores once and uses in several pairs is one bytes object.

    Raises:
        UserError: the file cannot be read, is not such a set, is damaged, or is a pickle that asks for anything else
            than such a set needs (nothing of it is run).
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            _refuse_other_files(path, view[:16])
            content = load_pickle(view)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Refused as error:
        raise UserError(
            f"{path} is refused: it asks for {error}, which no verification set needs; do not trust it"
        ) from error
    except Exception as error:  # whatever a damaged pickle leads to: KeyError, EOFError, UnicodeDecodeError, ...
        raise _not_a_set(path, f"damaged or another format, {type(error).__name__}") from error
    return _checked(path, content)


def _refuse_other_files(path, start):
    """Tell a whole file of another kind from a damaged set, by its first bytes."""
    kind = next(
        (kind for first, kind in _OTHER_FILES if start.startswith(first)), "an image" if is_image(start) else None
    )
    if kind is not None:
        raise UserError(f"{path} is {kind}, not a verification set (.bin: encoded images in pairs, and truth values)")


def _not_a_set(path, reason):
    return UserError(f"{path} is not a verification set ({' '.join(reason.split())}); fetch or write it again")


def _checked(path, content):
    if not (isinstance(content, (tuple, list)) and len(content) == 2):
        raise _not_a_set(path, "it does not hold images and truth values")
    images, issame = content
    issame = issame.value if isinstance(issame, Array) else issame
    if isinstance(issame, (list, tuple)):  # an array a pair, of one truth value
        issame = [v.value[0] if isinstance(v, Array) and v.is_single else v for v in issame]
    if not (isinstance(images, (list, tuple)) and isinstance(issame, (list, tuple, bytes))):
        raise _not_a_set(path, "it does not hold a list of images and a list of truth values")
    if not issame or len(images) != 2 * len(issame):
        raise _not_a_set(path, f"{len(images)} images for {len(issame)} pairs")
    first = {}
    for index, item in enumerate(images):
        first.setdefault(id(item), index)
    distinct = {key: _image_bytes(path, index, images[index]) for key, index in first.items()}
    try:
        return [distinct[id(item)] for item in images], truth_values(issame, path)
    except ValueError as error:
        raise _not_a_set(path, str(error)) from error


def _image_bytes(path, index, item):
    if isinstance(item, Array):
        if sum(length > 1 for length in item.shape) > 1:
            raise _not_a_set(path, f"item {index} is an array of pixels; images must be encoded, as JPEG or PNG")
        item = item.value
    if not isinstance(item, bytes) or not 0 < len(item) <= MAX_IMAGE_BYTES:
        raise _not_a_set(path, f"item {index} is not an encoded image")
    return item


def truth_values(values: Iterable[Any], path: str | os.PathLike[str]) -> list[bool]:
    """Truth values of pairs, of one person or not, as people write them.

    Args:
        values: True and False, 1 and 0 in any type of numbers, or 1 and -1, where -1 is taken for two people, with a
            line that says so.
        path: the set, for that line.

    Raises:
        ValueError: a value is none of these, or there are both 0 and -1; the first pair is named.
    """
    numbers = [value.item() if isinstance(value, (np.ndarray, np.generic)) else value for value in values]
    for pair, number in enumerate(numbers):
        if not isinstance(number, (int, float)) or number not in (-1, 0, 1):
            kind = "text" if isinstance(number, (str, bytes)) else "another value"
            raise ValueError(f"the truth value of pair {pair} must be true or false, 1 or 0, or 1 or -1, not {kind}")
    if -1 in numbers and 0 in numbers:
        raise ValueError("truth values must not have both 0 and -1: which of the two means two people?")
    if -1 in numbers:
        write_line(f"{path}: truth values are 1 and -1; 1 is taken for one person, -1 for two people")
    return [number == 1 for number in numbers]


def write_bin(path: str | os.PathLike[str], images: Sequence[Any], issame: Sequence[Any] | np.ndarray) -> None:
    """Write a verification set that `read_bin` and the reference code read, atomically.

    Args:
        path: the file, by custom named *.bin.
        images: 2n encoded images, images 2i and 2i+1 being pair i; see `encoded_bytes`. Equal ones are stored once.
        issame: n truth values; see `truth_values`. Where they are 1 and -1, -1 means two people.

    Raises:
        ValueError: an item is no encoded image, a truth value neither true nor false, their numbers do not fit, or
            there are none.
        UserError: the file cannot be written.
    """
    images, issame = list(images), truth_values(issame, path)
    if not issame or len(images) != 2 * len(issame):
        raise ValueError(
            f"{len(images)} images for {len(issame)} pairs: two images a pair are needed, one pair at least"
        )
    once: dict[bytes, bytes] = {}
    distinct = {id(item): encoded_bytes(item, f"image {index}") for index, item in enumerate(images)}
    distinct = {key: once.setdefault(data, data) for key, data in distinct.items()}
    with atomic_write(path) as file:
        # Protocol 3 is the oldest one that stores bytes without naming a function.
        pickle.dump(([distinct[id(item)] for item in images], issame), file, protocol=3)

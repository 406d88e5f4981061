"""All labels of a training set by one pass over the records' headers, kept beside the records for the next time."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ...errors import UserError
from ...files import write_npz
from ...progress import progress
from .recordio import RecordReader

# Label of a record that cannot be read.
DAMAGED = np.float32(-np.inf)
_BLOCK = 1 << 16
# Reading fewer headers takes no longer than a look for a file.
_WORTH_KEEPING = 100_000


class Survey(NamedTuple):
    """What the headers say.

    Attributes:
        labels: (n,) float32, the label of each image as it is stored; DAMAGED where its record cannot be read.
        unlisted: images between or after the records of the index, which does not list them.
        unknown: bytes there that are no records.
    """

    labels: np.ndarray
    unlisted: int
    unknown: int


def survey(
    reader: RecordReader, offsets: np.ndarray, others: np.ndarray, keep_in: str | os.PathLike[str] | None = None
) -> Survey:
    """Read the label of every image, and look for records that the index does not list.

    Args:
        reader: of the .rec file.
        offsets: (n,) int64, of the images.
        others: (m,) int64, of the index's other records (header, identities).
        keep_in: file to keep the result in, or to take it from where it is of the same records and index. It is only
            made for large sets, in a folder that can be written to.

    Raises:
        UserError: the file cannot be read.
    """
    keep_in = keep_in if len(offsets) >= _WORTH_KEEPING else None
    digest = keep_in and _digest(reader, offsets, others)
    found = keep_in and _kept(keep_in, digest, len(offsets))
    if not found:
        found = _read(reader, offsets, others)
        if keep_in:
            _keep(keep_in, digest, found)
    return found


def _read(reader, offsets, others):
    all_offsets = np.concatenate([offsets, others])
    order = np.argsort(all_offsets, kind="stable")
    labels = np.empty(len(all_offsets), np.float32)
    gaps, place = [], 0  # where nothing is listed, and the byte after the records so far
    with progress(total=len(order), desc="reading labels", unit=" images", unit_scale=True, delay=1) as bar:
        for start in range(0, len(order), _BLOCK):
            block = order[start : start + _BLOCK]
            begins = all_offsets[block]
            labels[block], ends = reader.headers(begins)
            before = np.concatenate([[place], ends[:-1]])
            gaps.extend((int(a), int(b)) for a, b in zip(before[begins > before], begins[begins > before]))
            place = int(ends[-1])
            bar.update(len(block))
    if place < reader.size:
        gaps.append((place, reader.size))
    unlisted, unknown = map(sum, zip(*(_look_into(reader, *gap) for gap in gaps))) if gaps else (0, 0)
    return Survey(labels[: len(offsets)], unlisted, unknown)


def _look_into(reader, start, stop):
    """(images, bytes that are no records) of a stretch of the file that the index does not list."""
    images = 0
    while start < stop:
        try:
            end, empty = reader.extent(start)
        except UserError:
            return images, stop - start
        images += not empty
        start = end
    return images, 0


def _digest(reader, offsets, others):
    digest = hashlib.sha256(b"1 ")  # the form of the file
    status = os.stat(reader.path)
    digest.update(f"{status.st_size} {status.st_mtime_ns} {len(offsets)} ".encode())
    for array in (offsets, others):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _kept(path, digest, count):
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["digest"]) != digest:
                return None
            labels, unlisted, unknown = file["labels"], *map(int, file["outside"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None  # not there, or damaged: it is only a copy
    return Survey(labels, unlisted, unknown) if labels.shape == (count,) and labels.dtype == np.float32 else None


def _keep(path, digest, found):
    with suppress(UserError):  # in a folder that others own: read again next time
        write_npz(path, labels=found.labels, outside=[found.unlisted, found.unknown], digest=digest)

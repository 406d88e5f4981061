"""Images of a training set that are better left out: copies, and those far from their identity's centre; as a list."""

from __future__ import annotations

import csv
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple, Sequence

import numpy as np

from ...errors import UserError
from ...files import atomic_write, csv_fields, read_lines
from ...progress import progress
from ...runtime import physical_cores
from ..images.decode import decode_image
from .rewriting import Written, claimed, names_of, write_identities
from .training_set import FaceRecords

COLUMNS = ("key", "label", "name", "reason", "angle", "of", "of_angle")
FAR, COPY, TWO, DAMAGED = "far", "copy", "two identities", "damaged"
_BLOCK = 4096


class Finding(NamedTuple):
    """An image to leave out.

    Attributes:
        row: index of the image in its set.
        reason: "far" from its centre, "copy" of another of its identity, of which the image is that of "two
            identities", "damaged".
        angle: to its identity's centre in degrees, or None.
        of: the key it is a copy of, the other labels it has, or the identity whose centre is nearest.
        of_angle: to that identity's centre in degrees, or None.
    """

    row: int
    reason: str
    angle: float | None = None
    of: str = ""
    of_angle: float | None = None


def find_copies(
    records: FaceRecords, angles: np.ndarray | None = None, stop: Callable[[], object] = lambda: None
) -> list[Finding]:
    """Images with the pixels of another one, and those that cannot be decoded.

    Of copies under one identity all but the first are found. Of those under several, all; but where `angles` tell which
    of the identities is nearest, the image of that one stays.

    Args:
        records: the set.
        angles: (n,) degrees to the own centre, NaN where there is none.
        stop: called now and then; raises to stop.
    """
    labels, digests = records.labels(), np.empty((len(records), 2), np.uint64)
    readable = np.ones(len(records), bool)

    def digest(index):
        try:
            image = decode_image(records.encoded(index))
        except (UserError, ValueError):
            readable[index] = False
            return
        hashed = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        hashed.update(np.ascontiguousarray(image).data)
        digests[index] = np.frombuffer(hashed.digest(), np.uint64)

    bar = progress(total=len(records), desc="looking for copies", unit=" images", delay=1)
    with ThreadPoolExecutor(physical_cores()) as pool, bar:
        for start in range(0, len(records), _BLOCK):
            stop()
            block = range(start, min(start + _BLOCK, len(records)))
            list(pool.map(digest, block))
            bar.update(len(block))
    found = [Finding(int(index), DAMAGED) for index in np.flatnonzero(~readable | (labels < 0))]
    usable = np.flatnonzero(readable & (labels >= 0))
    order = usable[np.lexsort((usable, digests[usable, 1], digests[usable, 0]))]
    changes = np.flatnonzero((digests[order][1:] != digests[order][:-1]).any(axis=1)) + 1
    for group in np.split(order, changes):
        if len(group) > 1:
            found += _among(group, records, labels, angles)
    return found


def _among(group, records, labels, angles):
    """Findings of images with the same pixels, in the order of the set."""
    own, keys = labels[group], records.keys
    here = [None if angles is None or np.isnan(angles[i]) else float(angles[i]) for i in group]
    known = [angle for angle in here if angle is not None]
    several = len(set(own.tolist())) > 1
    kept = own[0]
    if several:
        kept = own[int(np.argmin([np.inf if angle is None else angle for angle in here]))] if known else None
    first = next((int(i) for i, label in zip(group, own) if label == kept), None)
    for i, label, angle in zip(group, own, here):
        if int(i) == first:
            continue
        if label == kept:
            yield Finding(int(i), COPY, angle, str(keys[first]))
        else:
            others = sorted(set(own.tolist()) - {int(label)})
            yield Finding(int(i), TWO, angle, " ".join(str(other + records.first_label) for other in others))


def write_list(path: str | os.PathLike[str], records: FaceRecords, findings: Sequence[Finding]) -> None:
    """Write findings as .csv with the columns `COLUMNS`, an image a line; labels as the records have them."""
    labels, names = records.survey().labels, names_of(records)
    with atomic_write(path, "w") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for one in findings:
            stored = labels[one.row]
            name = names.get(int(stored) - records.first_label, "") if np.isfinite(stored) else ""
            label = f"{stored:g}" if np.isfinite(stored) else ""
            rows.writerow(
                [records.keys[one.row], label, name, one.reason, _text(one.angle), one.of, _text(one.of_angle)]
            )


def read_list(path: str | os.PathLike[str], records: FaceRecords) -> np.ndarray:
    """Indices of the images whose keys are in the first column of a list, (k,) int64.

    Raises:
        UserError: the file cannot be read, or a line begins with no key of the set.
    """
    place = {int(key): index for index, key in enumerate(records.keys)}
    found = []
    for number, line in read_lines(path, "write it with arcface-gluon clean"):
        key = csv_fields(line, path, number)[0]
        if number == 1 and key == COLUMNS[0]:
            continue
        if not key.isdecimal() or int(key) not in place:
            raise UserError(f"{path} line {number}: {key[:40]!r} is no key of an image of {records.path}")
        found.append(place[int(key)])
    return np.array(sorted(set(found)), np.int64)


def write_cleaned(
    records: FaceRecords,
    folder: str | os.PathLike[str],
    dropped: np.ndarray,
    force: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> Written:
    """Write a set without some images; identities that have none left are gone, the others numbered anew.

    Args:
        records: the set.
        folder: where to.
        dropped: (k,) indices of the images to leave out; skipped.txt has their keys.
        force: replace a set that is there.
        stop: as `write_chosen` takes it.

    Raises:
        UserError: as `write_identities`, or the folder is taken.
    """
    gone = np.union1d(np.asarray(dropped, np.int64), np.flatnonzero(records.labels() < 0))
    kept = np.setdiff1d(np.arange(len(records)), gone)
    with claimed(folder, force, [records]):
        return write_identities(records, folder, kept, [str(key) for key in records.keys[gone]], False, stop)


def _text(angle):
    return "" if angle is None or np.isnan(angle) else f"{angle:.2f}"

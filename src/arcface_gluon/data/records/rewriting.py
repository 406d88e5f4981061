"""Training sets of other training sets: chosen images under new labels, copied as they are stored."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from ...errors import UserError
from ...files import only_writer
from ...progress import progress
from ..images.encoded import encoded_bytes
from .name_file import NAMES, name_lines, read_names
from .training_set import LABELS, SKIPPED, FaceRecords, write_training_set

_LEAVE_OUT = "fetch the set again, or leave it out with --skip-missing"


class Written(NamedTuple):
    """What was written: images and identities, and how many damaged records were left out."""

    images: int
    identities: int
    skipped: int

    def describe(self) -> str:
        """The three in words."""
        left = f" ({self.skipped:,} damaged ones left out: skipped.txt)" if self.skipped else ""
        return f"{self.images:,} images of {self.identities:,} identities{left}"


class Chosen(NamedTuple):
    """Images of sets and the labels that they get.

    Attributes:
        sets: the sets.
        places: (n,) whole numbers, the set of each image.
        indices: (n,) whole numbers, the index of each image in its set.
        labels: (n,) whole numbers, new ones.
    """

    sets: Sequence[FaceRecords]
    places: np.ndarray
    indices: np.ndarray
    labels: np.ndarray


@contextmanager
def claimed(folder: str | os.PathLike[str], force: bool = False, sources: Iterable[FaceRecords] = ()) -> Iterator[None]:
    """Within it, this process alone writes a training set into a folder.

    Args:
        folder: made if missing.
        force: a set that is there may be replaced.
        sources: the sets that are read.

    Raises:
        UserError: another process is writing there, a set is there already, or one lies there that is read.
    """
    check_apart(folder, sources)
    with only_writer(folder):
        check_free(folder, force)
        yield


def check_free(folder: str | os.PathLike[str], force: bool = False) -> None:
    """Refuse a folder that holds a training set already, unless it is to be replaced.

    Raises:
        UserError: it does.
    """
    path = Path(folder) / "train.rec"
    if path.exists() and path.with_name("property").exists() and not force:  # without it, what a kill left
        raise UserError(f"{path} is there already; name another folder, or replace it with --force")


def check_apart(folder: str | os.PathLike[str], sources: Iterable[FaceRecords]) -> None:
    """Refuse to write a set where one lies that is read.

    Raises:
        UserError: `folder` is that of a source.
    """
    for records in sources:
        if Path(folder).resolve() == records.path.parent.resolve():
            raise UserError(f"{folder} is the folder of a set that is read; write to another one")


def names_of(records: FaceRecords) -> dict[int, str]:
    """{label: name} of names.tsv beside the records; empty where there is none.

    Raises:
        UserError: a line is not `label <tab> name`, or its label is no identity of the set.
    """
    return read_names(records.path.with_name(NAMES), records.num_identities)


def skipped_line(records: FaceRecords, key: str, sets: int) -> str:
    """A line of skipped.txt: the key of a record, after the folder of its set where there are several."""
    return key if sets == 1 else f"{records.path.parent}\t{key}"


def write_chosen(
    folder: str | os.PathLike[str],
    chosen: Chosen,
    size: tuple[int, int],
    beside: dict[str, list[str]],
    identities: int | None = None,
    plain: bool = False,
    left_out: Sequence[str] = (),
    skip_missing: bool = False,
    stop: Callable[[], object] = lambda: None,
    ready: Callable[[], object] = lambda: None,
) -> Written:
    """Write a training set of images of others, in the order given.

    Args:
        folder: where to; `claimed`.
        chosen: the images.
        size, identities, plain, beside, ready: as `write_training_set` takes them; `beside` gets skipped.txt with the
            keys of records that were left out (and their set, where there are several).
        left_out: the lines of those that were left out before.
        skip_missing: leave damaged records out instead of stopping.
        stop: called for every image; raises to stop. Nothing is left behind then.

    Raises:
        UserError: a record is damaged, no image is left, or the folder cannot be written.
    """
    if not len(chosen.indices):
        raise UserError(f"{folder}: no image is left; nothing was written")
    skipped = list(left_out)

    def images():
        rows = progress(range(len(chosen.indices)), desc=f"writing {Path(folder).name}", unit=" images", delay=1)
        for row in rows:
            stop()
            records, index = chosen.sets[int(chosen.places[row])], int(chosen.indices[row])
            try:
                image = encoded_bytes(records.encoded(index), f"{records.path}: record {records.keys[index]}")
                yield image, int(chosen.labels[row])
            except (UserError, ValueError) as error:
                if not skip_missing:
                    raise UserError(f"{error}; {_LEAVE_OUT}") from error
                skipped.append(skipped_line(records, str(records.keys[index]), len(chosen.sets)))
        if skipped:
            beside[SKIPPED] = skipped

    try:
        count, number = write_training_set(folder, images(), size, identities, plain, beside, ready)
    except ValueError as error:
        raise UserError(f"{folder}: {error}; nothing was written") from error
    return Written(count, number, len(skipped))


class Usable(NamedTuple):
    """The images of a set that have an identity: (n,) indices and (n,) labels, int64; keys of the others."""

    indices: np.ndarray
    labels: np.ndarray
    left_out: list[str]


def usable(records: FaceRecords, skip_missing: bool = False) -> Usable:
    """The images of a set that have an identity.

    Args:
        records: the set.
        skip_missing: whether others may be left out.

    Raises:
        UserError: a record is damaged, or its label is no identity, and it is not to be left out.
    """
    labels = records.labels()
    bad = np.flatnonzero(labels < 0)
    if len(bad) and not skip_missing:
        try:
            records.read(int(bad[0]))
        except UserError as error:
            raise UserError(f"{error}; {_LEAVE_OUT}") from error
    found = np.flatnonzero(labels >= 0)
    return Usable(found, labels[found].astype(np.int64), [str(key) for key in records.keys[bad]])


def write_identities(
    records: FaceRecords,
    folder: str | os.PathLike[str],
    indices: np.ndarray,
    left_out: Sequence[str] = (),
    skip_missing: bool = False,
    stop: Callable[[], object] = lambda: None,
    ready: Callable[[], object] = lambda: None,
) -> Written:
    """Write images of one set, their identities numbered anew without gaps; labels.tsv has `new <tab> old label`.

    Args:
        records: the set.
        folder: where to; `claimed`.
        indices: the images, in the order in which they are written; each has an identity.
        left_out: keys of records that were left out before.
        skip_missing, stop, ready: as `write_chosen` takes them.

    Raises:
        UserError: as `write_chosen`.
    """
    if not len(indices):
        raise UserError(f"nobody of {records.path} is left; nothing was written")
    old = records.labels()[indices]
    kept, labels = np.unique(old, return_inverse=True)
    beside = {LABELS: [f"{number}\t{label + records.first_label}" for number, label in enumerate(kept)]}
    names = names_of(records)
    named = {number: names[int(label)] for number, label in enumerate(kept) if int(label) in names}
    if named:
        beside[NAMES] = name_lines(named)
    chosen = Chosen([records], np.zeros(len(indices), np.int64), indices, labels)
    return write_chosen(folder, chosen, records.image_size, beside, None, False, left_out, skip_missing, stop, ready)

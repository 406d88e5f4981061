"""Names of the people in a training set, and the set without some of them."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Callable, Iterable

import numpy as np

from ...errors import UserError
from ...files import atomic_write, read_lines
from ...progress import progress
from ..images.encoded import encoded_bytes
from .training_set import write_training_set

if TYPE_CHECKING:
    from .training_set import FaceRecords


def normalised(name: str) -> str:
    """A name for comparison: letters and digits only, without accents and case; "Last, First" turned round.

    Spaces go too, since sets write Maria Callas as Maria_Callas and MariaCallas.
    """
    last, comma, first = name.partition(",")
    text = f"{first} {last}" if comma and "," not in first else name
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return "".join(re.findall(r"[^\W_]+", text))


def read_people(path: str | os.PathLike[str]) -> list:
    """Names of the people of a test set: the subfolders of a folder, or a list with one name a line.

    A line may also be the path of an image, of which the folder is the name; what follows a tab does not count.

    Raises:
        UserError: nothing there, or no name in it.
    """
    path = Path(path)
    if path.is_dir():
        names = sorted(item.name for item in path.iterdir() if item.is_dir())
    else:
        lines = (line.split("\t")[0].strip() for _, line in read_lines(path))
        names = [PurePosixPath(line).parent.name or line if "/" in line else line for line in lines]
    if not names:
        raise UserError(f"{path} names nobody; give a list of names, or a folder with a folder for each person")
    return list(dict.fromkeys(names))


def read_identity_names(path: str | os.PathLike[str], identities: int, first_label: int = 0) -> dict:
    """Names of training identities by label.

    Args:
        path: train.lst (the folder of an image is the name), lines `label <tab> name`, a list with the name of label 0,
            1, … on each line, or a folder whose subfolders in sorted order are the labels.
        identities: number of labels in the set.
        first_label: label of the first identity, where lines have labels; it is subtracted.

    Raises:
        UserError: a line that fits none of these, or another number of names.
    """
    path = Path(path)
    if path.is_dir():
        names = dict(enumerate(sorted(item.name for item in path.iterdir() if item.is_dir())))
    else:
        lines = [(number, line.split("\t")) for number, line in read_lines(path)]
        columns = min((len(fields) for _, fields in lines), default=0)
        names = {}
        for number, fields in lines:
            try:
                if columns == 1:
                    names[len(names)] = fields[0].strip()
                elif columns == 2:
                    names[int(fields[0]) - first_label] = fields[1].strip()
                else:
                    names[int(float(fields[2])) - first_label] = PurePosixPath(fields[1]).parent.name
            except ValueError:
                label = fields[0 if columns == 2 else 2]
                raise UserError(f"{path} line {number}: its label {label!r} is no number") from None
    outside = next((label for label in names if not 0 <= label < identities), None)
    if outside is not None or (len(names) != identities):
        found = f"label {outside + first_label}" if outside is not None else f"{len(names):,} names"
        raise UserError(f"{path} has {found}, but the training set has {identities:,} identities; it is another set's")
    return names


def write_without(
    records: FaceRecords,
    folder: str | os.PathLike[str],
    dropped: Iterable[int],
    skip_missing: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> dict:
    """Write a training set without some identities; the others are numbered anew, without gaps, in their order.

    Besides train.rec, train.idx and property there is labels.tsv, `new label <tab> old label`. Images are copied as
    they are stored.

    Args:
        records: FaceRecords.
        folder: where to; must not hold a train.rec yet.
        dropped: labels to leave out.
        skip_missing: leave damaged records out (their keys go into skipped.txt) instead of stopping.
        stop: called for every image; raises to stop. Nothing is left behind then.

    Returns:
        {"images", "identities", "skipped"}: what was written, and records left out as damaged.

    Raises:
        UserError: a record is damaged, nobody is left, the folder is taken or cannot be written.
    """
    folder = Path(folder)
    if (folder / "train.rec").exists() and (folder / "property").exists():  # without it, what a kill left
        raise UserError(f"{folder / 'train.rec'} is there already; name another folder, or delete it")
    labels, skipped = records.labels(), []
    kept = np.setdiff1d(labels[labels >= 0], np.asarray(list(dropped), labels.dtype))
    if not len(kept):
        raise UserError(f"nobody of {records.path} is left; nothing was written")
    new = np.full(records.num_identities, -1, np.int64)
    new[kept] = np.arange(len(kept))
    order = np.argsort(labels, kind="stable")
    order = order[(labels[order] < 0) | (new[labels[order]] >= 0)]

    def images():
        for index in progress(order, desc=f"writing {folder.name}", unit=" images", delay=1):
            stop()
            try:
                image, label = records.read(int(index))
                image = encoded_bytes(image, f"{records.path}: record {records.keys[index]}")
            except (UserError, ValueError) as error:
                if not skip_missing:
                    raise UserError(f"{error}; fetch the set again, or leave it out with --skip-missing") from error
                skipped.append(int(records.keys[index]))
                continue
            yield image, int(new[label])
        # Before the set gets its names: once it is there, nothing is missing, whenever this is killed.
        with atomic_write(folder / "labels.tsv", "w") as file:
            file.writelines(f"{position}\t{label + records.first_label}\n" for position, label in enumerate(kept))
        if skipped:
            with atomic_write(folder / "skipped.txt", "w") as file:
                file.writelines(f"{key}\n" for key in skipped)

    count, identities = write_training_set(folder, images(), records.image_size)
    return {"images": count, "identities": identities, "skipped": len(skipped)}

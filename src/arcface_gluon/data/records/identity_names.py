"""Names of the people in a training set, and the set without some of them."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Callable, Iterable

import numpy as np

from ...errors import UserError
from ...files import read_lines
from .rewriting import claimed, usable, write_identities

if TYPE_CHECKING:
    from .rewriting import Written
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
    force: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> Written:
    """Write a training set without some identities; the others are numbered anew, without gaps, in their order.

    Besides train.rec, train.idx and property there is labels.tsv, `new label <tab> old label`. Images are copied as
    they are stored.

    Args:
        records: FaceRecords.
        folder: where to.
        dropped: labels to leave out.
        skip_missing: leave damaged records out (their keys go into skipped.txt) instead of stopping.
        force: replace a set that is there.
        stop: called for every image; raises to stop. Nothing is left behind then.

    Raises:
        UserError: a record is damaged, nobody is left, the folder is taken or cannot be written.
    """
    found = usable(records, skip_missing)
    order = np.argsort(found.labels, kind="stable")
    order = order[~np.isin(found.labels[order], np.asarray(list(dropped), np.int64))]
    with claimed(folder, force, [records]):
        return write_identities(records, folder, found.indices[order], found.left_out, skip_missing, stop)

"""Training sets merged, split by identity, and shuffled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import numpy as np

from ...errors import UserError
from .name_file import NAMES, name_lines
from .rewriting import (
    Chosen,
    Written,
    claimed,
    names_of,
    skipped_line,
    usable,
    write_chosen,
    write_identities,
)
from .training_set import LABELS, UNSEEN, FaceRecords

# Pairs of them.
PAIRS = "verification.bin"


def merge(
    sets: Sequence[FaceRecords],
    folder: str | os.PathLike[str],
    by_name: bool = False,
    skip_missing: bool = False,
    force: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> Written:
    """Write several sets as one: the identities of the second are numbered on from those of the first, and so on.

    labels.tsv has `new label <tab> label in its set <tab> folder of the set`. Where all sets have a names.tsv, so has
    the new one.

    Args:
        sets: two or more, of one image size.
        folder: where to.
        by_name: identities of one name (in names.tsv) become one; its images stand together.
        skip_missing, stop: as `write_chosen` takes them.
        force: replace a set that is there.

    Raises:
        UserError: the sets do not fit together, names are missing, a record is damaged, or the folder is taken.
    """
    with claimed(folder, force, sets):
        chosen, beside, identities, left_out = _numbered_on(sets, by_name, skip_missing)
        size = sets[0].image_size
        return write_chosen(folder, chosen, size, beside, identities, False, left_out, skip_missing, stop)


def _numbered_on(sets, by_name, skip_missing):
    """(Chosen, lines of the files beside, identities, keys of records left out) of sets to be merged."""
    sizes = {records.image_size: records for records in sets}
    if len(sizes) > 1:
        said = ", ".join(f"{one.path.parent} of {h}x{w}" for (h, w), one in sizes.items())
        raise UserError(f"the sets have images of different sizes: {said}; pack them again with one --size")
    names = [names_of(records) for records in sets]
    numbers: dict[str, int] = {}
    new_names: dict[int, str] = {}
    lines, labels, places, indices, left_out, first = [], [], [], [], [], 0
    for place, (records, named) in enumerate(zip(sets, names)):
        if by_name:
            absent = next((label for label in range(records.num_identities) if label not in named), None)
            if absent is not None:
                path = records.path.with_name(NAMES)
                raise UserError(
                    f"{path} does not name identity {absent}; identities are merged by name only if all are"
                )
            new = np.array([numbers.setdefault(named[i], len(numbers)) for i in range(records.num_identities)])
        else:
            new = np.arange(first, first + records.num_identities)
            first += records.num_identities
        new_names.update((int(new[label]), name) for label, name in named.items())
        lines += [f"{label}\t{old + records.first_label}\t{records.path.parent}" for old, label in enumerate(new)]
        found = usable(records, skip_missing)
        labels.append(new[found.labels])
        places.append(np.full(len(found.indices), place))
        indices.append(found.indices)
        left_out += [skipped_line(records, key, len(sets)) for key in found.left_out]
    chosen = Chosen(sets, *map(np.concatenate, (places, indices, labels)))
    if by_name:
        order = np.argsort(chosen.labels, kind="stable")
        chosen = Chosen(sets, chosen.places[order], chosen.indices[order], chosen.labels[order])
    beside = {LABELS: lines}
    if all(names):
        beside[NAMES] = name_lines(new_names)
    return chosen, beside, len(numbers) if by_name else first, left_out


def shuffle(
    records: FaceRecords,
    folder: str | os.PathLike[str],
    seed: int = 0,
    skip_missing: bool = False,
    force: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> Written:
    """Write a set in random order, which depends on `seed` alone, for readers that go through it from end to end.

    Identities keep their numbers. There is no header record and none of identities, as im2rec writes it and
    mx.io.ImageRecordIter reads it.

    Raises:
        UserError: as `write_chosen`, or the folder is taken.
    """
    found = usable(records, skip_missing)
    order = _random(seed).permutation(len(found.indices))
    chosen = Chosen([records], np.zeros(len(order), np.int64), found.indices[order], found.labels[order])
    names = names_of(records)
    beside = {NAMES: name_lines(names)} if names else {}
    size, identities = records.image_size, records.num_identities
    with claimed(folder, force, [records]):
        return write_chosen(folder, chosen, size, beside, identities, True, found.left_out, skip_missing, stop)


class Split(NamedTuple):
    """Labels of the identities of each part, rising."""

    training: np.ndarray
    verification: np.ndarray


def split_identities(records: FaceRecords, verification: int, seed: int = 0) -> Split:
    """Choose identities for verification; those that have images only.

    Args:
        records: the set.
        verification: how many.
        seed: of the choice, which depends on nothing else.

    Raises:
        UserError: nobody is left to train with, or a number below 1.
    """
    labels = records.labels()
    present = np.unique(labels[labels >= 0])
    if not 1 <= verification < len(present):
        raise UserError(
            f"{records.path} has {len(present):,} identities with images: {verification:,} of them for verification "
            "leave nobody for training or for verification; give a number between"
        )
    chosen = np.sort(_random(seed).permutation(present)[:verification])
    return Split(np.setdiff1d(present, chosen), chosen)


def write_split(
    records: FaceRecords,
    folder: str | os.PathLike[str],
    parts: Split,
    skip_missing: bool = False,
    force: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> tuple[Written, Written]:
    """Write the training part into a folder and the other into its subfolder `unseen`; no identity is in both.

    With `force`, an earlier split stays whole until this one is on disk; its pairs, verification.bin, go with it.

    Returns:
        (training, verification): what was written.

    Raises:
        UserError: as `write_identities`, or the folder is taken.
    """
    with claimed(folder, force, [records]):
        return _write_split(records, Path(folder), parts, skip_missing, stop)


def _write_split(records, folder, parts, skip_missing, stop):
    found = usable(records, skip_missing)
    of_verification = np.isin(found.labels, parts.verification)
    unseen = folder / UNSEEN
    new = folder / f".{UNSEEN}.partial"

    def ready():
        # A training set never stands beside the verification part of another split.
        for stale in (folder / "property", folder / PAIRS):
            stale.unlink(missing_ok=True)
        shutil.rmtree(unseen, ignore_errors=True)
        os.replace(new, unseen)

    shutil.rmtree(new, ignore_errors=True)  # what a kill left
    try:
        verification = write_identities(records, new, found.indices[of_verification], (), skip_missing, stop)
        training = write_identities(
            records, folder, found.indices[~of_verification], found.left_out, skip_missing, stop, ready
        )
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return training, verification


def _random(seed):
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))

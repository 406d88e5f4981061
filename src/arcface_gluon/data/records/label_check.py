"""What is wrong with a whole training set, told before the first step: labels, property, index, sizes of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import UserError
from ..images.sizes import size_line
from .label_counts import Labels

if TYPE_CHECKING:
    from .training_set import FaceRecords


class Fault(NamedTuple):
    """What is wrong, how to mend it, and what `data.on_error=skip` does instead.

    `single`: it is single images that are bad, not the set; they are skipped unless data.on_error=stop.
    """

    what: str
    mend: str
    skip: str
    single: bool = False


def check_training_set(records: FaceRecords, on_error: str = "skip_images") -> list[str]:
    """Look at all labels, at the index and at some images of a training set, before it is trained on.

    Args:
        records: FaceRecords.
        on_error: "skip_images": faults of the whole set are refused, single bad images are told; "skip": faults of the
            set are only told as well; "stop": single bad images are refused too.

    Returns:
        Warnings, one line each.

    Raises:
        UserError: the set cannot be meant as it is (or, whatever on_error, no image has a label to train on).
    """
    labels = Labels.of(records.survey().labels, records.first_label)
    faults = [*_index_faults(records), *_label_faults(records, labels), *_property_faults(records, labels)]
    if not labels.counts[: records.num_identities].any():
        raise UserError(f"{faults[0].what}; {faults[0].mend}")  # no image is left to go on with
    lines = []
    for fault in faults:
        if on_error == "stop" or on_error == "skip_images" and not fault.single:
            raise UserError(f"{fault.what}; {fault.mend}, or data.on_error=skip {fault.skip}")
        lines.append(f"{fault.what}; data.on_error={on_error} {fault.skip}")
    return [*lines, *_notes(records, labels, bool(faults)), *filter(None, [_sizes_line(records)])]


def describe_faults(records: FaceRecords) -> list[str]:
    """All that `check_training_set` would refuse or tell of a set, one line each, and how to mend it."""
    labels = Labels.of(records.survey().labels, records.first_label)
    faults = [*_index_faults(records), *_label_faults(records, labels), *_property_faults(records, labels)]
    lines = [f"{fault.what}; {fault.mend}" for fault in faults]
    notes = _notes(records, labels, bool(faults)) if len(labels.counts) else ()
    return [*lines, *notes, *filter(None, [_sizes_line(records)])]


def index_notes(records: FaceRecords) -> list[str]:
    """What the index leaves out, one line each: for those who read the images and not their labels."""
    return [f"{fault.what}; {fault.mend}" for fault in _index_faults(records)]


def _index_faults(records):
    found, index = records.survey(), records.path.with_suffix(".idx")
    if found.unlisted:
        what = f"{index} lists {len(records):,} images, but {records.path.name} holds {len(records) + found.unlisted:,}"
        yield Fault(what, "delete the .idx to have it made again", "goes on with those that it lists")
    if found.unknown:
        what = f"{records.path} has {found.unknown:,} bytes that are no records and that {index.name} does not list"
        yield Fault(what, "fetch both again", "leaves them out")


def _label_faults(records, labels):
    kinds = (
        ("damaged", labels.damaged, "a damaged record", "fetch the set again"),
        ("fractional", labels.fractional, "a label that is no whole number", "write the identities' numbers as labels"),
        (
            "negative",
            labels.negative,
            "a label below the first identity's",
            "leave those images out when it is written",
        ),
        ("huge", labels.huge, "a label too large to be stored exactly", "number the identities anew"),
    )
    for kind, indices, what, mend in kinds:
        if not len(indices):
            continue
        if kind == "negative" and records.first_label:
            mend = f"lower data.first_label={records.first_label}"
        stored = records.survey().labels[indices]
        named = f"record {records.keys[indices[0]]}" + (f": {stored[0]:g}" if kind != "damaged" else "")
        yield Fault(
            f"{records.path}: {len(indices):,} of {labels.images:,} images have {what} ({named})",
            mend,
            "skips them",
            kind == "damaged" or not _repeats(stored, labels.images),
        )


def _repeats(stored, images):
    """Whether wrong labels look meant: one comes twice, or they are many. Bits that turned over give neither."""
    return len(np.unique(stored)) < len(stored) or len(stored) > max(1, images // 100)


def _property_faults(records, labels):
    if not len(labels.counts):
        return
    path, known, first = records.property_path, records.num_identities, records.first_label
    lowest, highest, size = labels.lowest, labels.highest, ",".join(map(str, records.image_size))
    outside = int(labels.counts[known:].sum())
    says = f"{path} says {known:,} identities"
    if outside:
        repeats = labels.counts[known:].max() > 1 or outside > max(1, labels.images // 100)
        what = f"{says}, but labels run from {lowest + first} to {highest + first}: "
        what += f"{outside:,} of {labels.images:,} images have no identity"
        span = highest + 1 - lowest
        if lowest and (lowest == 1 or labels.contiguous):
            mend = f"set data.first_label={lowest + first}" + (f", and write {span},{size} into it" * (span != known))
        elif highest + 1 <= 2 * labels.present:
            mend = f"write {highest + 1},{size} into it"
        else:
            mend = f"number the identities anew, 0 to {labels.present - 1}, and write {labels.present},{size} into it"
        yield Fault(what, mend, "skips those images", not repeats)
    elif labels.present == 1:
        what = f"{records.path}: all images are of one identity ({lowest + first})"
        yield Fault(what, "training needs two or more", "trains on it all the same")
    elif known == labels.images and highest + 1 < known or 2 * (highest + 1) <= known:
        number = ", the number of images" if known == labels.images else ""
        what = f"{says}{number}, but labels run from {lowest + first} to {highest + first} only"
        mend = f"write {highest + 1},{size} into it"
        yield Fault(what, mend, f"trains {known - labels.present:,} classes that have no images")


def _notes(records, labels, faulty):
    """What is odd, but may be meant."""
    counts = labels.counts[: records.num_identities]
    empty = records.num_identities - int(np.count_nonzero(counts))
    if empty and not faulty:
        line = f"{records.path}: {empty:,} of {records.num_identities:,} identities have no images"
        if labels.lowest == 1 and not records.first_label:
            cure = "if the first has label 1, set data.first_label=1 and lower property's first number by one"
        elif labels.contiguous and not labels.lowest:
            cure = f"labels end at {labels.highest + records.first_label}: write {labels.highest + 1} into property"
        else:
            cure = "number the others anew, or they are trained as classes to which nobody belongs"
        yield f"{line} (the first without: {records.first_label + labels.first_empty}); {cure}"
    if labels.images > 1 and labels.counts.max() == 1:
        yield f"{records.path}: every identity has a single image; are the labels numbers of images?"


def _sizes_line(records):
    return size_line(records.path, records.sizes(), records.image_size, len(records))

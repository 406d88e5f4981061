"""Training records as a folder with a subfolder an identity, the inverse of packing them."""

from __future__ import annotations

import os

from ...errors import UserError
from ...files import new_folder
from ...progress import progress
from ..images.encoded import ending
from .name_file import NAMES, name_lines
from .rewriting import names_of
from .training_set import FaceRecords

LIST = "images.lst"


def unpack_records(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Write every image as it is stored: that with key 12, of identity 3, is 000003/12.jpg.

    images.lst has key, label and path of each, as im2rec's lists, in the order of the records; with names.tsv where the
    set has one. Packed from that list again, images, labels and their order are the same.

    Args:
        path: a train.rec, or its folder.

    Returns:
        (images, identities with images, images left out: damaged, or of a label that property does not allow).

    Raises:
        UserError: the set cannot be read, has no image of an identity, or the folder exists already or cannot be
            written.
    """
    records = FaceRecords(path)
    written, identities, lines = 0, set(), []
    with new_folder(folder) as whole:
        for index in progress(range(len(records)), desc="unpacking", unit=" images", delay=1):
            try:
                image, label = records.read(index)
            except UserError:  # counted
                continue
            place = whole / f"{label:06d}"
            if label not in identities:
                place.mkdir(parents=True)
                identities.add(label)
            (place / f"{records.keys[index]}{ending(image)}").write_bytes(image)
            lines.append(f"{records.keys[index]}\t{label}\t{place.name}/{records.keys[index]}{ending(image)}\n")
            written += 1
        if not written:
            raise UserError(f"{records.path} has no image of an identity that property allows")
        (whole / LIST).write_text("".join(lines), encoding="utf-8")
        if names := names_of(records):
            (whole / NAMES).write_text("".join(f"{line}\n" for line in name_lines(names)), encoding="utf-8")
    return written, len(identities), len(records) - written

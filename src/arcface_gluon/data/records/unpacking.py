"""Training records as a folder with a subfolder an identity, the inverse of packing them."""

from __future__ import annotations

import os

from ...errors import UserError
from ...files import new_folder
from ...progress import progress
from ..images.encoded import ending
from .training_set import FaceRecords


def unpack_records(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Write every image as it is stored: that with key 12, of identity 3, is 000003/12.jpg.

    Args:
        path: a train.rec, or its folder.

    Returns:
        (images, identities with images, images left out: damaged, or of a label that property does not allow).

    Raises:
        UserError: the set cannot be read, has no image of an identity, or the folder exists already or cannot be
            written.
    """
    records = FaceRecords(path)
    written, identities = 0, set()
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
            written += 1
        if not written:
            raise UserError(f"{records.path} has no image of an identity that property allows")
    return written, len(identities), len(records) - written

"""Verification sets between forms: pairs and a folder of images → .bin → a folder to look at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from ...errors import UserError
from ...files import atomic_write, new_folder
from ...progress import progress
from ..images.decode import decode_image
from ..images.encoded import ending
from ..images.folder import find_image
from .bin_file import read_bin, write_bin
from .pair_lists import FOLDS, UNPACKED, folds_of

if TYPE_CHECKING:
    from .pair_lists import Pair

SIDE = 112


@dataclass
class Packed:
    """What `pack` wrote: the pairs, images that were not there or not whole, and distinct images of another size."""

    pairs: list
    missing: list
    unaligned: list


def pack(
    pairs: Sequence[Pair], images: str | os.PathLike[str], path: str | os.PathLike[str], skip_missing: bool = False
) -> Packed:
    """Write a .bin of pairs. Images go in as they are stored, each distinct one once.

    Args:
        pairs: list of Pair, in the folds' order.
        images: folder that their paths start from; an image may have another ending there.
        path: the .bin file.
        skip_missing: leave pairs out of which an image is missing or damaged, and name those images in
            `<path>.missing.txt`, instead of stopping.

    Raises:
        UserError: images are missing or damaged (the first is named), none is left, or the file cannot be written.
    """
    path, encoded, missing, unaligned = Path(path), {}, [], []
    names = dict.fromkeys(name for pair in pairs for name in pair[:2])
    for name in progress(names, desc=f"packing {path.name}", unit=" images", delay=1):
        try:
            data, shape = _read(Path(images), name)
        except UserError as error:
            if not skip_missing and not missing:
                first = str(error)
            missing.append(name)
            continue
        encoded[name] = data
        if shape[:2] != (SIDE, SIDE):
            unaligned.append(name)
    if missing and not skip_missing:
        raise UserError(
            f"{len(missing):,} of {len(names):,} images of {path.name} cannot be used, the first: {first}; "
            "get them, or leave their pairs out with --skip-missing"
        )
    kept = [pair for pair in pairs if pair.first in encoded and pair.second in encoded]
    if not kept:
        raise UserError(f"none of the pairs of {path.name} has both images in {images}; check --images")
    write_bin(path, [encoded[name] for pair in kept for name in pair[:2]], [pair.same for pair in kept])
    list_path = path.with_name(path.name + ".missing.txt")
    if missing:
        with atomic_write(list_path, "w") as file:
            file.writelines(f"{name}\n" for name in missing)
    else:
        list_path.unlink(missing_ok=True)
    return Packed(kept, missing, unaligned)


def _read(folder, name):
    """(bytes, shape) of an image."""
    path = find_image(folder / name)
    if path is None:
        raise UserError(f"no {folder / name}")
    try:
        data = path.read_bytes()
        return data, decode_image(data).shape
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error})") from error


def unpack(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> int:
    """Write the images of a .bin into a folder to look at: pair 12 of fold 3, of one person, is
    fold03/0012_same_a.jpg and fold03/0012_same_b.jpg; pairs.txt lists `fold, pair, same or diff, first, second`.

    Returns:
        The number of pairs.

    Raises:
        UserError: the file is no verification set, or the folder exists already or cannot be written.
    """
    with new_folder(folder) as whole:
        images, issame = read_bin(path)
        _write_pairs(whole, images, issame)
    return len(issame)


def _write_pairs(folder, images, issame):
    lines = [f"{UNPACKED}\n"]
    numbers = range(len(issame))
    folds = folds_of(numbers) if len(numbers) >= FOLDS else [numbers]
    fold_of = {number: fold for fold, members in enumerate(folds, 1) for number in members}
    for number in progress(numbers, desc="unpacking", unit=" pairs", delay=1):
        fold, kind, names = fold_of[number], "same" if issame[number] else "diff", []
        for side, image in zip("ab", images[2 * number : 2 * number + 2]):
            names.append(f"fold{fold:02d}/{number:04d}_{kind}_{side}{ending(image)}")
            (folder / names[-1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / names[-1]).write_bytes(image)
        lines.append(f"{fold}\t{number}\t{kind}\t{names[0]}\t{names[1]}\n")
    (folder / "pairs.txt").write_text("".join(lines), encoding="utf-8")

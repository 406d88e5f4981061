"""Whose images are packed: a folder with a folder for each identity, or a list of paths with identities."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from ...errors import UserError
from ..records.name_file import NAMES, read_names
from .csv_list import read_csv
from .folder import JUNK_FOLDERS, find_images, left_out_line, path_below
from .sources import ImageFiles, UnalignedFiles, open_images

_EXACT = 1 << 24  # labels are stored as float32


@dataclass
class Listing:
    """Images and identities.

    Attributes:
        images: the files, in the order in which they are packed.
        labels: identity of each, from 0.
        names: {label: name}; empty where identities are numbers only.
        empty: folders of identities without images.
        notes: lines to tell once.
    """

    images: ImageFiles
    labels: list[int]
    names: dict[int, str]
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_listing(source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Listing:
    """Images and their identities.

    - a folder: each folder in it is an identity, labelled in sorted order; its images, also of folders in it, come in
      the order of their names, where 2 is before 10
    - a .csv: path and identity, or more columns under a line that names them (`path`, `identity`)
    - im2rec's .lst, train.lst, or lines `path <tab> identity`

    Identities of a list that are whole numbers from 0 on are the labels, and a names.tsv beside it names them. Others
    are numbered in sorted order (numbers by their size), and their names kept.

    Args:
        root: folder that the paths of a list start from; the list's own by default.

    Raises:
        UserError: nothing there, a line that fits none of these, a path twice or one that leads out of the folder, or
            an image without an identity.
    """
    source = Path(source)
    if source.is_dir():
        return _of_folder(source)
    if source.suffix.lower() == ".csv":
        names, identities = read_csv(source)
        images = ImageFiles(source, Path(root or source.parent), names)
    else:
        images, identities = _of_list(source, root)
    for name in images.names:
        if os.path.isabs(name) and not _is_within(name, images.root):
            raise UserError(f"{source}: {name} is not below {images.root}; give the folder of all paths with --root")
        path_below(name, images.root, source)
    twice = Counter(images.names).most_common(1)[0]
    if twice[1] > 1:
        raise UserError(f"{source}: {twice[0]} is listed {twice[1]} times; leave it there once")
    labels, named = _numbered(identities, source)
    return Listing(images, labels, named or read_names(source.with_name(NAMES), max(labels) + 1))


def natural_order(name: str) -> tuple:
    """What sorts names as people do: 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), part) if i % 2 else (0, part) for i, part in enumerate(parts))


def _is_within(path, folder):
    return not os.path.relpath(path, os.path.abspath(folder)).startswith("..")


def _of_folder(folder):
    names, left_out = find_images(folder)
    own = [name for name in names if "/" not in name]
    if own:
        raise UserError(
            f"{folder}: {len(own):,} images lie in no identity's folder, such as {own[0]}; put each person's images "
            "into a folder of their own, or give a list"
        )
    note = left_out_line(folder, len(names), left_out)
    if not names:
        raise UserError(note or f"{folder}: there are no images")
    identity = [name.split("/", 1)[0] for name in names]
    people = sorted(set(identity))
    number = {person: label for label, person in enumerate(people)}
    names.sort(key=lambda name: (number[name.split("/", 1)[0]], natural_order(name)))
    folders = (name for name in os.listdir(folder) if os.path.isdir(folder / name))
    empty = sorted(name for name in folders if name not in number and name not in JUNK_FOLDERS)
    labels = [number[name.split("/", 1)[0]] for name in names]
    listing = Listing(ImageFiles(folder, folder, names), labels, dict(enumerate(people)), empty)
    listing.notes += [note] if note else []
    return listing


def _of_list(source, root) -> tuple[ImageFiles, Sequence[str]]:
    images = open_images(source, root)
    if isinstance(images, UnalignedFiles):
        raise UserError(
            f"{source} lists faces that are not aligned; align them first: arcface-gluon align {source} OUT"
        )
    if not isinstance(images, ImageFiles):
        raise UserError(f"{source} is packed already; give a folder of folders, or a list of paths with identities")
    if images.labels is None:
        raise UserError(
            f"{source} has no identities; write `path <tab> identity` on each line, or path,identity as .csv"
        )
    return images, [str(label) for label in images.labels]


def _numbered(identities, source):
    """(labels, names) of identities as a list has them."""
    distinct = sorted(set(identities))
    if all(re.fullmatch(r"[0-9]{1,9}", one) for one in distinct):
        numbers = {one: int(one) for one in distinct}
        if min(numbers.values()) == 0 and max(numbers.values()) < _EXACT:
            return [numbers[one] for one in identities], {}
        distinct.sort(key=lambda one: numbers[one])
    label = {one: number for number, one in enumerate(distinct)}
    if any("\t" in one or not one.isprintable() for one in distinct):
        raise UserError(f"{source}: an identity's name has a character that cannot stand in a list; rename it")
    return [label[one] for one in identities], dict(enumerate(distinct))

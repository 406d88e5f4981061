"""Which photographs are to be aligned: those of a folder or of a list, whose landmarks may be known."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

from ..data.images.csv_list import read_csv
from ..data.images.folder import find_image, find_images, left_out_line, path_below
from ..errors import UserError
from ..files import csv_fields, read_lines

_HINT = "give a folder, or a list with a path a line (`arcface-gluon align --help`)"


@dataclass(frozen=True)
class Photograph:
    """A file and what is known of it.

    Attributes:
        name: its path as the list has it, or below the folder.
        path: the file.
        crop: path of its crop below the folder of results, without an ending.
        landmarks: five (x, y) where the list has them, or None.
    """

    name: str
    path: str
    crop: str
    landmarks: tuple | None = None


def open_photographs(source: str | Path, root: str | Path | None = None) -> tuple[list[Photograph], list[str]]:
    """(photographs, notes) of a folder or a list.

    A list has a path a line; or insightface's columns (aligned, path, label, four of a box, five x, five y), or
    CelebA's (path, then five times x and y, separated by spaces, or by commas under a line of names), or IJB's (the
    same with a score). Of a .csv with path and identity, as `pack` takes it, the paths count.

    Args:
        source: the folder or the list.
        root: folder that the paths of a list start from; the list's own by default.

    Raises:
        UserError: there are none, or the list cannot be read, or names a path that leads out of the folder.
    """
    source = Path(source)
    if source.is_dir():
        names, left_out = find_images(source)
        entries, base = [(name, None) for name in names], source
        notes = [left_out_line(source, len(names), left_out)]
    else:
        entries, base, notes = _read_list(source), Path(root or source.parent), []
    if not entries:
        raise UserError(f"{source}: there are no photographs; {_HINT}")
    crops = _crop_names([path_below(name, base, source) for name, _ in entries])
    photographs = [
        Photograph(name, str(base / name), crop, landmarks) for (name, landmarks), crop in zip(entries, crops)
    ]
    return photographs, [note for note in notes if note]


def existing(photograph: Photograph) -> str | None:
    """The file that is meant, also with another case of its ending, or None."""
    found = find_image(photograph.path)
    return None if found is None else str(found)


def check_apart(photographs: Iterable[str | Path], pictures: Iterable[str | Path]) -> None:
    """Refuse to write pictures into folders of photographs, whose files they could replace.

    Args:
        photographs: files that are read; where one is a link, the file that it leads to is meant, too.
        pictures: files that will be written.

    Raises:
        UserError: a folder is one of both.
    """
    read = [str(path) for path in photographs]
    folders = _folders([*read, *(os.path.realpath(path) for path in read if os.path.islink(path))])
    both = folders & _folders(pictures)
    if both:
        raise UserError(
            f"{min(both)} has photographs that are read, and pictures would be written among them, or in their place; "
            "choose another folder"
        )


def _folders(paths):
    return {os.path.realpath(folder) for folder in {os.path.dirname(path) for path in paths}}


def _crop_names(paths):
    """Each path without its ending, or with it where two would be one (a.jpg and a.png)."""
    twice = Counter(paths)
    if twice and max(twice.values()) > 1:
        raise UserError(
            f"the path {max(twice, key=lambda path: twice[path])} is in the list more than once; leave it there once"
        )
    stems = Counter(path.with_suffix("") for path in paths)
    return [str(path if stems[path.with_suffix("")] > 1 else path.with_suffix("")) for path in paths]


def _read_list(source):
    first = next((line for _, line in read_lines(source, _HINT)), "")
    if source.suffix.lower() == ".csv" and "," in first and not _is_head(first):
        return [(name, None) for name in read_csv(source)[0]]
    entries, comma = [], False
    for number, line in read_lines(source, _HINT):
        if number == 1 and "," in line and "\t" not in line and _is_head(line):
            comma = True
            continue
        if (number == 1 and line.isdecimal()) or (number <= 2 and _is_head(line)):
            continue  # CelebA: a count, then the names of the columns
        if "\t" in line:
            fields = line.split("\t")
            insightface = fields[0] in ("0", "1") and len(fields) in (2, 3, 7, 17)
            name, numbers, by_axis = (fields[1], fields[7:], True) if insightface else (fields[0], [], False)
        else:
            fields = csv_fields(line, source, number) if comma else line.split()
            known = comma or len(fields) in (11, 12) and _are_numbers(fields[1:])
            name, numbers, by_axis = (fields[0], fields[1:11], False) if known else (line, [], False)
        entries.append((name, _five(numbers, by_axis, source, number)))
    return entries


def _is_head(line):
    words = line.replace(",", " ").lower().split()
    return sum(word.endswith(("_x", "_y")) for word in words) >= 10


def _are_numbers(fields):
    try:
        return all(abs(float(field)) < 1e6 for field in fields)
    except ValueError:
        return False


def _five(fields, by_axis, source, number):
    """Five points of ten numbers, the x first or interleaved."""
    if not fields:
        return None
    if len(fields) != 10 or not _are_numbers(fields):
        raise UserError(f"{source}: line {number} has no ten numbers for the five points; correct it or leave them out")
    values = [float(field) for field in fields]
    return tuple(zip(values[:5], values[5:])) if by_axis else tuple(zip(values[::2], values[1::2]))

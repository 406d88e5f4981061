"""conditions.csv, beside records: under which conditions each image was taken, such as pose, light, camera or year."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Iterator, Sequence

from ...errors import UserError
from ...files import csv_fields, read_lines

CONDITIONS = "conditions.csv"
_MOST = 50  # values of a condition, each of which makes a group of images


def read_conditions(path: str | os.PathLike[str], images: int) -> dict[str, list[str]]:
    """{condition: value of each image} of a conditions.csv; empty where there is none.

    The first line names the conditions, each further one has their values for an image, in the order of the records:
    `pose,light`, `frontal,left`, … A value is any text; images of one value form a group.

    Raises:
        UserError: a line has another number of values, there are not as many lines as images, or more than 50 different
            values of a condition.
    """
    if not Path(path).is_file():
        return {}
    lines = [(number, csv_fields(line, path, number)) for number, line in read_lines(path)]
    (_, names), *rows = lines or [(1, [""])]
    if not all(names) or len(set(names)) < len(names):
        raise UserError(f"{path} line 1: expected different names of conditions, such as pose,light; found {names!r}")
    for number, row in rows:
        if len(row) != len(names):
            raise UserError(f"{path} line {number}: expected {len(names)} values, found {row!r}")
    if len(rows) != images:
        raise UserError(f"{path} must have a line of values for each of the {images} images, not {len(rows)}")
    for place, name in enumerate(names):
        values = len({row[place] for _, row in rows})
        if values > _MOST:
            raise UserError(f"{path}: {name} has {values} different values; group them to {_MOST} or fewer")
    return {name: [row[place] for _, row in rows] for place, name in enumerate(names)}


def condition_lines(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of conditions.csv, for names and values without commas and quotes; `rows` is read when they are."""
    yield ",".join(names)
    yield from map(",".join, rows)

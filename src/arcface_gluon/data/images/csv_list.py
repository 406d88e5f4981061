"""Lists of images with their identities as .csv."""

from __future__ import annotations

import os

from ...errors import UserError
from ...files import csv_fields, read_lines

_PATHS = ("path", "file", "filename", "image", "photo", "crop")
_IDENTITIES = ("identity", "label", "person", "name", "id", "class")


def read_csv(source: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """(paths, identities) of a .csv with these two columns, or with more under a line that names them.

    Raises:
        UserError: it cannot be read, or a line has not both.
    """
    names, identities = [], []
    path_at, identity_at, first = 0, 1, True
    for number, line in read_lines(source, "give path,identity on each line"):
        fields = csv_fields(line, source, number)
        if first:
            first, heads = False, [text.lower() for text in fields]
            path_heads, identity_heads = ([head for head in heads if head in words] for words in (_PATHS, _IDENTITIES))
            if path_heads and identity_heads:
                path_at, identity_at = heads.index(path_heads[0]), heads.index(identity_heads[0])
                continue
            if len(fields) != 2:
                raise UserError(f"{source} line {number}: expected path,identity, or a line that names these columns")
        if len(fields) <= max(path_at, identity_at) or not fields[path_at] or not fields[identity_at]:
            raise UserError(f"{source} line {number}: expected a path and an identity, found {line!r}")
        names.append(fields[path_at])
        identities.append(fields[identity_at])
    return names, identities

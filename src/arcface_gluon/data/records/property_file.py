"""The file `property` of a training set: one line, identities,height,width."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Mapping, NamedTuple

from ...errors import UserError

if TYPE_CHECKING:
    from .label_counts import Labels

# A side of aligned faces in pixels; memory for a batch is taken by what `property` says.
_LARGEST_SIDE = 4096
# Centres of so many classes fit no machine; larger numbers are another thing's.
_MOST_IDENTITIES = 1 << 31


class Property(NamedTuple):
    """Number of identities, and the size of the images in pixels."""

    identities: int
    height: int
    width: int


def read_property(path: str | os.PathLike[str]) -> Property:
    """The three numbers of its first line; the shuffled variant has more lines, of other things.

    Commas or white space part the numbers; a byte order mark and a comma at the end do no harm.

    Raises:
        UserError: the file cannot be read, or its first line is anything else; says what belongs there.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            line = file.readline(1000).strip()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    fields = re.split(r"\s*[,;\s]\s*", line.rstrip(",; "))
    numbers = [int(field.split(".")[0]) for field in fields if re.fullmatch(r"[0-9]{1,18}(\.0*)?", field)]
    if len(numbers) != 3 or len(fields) != 3 or min(numbers) < 1:
        more = len(numbers) == len(fields) == 4 and {1, 3} & {numbers[1], numbers[3]}
        raise UserError(
            f"{path}: its first line must be identities,height,width (such as 10572,112,112), not {line[:80]!r}"
            + ("; leave the number of channels out" if more else "")
        )
    if max(numbers[1:]) > _LARGEST_SIDE:
        raise UserError(f"{path}: images of {numbers[1]} x {numbers[2]} are no aligned faces; correct its first line")
    if numbers[0] >= _MOST_IDENTITIES:
        raise UserError(f"{path}: {numbers[0]} are too many identities; correct its first line")
    return Property(*numbers)


def missing_property(folder: str | os.PathLike[str], labels: Labels, sizes: Mapping[tuple[int, int], int]) -> UserError:
    """What belongs into the file of records that have none.

    Args:
        folder: where it is missed.
        labels: of all images.
        sizes: (height, width) → how many images; none are known: empty.
    """
    line = f"property not found in {folder}; it holds one line, identities,height,width"
    if not len(labels.counts) or not sizes:
        return UserError(f"{line} (such as 10572,112,112)")
    height, width = max(sizes, key=lambda size: sizes[size])
    first = labels.lowest if labels.contiguous else 0
    line += f": for these records {labels.highest + 1 - first},{height},{width}"
    line += f" (labels {labels.lowest} to {labels.highest}, images of {height}x{width})"
    return UserError(line + (f", with data.first_label={first}" if first else ""))

"""Pages of docs/ of which one part is what a command measured; what stands around it is written by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence

from ..errors import UserError
from ..files import atomic_write

MARKS = "<!-- measured -->", "<!-- end of what was measured -->"


def around_measured(page: str | os.PathLike[str], marks: tuple[str, str] = MARKS) -> tuple[str, str]:
    """What stands before and after the part of a Markdown page between two lines.

    Raises:
        UserError: the page is not there, or has not one such part.
    """
    begin, end = marks
    try:
        text = Path(page).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {page}: {error.strerror}") from error
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if text.count(begin) != 1 or text.count(end) != 1 or end not in rest:
        raise UserError(f"{page} must have one part between the lines {begin} and {end}")
    return before, after


def write_measured(page: str | os.PathLike[str], lines: Sequence[str], marks: tuple[str, str] = MARKS) -> None:
    """Replace the part of a Markdown page between two lines.

    Raises:
        UserError: the page is not there, or has not one such part.
    """
    before, after = around_measured(page, marks)
    text = "\n".join(lines).strip("\n")
    with atomic_write(page, "w") as file:
        file.write(f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}")

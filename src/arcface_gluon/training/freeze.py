"""Parameters of the backbone that a training leaves as they are: all of it or parts, for good or for a while."""

from __future__ import annotations

import re
from typing import Sequence

from ..errors import UserError


class Freeze:
    """What `train.freeze` says: PATTERN or PATTERN:N.

    Frozen parameters get neither gradient nor weight decay and count for no norm; their momentum begins when they thaw.
    BatchNorm's running statistics are no parameters: they go on following the data.

    Args:
        text: a regular expression of parameters' structural names, or `backbone` for all; with :N, for the first N
            iterations. None: nothing is frozen.
        names: of all parameters.

    Raises:
        UserError: no regular expression, or one that no parameter matches.
    """

    def __init__(self, text: str | None, names: Sequence[str]):
        pattern, _, count = (text or "").rpartition(":")
        if not pattern or not count.isdecimal():
            pattern, count = text or "", ""
        self._until = int(count) if count else None
        self._names: frozenset[str] = frozenset()
        if text is None:
            return
        try:
            self._names = frozenset(names if pattern == "backbone" else filter(re.compile(pattern).search, names))
        except re.error as error:
            raise UserError(f"train.freeze={text}: {pattern!r} is no regular expression ({error})") from error
        if not self._names:
            raise UserError(
                f"train.freeze={text}: no parameter of the network has such a name; they are {names[0]}, {names[1]} … "
                f"{names[-1]}, or backbone for all"
            )

    def at(self, iteration: int) -> frozenset[str]:
        """Names that an iteration, counted from 0, leaves as they are."""
        return self._names if self._until is None or iteration < self._until else frozenset()

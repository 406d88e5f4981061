"""Processes that work through one sequence of batches together, each on every size-th of them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Callable, Generator

import numpy as np

from ..errors import UserError
from .processes import Processes

# (what is to be said of a batch, JSON-able; its rows (k, d))
Batches = Generator["tuple[Any, np.ndarray]", None, None]


@dataclass
class Team:
    """Processes that share the batches of a sequence.

    Attributes:
        processes: all of them, which call `rounds` together.
        check: called on all at the same time, after each round; may raise, on all.
        announce: tells the others what is to be done, where they wait for that; None where all know it.
    """

    processes: Processes
    check: Callable[[], None] | None = None
    announce: Callable[..., None] | None = None

    def rounds(self, own: Batches) -> Batches:
        """All batches in their order, on every process.

        Args:
            own: batches number rank, rank + size, rank + 2 size, ….

        Raises:
            UserError: `own` failed, on all processes.
        """
        with closing(own):
            whole = True
            while whole:
                failure, batch = None, None
                try:
                    batch = next(own, None)
                except UserError as error:
                    failure = error
                self.processes.must_succeed(failure, "batch")
                facts, rows = batch or (None, np.zeros((0, 0), np.float32))
                said = self.processes.texts(json.dumps([batch is not None, facts, rows.shape]), "batch")
                parts = self.processes.parts(rows.ravel(), "rows")
                if self.check:
                    self.check()
                for text, part in zip(said, parts):
                    is_one, facts, shape = json.loads(text)
                    whole = whole and is_one
                    if is_one:
                        yield facts, part.reshape(shape)

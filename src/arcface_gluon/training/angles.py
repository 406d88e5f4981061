"""Histograms of the target angle at the start, in the middle and at the end of a training run (Figure 4a)."""

from __future__ import annotations

import numpy as np

PHASES = ("start", "middle", "end")
# Iterations of each phase: one in fifty of the run.
_SHARE = 50


class AngleHistograms:
    """Collects the angles between embeddings and their own centres in three windows of a run.

    Args:
        iterations: of the whole run.

    Attributes:
        windows: {phase: (first, last)}, iterations counted from 1.
    """

    def __init__(self, iterations: int):
        width = max(1, iterations // _SHARE)
        middle = max(1, (iterations - width) // 2 + 1)
        firsts = (1, middle, max(1, iterations - width + 1))
        self.windows = {phase: (first, first + width - 1) for phase, first in zip(PHASES, firsts)}
        self._counts = {phase: np.zeros(180, np.int64) for phase in PHASES}

    def add(self, iteration: int, angles: np.ndarray) -> list[dict]:
        """Count the angles (radians) of an iteration, counted from 1; gives the records of windows that end with it.

        A record is {"phase", "first": first iteration of the window, "counts": 180 numbers, one a degree}. A run that
        was resumed within a window has only the iterations since in it.
        """
        ended = []
        for phase, (first, last) in self.windows.items():
            if not first <= iteration <= last:
                continue
            self._counts[phase] += np.histogram(np.degrees(angles), np.arange(181))[0]
            if iteration == last and self._counts[phase].any():
                ended.append({"phase": phase, "first": first, "counts": self._counts[phase].tolist()})
        return ended

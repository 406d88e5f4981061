"""The labels of a training set, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .label_survey import DAMAGED
from .recordio import EXACT_FLOAT

_BLOCK = 1 << 20


@dataclass
class Labels:
    """How many images each identity has, and which images have no identity.

    Attributes:
        images: n, how many images there are.
        counts: (k,) int64, images of each identity 0 … k-1, where k is the largest label + 1.
        damaged: indices of images whose record cannot be read.
        fractional, negative, huge: indices of images whose label is no whole number, below 0, or too large to be exact.
    """

    images: int
    counts: np.ndarray
    damaged: np.ndarray
    fractional: np.ndarray
    negative: np.ndarray
    huge: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, first_label: int = 0) -> Labels:
        """Count labels (n,) float32 as `label_survey` gives them, less `first_label`."""
        counts, found = np.zeros(0, np.int64), [[], [], [], []]
        for start in range(0, len(labels), _BLOCK):
            block = labels[start : start + _BLOCK] - np.float32(first_label)
            damaged = block == DAMAGED
            with np.errstate(invalid="ignore"):
                fractional = ~damaged & ~(np.isfinite(block) & (block == np.floor(block)))
            whole = ~damaged & ~fractional
            identities = whole & (block >= 0) & (block < EXACT_FLOAT)
            for kind, indices in zip((damaged, fractional, whole & (block < 0), whole & (block >= EXACT_FLOAT)), found):
                indices.append(np.flatnonzero(kind) + start)
            here = np.bincount(block[identities].astype(np.int32), minlength=len(counts))
            here[: len(counts)] += counts
            counts = here
        return cls(len(labels), counts, *map(np.concatenate, found))

    @property
    def present(self) -> int:
        """Identities that have images."""
        return int(np.count_nonzero(self.counts))

    @property
    def lowest(self) -> int:
        """Smallest label of an identity."""
        return int(np.argmax(self.counts > 0))

    @property
    def highest(self) -> int:
        """Largest label of an identity."""
        return len(self.counts) - 1

    @property
    def first_empty(self) -> int:
        """Smallest number of an identity without images."""
        return int(np.argmin(np.append(self.counts, 0) > 0))

    @property
    def contiguous(self) -> bool:
        """Whether all identities between the lowest and the highest have images."""
        return self.present == self.highest + 1 - self.lowest

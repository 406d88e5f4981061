"""Learning rate by iteration, as in the paper: constant, divided at given iterations."""

from __future__ import annotations

from bisect import bisect_right


def learning_rate(iteration: int, lr: float, steps, factor: float) -> float:
    """Learning rate of one iteration (counted from 0).

    The rate is `lr` times `factor` for every step that is at or before `iteration`. Source: section 3.1 of the paper
    (lr 0.1, divided by 10 at 20K and 28K iterations on CASIA, at 100K and 160K on MS1MV2).
    """
    return lr * factor ** bisect_right(list(steps), iteration)

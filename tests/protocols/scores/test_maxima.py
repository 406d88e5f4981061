"""Maxima of rows against a loop over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.protocols.scores import maxima


@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    floor=st.sampled_from([-np.inf, -1, 0, 2]),
    threads=st.sampled_from(["1", "3"]),
)
@settings(deadline=None, max_examples=60)
def test_every_row_has_its_largest_score_and_those_that_reach_the_floor(seed, shape, floor, threads):
    random = np.random.default_rng(seed)
    scores = random.integers(-3, 3, shape).astype(np.float32)  # many ties
    before = random.integers(-3, 3, shape[0]).astype(np.float32)
    first = random.integers(-5, shape[1] + 5, shape[0])
    last = first + random.integers(0, 9, shape[0])
    best, others = before.copy(), before.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", threads)
        patch.setattr(maxima, "_WORTH_A_THREAD", 2)
        found = maxima.raise_to_best(best, scores, np.float32(floor))
        maxima.raise_to_others(others, scores, first, last)
    assert best.tolist() == [max(old, max(row)) for old, row in zip(before, scores.tolist())]
    assert sorted(np.concatenate([[], *found])) == sorted(scores[scores >= floor])
    for old, row, a, b, new in zip(before.tolist(), scores.tolist(), first, last, others.tolist()):
        assert new == max([old, *(score for j, score in enumerate(row) if not a <= j < b)])

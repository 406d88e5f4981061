"""Passes over lists of pairs, by NumPy and compiled, against a loop over the pairs."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.protocols.scores import compiled_pairs, host_pairs

WAYS = [host_pairs, compiled_pairs] if find_spec("numba") else [host_pairs]


@pytest.mark.parametrize("way", WAYS)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    low=st.sampled_from([-40, 0, 10**6]),
    dtype=st.sampled_from([np.int32, np.int64]),
)
@settings(deadline=None, max_examples=60)
def test_scores_of_any_pairs_of_a_block_are_gathered_and_no_others(way, seed, sizes, low, dtype):
    random = np.random.default_rng(seed)
    places, before = random.permutation(7), random.integers(0, 5)
    borders = before + np.r_[0, np.cumsum(sizes)]  # empty rows among them, also at the ends
    block = random.random((len(sizes), 7)).astype(np.float32)
    numbers = (low + random.integers(0, 7, borders[-1] + 3)).astype(dtype)
    start, stop = sorted(random.choice(np.arange(before, borders[-1] + 1), 2, replace=False))
    out = np.full(len(numbers), -1, np.float32)
    way.gather(block, borders, start, stop, places, numbers, low, out)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    expected = [block[rows[k - before], places[numbers[k] - low]] if start <= k < stop else -1 for k in range(len(out))]
    assert out.tolist() == expected


@pytest.mark.parametrize("way", WAYS)
@given(
    seed=st.integers(0, 10**6),
    count=st.sampled_from([0, 1, 10, 2048, 2049, 5000]),
    floor=st.sampled_from([-np.inf, 0.1, 0.9, 2.0]),
    limits=st.integers(1, 3),
)
@settings(deadline=None, max_examples=40)
def test_scores_that_reach_a_floor_and_counts_are_those_of_comparisons(way, seed, count, floor, limits):
    random = np.random.default_rng(seed)
    scores = np.round(random.random(count), 1).astype(np.float32)  # many are equal, also to floor and thresholds
    left_out, floor = random.random(count) < 0.3, np.float32(floor)
    thresholds = random.integers(0, 11, limits).astype(np.float32) / 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_pairs, "_TOGETHER", 7)
        found, counts = way.reaching(scores, left_out, floor, thresholds)
    assert found.tolist() == scores[~left_out & (scores >= floor)].tolist() and found.dtype == np.float32
    assert counts.tolist() == [int((scores >= limit).sum()) for limit in thresholds]

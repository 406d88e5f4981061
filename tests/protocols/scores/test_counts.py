"""Counts of scores that reach thresholds, by NumPy and compiled, against comparisons of everything."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.protocols.scores import compiled_counts, host_counts

NO_NUMBA = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
WAYS = [
    host_counts,
    pytest.param(
        compiled_counts, marks=pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
    ),
]


@pytest.mark.parametrize("way", WAYS)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 300),
    columns=st.sampled_from([1, 7, 128, 129, 2048, 5000]),
    floor=st.sampled_from([-9.0, 1.0, 9.0]),
)
@settings(deadline=None, max_examples=15)
def test_counts_are_those_of_all_comparisons(way, seed, rows, columns, floor):
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=(rows, columns)), 1).astype(np.float32)  # many are equal
    shared = np.sort(random.choice(scores.ravel(), 4))
    sizes = random.integers(0, 23, rows)
    last = 2 + np.cumsum(sizes)
    own = np.round(random.normal(size=last[-1] + 3), 1).astype(np.float32)
    floors = (floor + random.normal(size=rows)).astype(np.float32)
    counts = np.full(len(own), 5)
    reached, found_sizes, found = way.count_reached(scores, floors, shared, own, last - sizes, last, counts)
    assert reached.tolist() == [int((scores >= limit).sum()) for limit in shared]
    expected = np.full(len(own), 5)
    for row, first, end in zip(scores, last - sizes, last):
        expected[first:end] += (row >= own[first:end, None]).sum(axis=1)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(found_sizes, (scores >= floors[:, None]).sum(axis=1))
    np.testing.assert_array_equal(found, scores[scores >= floors[:, None]])

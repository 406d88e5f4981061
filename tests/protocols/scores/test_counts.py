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
    most=st.sampled_from([5, 23, 90]),
    digits=st.sampled_from([0, 1, 4]),
    floor=st.sampled_from([-9.0, 1.0, 9.0]),
)
@settings(deadline=None, max_examples=25)
def test_counts_are_those_of_all_comparisons(way, seed, rows, columns, most, digits, floor):
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=(rows, columns)), digits).astype(np.float32)  # many are equal
    shared = np.sort(random.choice(scores.ravel(), 4))
    sizes = random.integers(0, most, rows)
    last = 2 + np.cumsum(sizes)
    own = np.round(random.normal(size=last[-1] + 3), digits).astype(np.float32)
    for begin, end in zip(last - sizes, last):
        own[begin:end].sort()
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


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NaN and infinity, which no protocol lets in
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thresholds", [1, 300, 2500])
@pytest.mark.parametrize("spread", [0, 1e-7, 1e-3, 1, 1e30])
def test_rows_with_many_thresholds_near_and_far_from_the_scores(way, thresholds, spread):
    random = np.random.default_rng(thresholds)
    own = np.sort(np.float32(0.1) + random.normal(size=thresholds).astype(np.float32) * np.float32(spread))
    near = np.nextafter(random.choice(own, (1, 999)), np.float32([[-np.inf], [np.inf]]))
    scores = np.concatenate([own, near.ravel(), [0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38]]).astype(np.float32)
    counts, ends = np.zeros(thresholds, np.int64), np.array([thresholds])
    way.count_reached(scores[None], np.float32([np.inf]), own[:1], own, ends - thresholds, ends, counts)
    np.testing.assert_array_equal(counts, [np.count_nonzero(scores >= limit) for limit in own])


@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 10**6), probes=st.integers(1, 9), most=st.sampled_from([1, 4, 40]))
@settings(deadline=None, max_examples=25)
def test_places_are_those_of_all_comparisons(way, seed, probes, most):
    random = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(random.integers(1, most + 1, probes))]
    thresholds = np.concatenate([np.sort(random.integers(-9, 9, n)) / 8 for n in np.diff(offsets)]).astype(np.float32)
    start = int(random.integers(0, probes))
    sizes = random.integers(0, 30, probes - start)
    scores = (random.integers(-9, 9, sizes.sum()) / random.choice([8, -8], sizes.sum())).astype(np.float32)  # -0, too
    counts, ties = np.full(offsets[-1] + probes, 3), np.full(offsets[-1], 5)
    lowest = np.where(random.random(probes) < 0.8, thresholds[random.integers(offsets[:-1], offsets[1:])], np.inf)
    way.Places(thresholds, offsets).count(start, sizes, scores, lowest.astype(np.float32), counts, ties)
    expected, equal = np.full_like(counts, 3), np.full_like(ties, 5)
    for i, some in enumerate(np.split(scores, np.cumsum(sizes)[:-1]), start):
        limits = thresholds[offsets[i] : offsets[i + 1]].tolist()
        for score in some[some >= lowest[i]].tolist():
            expected[offsets[i] + i + sum(limit < score for limit in limits)] += 1
            if score in limits:
                equal[offsets[i] + limits.index(score)] += 1
    assert counts.tolist() == expected.tolist() and ties.tolist() == equal.tolist()

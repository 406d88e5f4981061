"""Ranges of identities: contiguous, near-equal, the longer ones first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcface_gluon.parallel.shards import shard_ranges


def test_ten_identities_on_four_devices():
    # Checkpoints keep their shards in this order.
    assert shard_ranges(10, 4) == [(0, 3), (3, 6), (6, 8), (8, 10)]


@given(st.integers(1, 500), st.integers(1, 40))
def test_ranges_cover_all_and_differ_by_one_at_most(classes, shards):
    if classes < shards:
        with pytest.raises(ValueError, match="cannot be split"):
            shard_ranges(classes, shards)
        return
    ranges = shard_ranges(classes, shards)
    sizes = [stop - start for start, stop in ranges]
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(classes))
    assert len(sizes) == shards and sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


def test_no_shard_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        shard_ranges(3, 0)

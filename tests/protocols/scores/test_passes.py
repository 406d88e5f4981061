"""Passes over arrays in parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.protocols.scores import passes


@pytest.mark.parametrize("threads", ["1", "3"])
def test_one_descent_is_found_wherever_it_is(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(passes, "TOGETHER", 5)
    monkeypatch.setattr(passes, "WORTH_A_THREAD", 4)
    values = np.repeat(np.arange(12), 2)
    assert passes.is_ascending(values) and passes.is_ascending(values[:0])
    for place in range(1, len(values)):
        broken = values.copy()
        broken[:place] += 100
        assert not passes.is_ascending(broken)


VALUES = st.floats(width=32, allow_nan=False) | st.sampled_from([0.25, 0.5])


@given(runs=st.lists(st.lists(VALUES, max_size=30), min_size=1))
@settings(deadline=None)
def test_merged_runs_are_all_values_in_order(runs):
    merged = passes.merged([np.sort(np.array(run, np.float32)) for run in runs])
    assert merged.dtype == np.float32 and merged.tolist() == sorted(value for run in runs for value in run)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_runs_begin_where_any_column_changes(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(passes, "TOGETHER", 5)
    monkeypatch.setattr(passes, "WORTH_A_THREAD", 4)
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 6, 40):
        columns = random.integers(0, 2, (2, count))
        rows = list(zip(*columns.tolist()))
        expected = [i for i in range(count) if i == 0 or rows[i] != rows[i - 1]]
        assert passes.run_borders(*columns).tolist() == [*expected, count]

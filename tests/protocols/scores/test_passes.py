"""Passes over arrays in parts."""

from __future__ import annotations

import numpy as np
import pytest

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

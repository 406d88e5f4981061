"""Work in parts on several threads: all of it, once, and with the caller's settings and errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from arcface_gluon.parallel import threads


@pytest.mark.parametrize("count, smallest, parts", [(10, 1, 3), (10, 4, 2), (2, 5, 1), (0, 1, 1)])
def test_every_row_is_worked_on_once(monkeypatch, count, smallest, parts):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seen, ranges = np.zeros(count, int), []

    def work(first, last):
        ranges.append((first, last))
        seen[first:last] += 1

    threads.in_parts(work, count, smallest)
    assert (seen == 1).all() and len(ranges) == parts


def test_errors_come_back_and_warnings_stay_off(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def work(first, last):
        np.zeros(2) / np.zeros(2)
        if threading.current_thread() is not threading.main_thread():
            raise KeyError("from a thread")

    with np.errstate(invalid="ignore"), pytest.raises(KeyError, match="from a thread"):
        threads.in_parts(work, 10)

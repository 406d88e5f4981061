"""Work over processes: in order, and nobody is left behind."""

import os
import time

import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.parallel.workers import ordered_map

_state = {}


def prepare(value):
    _state["value"] = value


def work(number):
    if number == 3:
        time.sleep(0.05)
    return _state["value"] * number, os.getpid()


def die(_):
    os._exit(9)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes):
    results = list(ordered_map(work, ((number,) for number in range(40)), processes, prepare, (10,)))
    assert [result for result, _ in results] == [10 * number for number in range(40)]
    assert len({process for _, process in results}) <= processes


def test_a_killed_process_is_told():
    with pytest.raises(UserError, match="was killed"):
        list(ordered_map(die, [(0,)] * 3, 2))


def test_the_threads_of_this_process_are_as_before_in_whatever_order_they_end(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    first, second = (ordered_map(abs, [(-1,), (-2,)], 2) for _ in range(2))
    assert (next(first), next(second)) == (1, 1) and os.environ["OMP_NUM_THREADS"] == "7"
    first.close()
    second.close()
    assert os.environ["OMP_NUM_THREADS"] == "7"

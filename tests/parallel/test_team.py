"""Batches that processes compute in turn, with threads in their places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import in_ranks

from arcface_gluon.errors import UserError
from arcface_gluon.parallel.team import Team


def batches(numbers, fails=None):
    for number in numbers:
        if number == fails:
            raise UserError(f"batch {number} is damaged")
        yield [number, "of it"], np.full((number % 3, 2), number, np.float32)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 4), count=st.integers(0, 9))
def test_all_processes_get_all_batches_in_their_order(size, count):
    found = in_ranks(size, lambda p: list(Team(p).rounds(batches(range(p.rank, count, size)))))
    for given_batches in found:
        assert [facts for facts, _ in given_batches] == [[number, "of it"] for number in range(count)]
        for number, (_, rows) in enumerate(given_batches):
            assert rows.dtype == np.float32 and np.array_equal(rows, np.full((number % 3, 2), number))


def test_a_failure_of_one_ends_all_after_the_batches_before():
    done = [[], []]

    def work(processes):
        for facts, _ in Team(processes).rounds(batches(range(processes.rank, 9, 2), fails=5)):
            done[processes.rank].append(facts[0])

    found = in_ranks(2, work)
    assert all("process 1 on host1: batch 5 is damaged" in str(error) for error in found)
    assert done == [[0, 1, 2, 3]] * 2


def test_the_check_is_made_after_each_round_on_all_and_may_end_them():
    rounds = [0, 0]

    def work(processes):
        def check():
            rounds[processes.rank] += 1
            if processes.any(processes.rank == 1 and rounds[1] == 2):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(Team(processes, check).rounds(batches(range(processes.rank, 9, 2))))

    assert in_ranks(2, work) == [None, None] and rounds == [2, 2]

"""Sums of gradients over processes: their buckets, and what compression promises, against float64."""

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ranks import in_ranks

from arcface_gluon.training.gradient_sum import (
    GradientSum,
    buckets,
    from_bfloat16,
    sum_in_bfloat16,
    sum_in_float16,
    to_bfloat16,
)
from arcface_gluon.training.optimizer import all_finite

DIGITS = {sum_in_float16: 2e-3, sum_in_bfloat16: 2.0**-7}


def test_buckets_begin_at_the_end_and_hold_every_array_once():
    arrays = [mx.nd.zeros((n,)) for n in (1, 2, 3, 100, 4, 5)]
    found = [[array.size for array in bucket] for bucket in buckets(arrays, 40)]
    assert found == [[5, 4], [100], [3, 2, 1]]
    assert list(buckets([], 40)) == []


@pytest.mark.parametrize("compression", ["none", "float16", "bfloat16"])
def test_every_bucket_is_summed_under_a_name_of_its_own(compression):
    def work(processes):
        arrays = [mx.nd.full((n,), n * (processes.rank + 1)) for n in (3, 1, 7)]
        GradientSum(processes, compression, bucket=8)(arrays)
        return [array.asnumpy().tolist() for array in arrays]

    # Whole numbers of few digits are exact in all of them.
    assert in_ranks(2, work) == [[[9.0] * 3, [3.0], [21.0] * 7]] * 2


@pytest.mark.parametrize("compression", ["none", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_overflows_on_one_process_is_not_finite_on_any(compression, value):
    def work(processes):
        arrays = [mx.nd.full((3,), 2.0), mx.nd.array([1.0, value if processes.rank == 1 else 1.0])]
        GradientSum(processes, compression)(arrays)
        return all_finite(arrays)

    assert in_ranks(3, work) == [False] * 3


@pytest.mark.parametrize("add", DIGITS)
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_a_compressed_sum_keeps_its_digits_whatever_the_size_and_is_one_on_all(add, size):
    rows = [np.random.default_rng(rank).normal(size=(2, 501)).astype(np.float32) * size for rank in range(3)]

    def work(processes):
        arrays = [mx.nd.array(row) for row in rows[processes.rank]]
        add(arrays, processes, "gradients")
        return np.stack([array.asnumpy() for array in arrays])

    expected = np.sum(rows, axis=0, dtype=np.float64)
    found = in_ranks(3, work)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=DIGITS[add] * np.abs(rows).max(axis=(1, 2)).sum())
    assert not np.array_equal(found[0], expected) and all(np.array_equal(found[0], other) for other in found[1:])


def test_in_bfloat16_each_term_and_the_sum_are_rounded_once_so_that_small_ones_keep_their_digits():
    rows = [np.random.default_rng(rank).normal(size=999) * 10.0 ** np.linspace(-30, 30, 999) for rank in range(4)]

    def work(processes):
        array = mx.nd.array(rows[processes.rank])
        sum_in_bfloat16([array], processes, "gradients")
        return array.asnumpy()

    found, terms = in_ranks(4, work)[0].astype(np.float64), np.abs(rows).sum(axis=0)
    assert (np.abs(found - np.sum(rows, axis=0)) <= 1.01 * (terms + np.abs(found)) * 2.0**-8).all()


@pytest.mark.parametrize("value, others", [(0.0, 0.0), (np.inf, np.nan), (np.nan, np.nan)])
def test_zeros_and_what_is_not_finite(value, others):
    def work(add):
        def sum_of(processes):
            array = mx.nd.array([value if processes.rank else 0.0, 0.0])
            add([array], processes, "gradients")
            return array.asnumpy()

        return sum_of

    np.testing.assert_array_equal(in_ranks(2, work(sum_in_float16)), [[others, others]] * 2)
    np.testing.assert_array_equal(in_ranks(2, work(sum_in_bfloat16)), [[value, 0.0]] * 2)


@given(st.floats(width=32))
def test_bfloat16_is_the_nearest_and_of_two_the_even_one(value):
    number = np.array([value], np.float32)
    (found,) = to_bfloat16(number)
    back = from_bfloat16(np.array([found], np.uint16))[0]
    if np.isnan(value):
        assert np.isnan(back)
        return
    below = np.array([number.view(np.uint32)[0] >> 16], np.uint16)
    candidates = np.concatenate([below, below + np.uint16(1)])
    with np.errstate(invalid="ignore"):  # the neighbour of infinity is no number
        values = from_bfloat16(candidates).astype(np.float64)
    if np.isinf(values[1]) and np.isfinite(values[0]):
        values[1] = np.copysign(2.0**128, values[1])  # what would come after the largest
    distance = np.abs(values - np.float64(value)) if np.isfinite(value) else np.array([0.0, 1.0])
    nearest = candidates[distance == distance.min()]
    assert found in nearest and (len(nearest) == 1 or found % 2 == 0)

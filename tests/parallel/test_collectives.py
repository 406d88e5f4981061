"""Exchange between the devices of one process, on CPU contexts."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest

from arcface_gluon.parallel.collectives import ContextGroup


def parts(sizes, width=3):
    random = np.random.default_rng(0)
    return [mx.nd.array(random.normal(size=(size, width)), ctx=mx.cpu(i)) for i, size in enumerate(sizes)]


def test_gather_gives_every_device_the_whole_batch():
    arrays = parts([2, 1, 4])
    whole = np.concatenate([array.asnumpy() for array in arrays])
    gathered = ContextGroup([mx.cpu(i) for i in range(3)]).gather(arrays)
    assert [array.context for array in gathered] == [mx.cpu(i) for i in range(3)]
    assert all(np.array_equal(array.asnumpy(), whole) for array in gathered)


def test_reduce_scatter_sums_and_cuts_at_the_slices():
    group, sizes = ContextGroup([mx.cpu(i) for i in range(3)]), [2, 1, 4]
    arrays = parts([7, 7, 7])
    total = sum(array.asnumpy() for array in arrays)
    slices = group.reduce_scatter(arrays, sizes)
    assert [part.context for part in slices] == group.contexts
    for part, expected in zip(slices, np.split(total, np.cumsum(sizes)[:-1])):
        np.testing.assert_allclose(part.asnumpy(), expected, rtol=1e-6)


def test_log_sum_exp_neither_overflows_nor_loses_a_shard_without_mass():
    group = ContextGroup([mx.cpu(0), mx.cpu(1)])
    total = group.log_sum_exp([np.array([1000.0, -1e30]), np.array([1000.0, -5.0])])
    np.testing.assert_allclose(total, [1000 + np.log(2), -5])


def test_maximum_and_collect():
    group = ContextGroup([mx.cpu(0), mx.cpu(1)])
    assert np.array_equal(group.maximum([np.array([1.0, 5.0]), np.array([3.0, 2.0])]), [3, 5])
    assert np.array_equal(group.collect([[2, 0], [1]], [np.array([7.0, 8.0]), np.array([9.0])], 3), [8, 9, 7])


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_bytes_sent_count_only_what_travels(devices):
    group = ContextGroup([mx.cpu(i) for i in range(devices)])
    group.gather(parts([2] * devices))
    assert group.bytes_sent == devices * (devices - 1) * 2 * 3 * 4

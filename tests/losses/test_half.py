"""The head with products in float16: as exact as these allow, and nothing small is lost."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import head as reference_head
from head_reference import step

from arcface_gluon import ShardedMarginHead
from arcface_gluon.parallel.products import half_dot


def build(w, shards, **options):
    head = ShardedMarginHead(len(w), w.shape[1], [mx.cpu(i) for i in range(shards)], dtype="float16", **options)
    head.set_centres(w)
    return head


@pytest.mark.parametrize("options", [{}, {"block_rows": 500}, {"sample_rate": 0.9}])
@pytest.mark.parametrize("shards", [1, 3])
def test_gradients_have_the_digits_of_float16(shards, options):
    random = np.random.default_rng(0)
    # As many classes as make most probabilities smaller than float16 can tell from 0.
    w, x = 0.2 * random.normal(size=(3000, 32)), random.normal(size=(12, 32))
    labels = random.integers(0, 3000, 12)
    head = build(w, shards, **options)
    loss, *gradients = step(head, x, labels)
    if options.get("sample_rate"):
        chosen = np.concatenate([shard.start + shard.sampled for shard in head._shards])
        expected = reference_head(x, w[chosen], np.searchsorted(chosen, labels), head.margin, head.scale)
        gradients[1] = gradients[1][chosen]
    else:
        expected = reference_head(x, w, labels, head.margin, head.scale)
    assert loss == pytest.approx(expected[0], rel=2e-3)
    for gradient, exact in zip(gradients, expected[1:]):
        error = np.abs(gradient - exact).max() / np.abs(exact).max()
        assert 1e-5 < error < 0.05  # logits of up to 64 are rounded by up to 0.03


def test_small_values_and_overflow():
    tiny, ones, huge = (mx.nd.full((2, 4), value) for value in (1e-8, 1, 1e5))
    assert half_dot(tiny, ones, transpose_b=True)[0, 0].asscalar() == 0
    assert half_dot(tiny, ones, gain=1024.0, transpose_b=True)[0, 0].asscalar() == pytest.approx(4e-8, rel=0.01)
    out = mx.nd.empty((2, 2))
    assert half_dot(huge, huge, transpose_b=True, out=out) is out and out[0, 0].asscalar() == 65504

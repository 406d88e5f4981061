"""Partial FC: which centres take part in a step, and what happens to the others."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import head as reference_head

from arcface_gluon import Margin, ShardedMarginHead
from arcface_gluon.losses import CurricularHead, SoftmaxHead, SubCentreHead
from arcface_gluon.losses.sampling import SampledShard

CLASSES, SIZE, BATCH = 60, 8, 6


def problem(seed):
    random = np.random.default_rng(seed)
    w = random.normal(size=(CLASSES, SIZE)).astype(np.float32)
    return random.normal(size=(BATCH, SIZE)).astype(np.float32), w, random.integers(0, CLASSES, BATCH)


def build(w, rate, shards=2, seed=0):
    head = ShardedMarginHead(CLASSES, SIZE, [mx.cpu(i) for i in range(shards)], seed=seed, sample_rate=rate)
    head.set_centres(w)
    return head


def step(head, x, labels):
    parts = zip(np.array_split(x, len(head.contexts)), head.contexts)
    loss, gradients = head.forward_backward(
        [mx.nd.array(part, ctx=ctx) for part, ctx in parts], np.array_split(labels, len(head.contexts))
    )
    return loss, np.concatenate([g.asnumpy() for g in gradients])


def sampled(head):
    return np.concatenate([shard.start + shard.sampled for shard in head._shards])


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.95])
def test_the_step_is_the_full_softmax_over_the_sampled_centres(rate, shards):
    x, w, labels = problem(0)
    head = build(w, rate, shards)
    loss, gradient = step(head, x, labels)
    chosen = sampled(head)
    assert set(labels) <= set(chosen)
    expected = reference_head(x, w[chosen], np.searchsorted(chosen, labels), Margin(), 64.0)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5 * np.abs(expected[1]).max())
    whole = np.zeros_like(w)
    whole[chosen] = expected[2]
    np.testing.assert_allclose(head.centre_gradients(), whole, atol=1e-5 * np.abs(whole).max())


def test_centres_left_out_keep_value_and_momentum():
    x, w, labels = problem(1)
    head = build(w, 0.3)
    for start, stop, arrays in head.shards():
        head.load_rows(start, {"momentum": np.ones((stop - start, SIZE), np.float32)})
        assert arrays["momentum"].asnumpy().all()
    step(head, x, labels)
    head.update(0.1, 0.9, 5e-4)
    momenta = np.concatenate([arrays["momentum"].asnumpy() for _, _, arrays in head.shards()])
    moved = (head.centres() != w).any(axis=1)
    assert np.array_equal(np.flatnonzero(moved), sampled(head))
    assert (momenta[~moved] == 1).all() and (momenta[moved] != 1).any(axis=1).all()


def test_sampled_rows_move_as_nag_moves_them():
    x, w, labels = problem(1)
    head = build(w, 0.3)
    step(head, x, labels)
    gradient = head.centre_gradients().astype(np.float64)
    assert head.gradient_square() == pytest.approx(np.square(gradient).sum(), rel=1e-5)
    head.update(0.1, 0.9, 0.0, nesterov=True)
    np.testing.assert_allclose(head.centres(), w - 1.9 * 0.1 * gradient, rtol=1e-5, atol=1e-6)


def test_rate_1_is_the_full_softmax():
    x, w, labels = problem(2)
    one, full = build(w, 1.0), ShardedMarginHead(CLASSES, SIZE, [mx.cpu(0), mx.cpu(1)])
    full.set_centres(w)
    for head in (one, full):
        step(head, x, labels)
        head.update(0.1, 0.9, 5e-4)
    assert np.array_equal(one.centres(), full.centres())


def test_each_negative_is_as_likely_and_the_number_is_fixed():
    shard = SampledShard(0, 50, 2, mx.cpu(), rate=0.2)
    counts, draws = np.zeros(50), 2000
    for iteration in range(draws):
        shard.sample(np.array([7, 7, 30]), np.random.default_rng(iteration))
        assert len(shard.sampled) == 10 and (np.diff(shard.sampled) > 0).all()
        counts[shard.sampled] += 1
    assert counts[7] == counts[30] == draws
    negatives = np.delete(counts, [7, 30]) / draws
    # Expected 8 of 48; five standard errors.
    assert np.abs(negatives - 8 / 48).max() < 5 * np.sqrt(8 / 48 * 40 / 48 / draws)


def test_more_positives_than_the_share_all_take_part():
    shard = SampledShard(0, 50, 2, mx.cpu(), 0, 0.1)
    positives = np.arange(3, 40)
    shard.sample(positives, np.random.default_rng(0))
    assert np.array_equal(shard.sampled, positives)


def test_seed_and_iteration_fix_the_sample_so_that_a_run_resumes():
    x, w, labels = problem(3)
    first, other, resumed = build(w, 0.3), build(w, 0.3, seed=1), build(w, 0.3)
    samples = []
    for _ in range(3):
        step(first, x, labels)
        samples.append(sampled(first))
    step(other, x, labels)
    assert not np.array_equal(samples[0], sampled(other)) and not np.array_equal(samples[0], samples[1])
    resumed.load_state({"iteration": 2})
    step(resumed, x, labels)
    assert np.array_equal(sampled(resumed), samples[2]) and resumed.state() == first.state() == {"iteration": 3}


def test_a_part_of_a_centre_counts_as_one():
    for classes, rate, count in ((55, 0.1, 6), (50, 0.1, 5), (3, 0.1, 1)):
        shard = SampledShard(0, classes, 2, mx.cpu(), rate)
        shard.sample(np.array([], int), np.random.default_rng(0))
        assert len(shard.sampled) == count


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", [CurricularHead, SubCentreHead, SoftmaxHead])
def test_other_losses_are_themselves_over_the_sampled_classes(kind, shards):
    """Against the same loss in full, of the sampled classes alone; then against where an update leaves all rows."""
    x, _, labels = problem(3)
    contexts = [mx.cpu(i) for i in range(shards)]
    head = kind(CLASSES, SIZE, contexts, sample_rate=0.3)
    random = np.random.default_rng(4)
    layout = {name: random.normal(size=shape).astype(np.float32) for name, shape in head.layout().items()}
    head.load_rows(0, layout)
    head.load_state({"t": 0.4, "iteration": 7})
    loss, gradient = step(head, x, labels)
    chosen = sampled(head)
    assert set(labels) <= set(chosen) and len(chosen) < CLASSES
    rows = (chosen[:, None] * head.rows_per_class + np.arange(head.rows_per_class)).reshape(-1)
    full = kind(len(chosen), SIZE, [mx.cpu(0)])
    full.load_rows(0, {name: array[rows] for name, array in layout.items()})
    full.load_state({"t": 0.4})
    expected = step(full, x, np.searchsorted(chosen, labels))
    assert loss == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=2e-5 * np.abs(expected[1]).max())
    for one in (head, full):
        one.update(0.1, 0.9, 5e-4)
    for name, before in layout.items():
        left, wanted = (
            np.concatenate([arrays[name].asnumpy() for _, _, arrays in one.shards()]) for one in (head, full)
        )
        np.testing.assert_allclose(left[rows], wanted, atol=2e-5 * np.abs(wanted).max(), err_msg=name)
        others = np.setdiff1d(np.arange(len(before)), rows)
        assert (left[others] == before[others]).all(), name
    assert head.state()["iteration"] == 8 and ("t" not in head.state() or head.t == full.t)

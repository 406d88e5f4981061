"""The angular Triplet-Loss against a plain loop, finite differences and autograd."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon import Margin, ShardedMarginHead
from arcface_gluon.losses.triplet import TripletHead, triplet_terms

SIZE = 6


def batch(seed, identities=4, images=3, spread=0.5):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), images)
    centres = random.normal(size=(identities, SIZE))
    return centres[labels] + spread * random.normal(size=(len(labels), SIZE)), labels


def angle(a, b):
    return np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))


def mined(x, labels, margin):
    """Semi-hard triplets by the definition, pair by pair."""
    found = []
    for a in range(len(x)):
        for p in range(len(x)):
            if a == p or labels[a] != labels[p]:
                continue
            own = angle(x[a], x[p])
            others = [(angle(x[a], x[n]), n) for n in range(len(x)) if labels[n] != labels[a]]
            others = [(theta, n) for theta, n in others if own < theta < own + margin]
            if others:
                found.append((a, p, min(others)[1]))
    return found


def loss_of(x, triplets, margin):
    if not triplets:
        return 0.0
    return float(np.mean([max(0.0, angle(x[a], x[p]) + margin - angle(x[a], x[n])) for a, p, n in triplets]))


def call(head, x, labels):
    devices = len(head.contexts)
    xs = [mx.nd.array(part, c, dtype="float32") for part, c in zip(np.array_split(x, devices), head.contexts)]
    loss, gradients = head.forward_backward(xs, np.array_split(labels, len(xs)))
    assert [g.context for g in gradients] == head.contexts and all(g.dtype == np.float32 for g in gradients)
    return loss, np.concatenate([g.asnumpy() for g in gradients])


@given(st.integers(0, 10**6), st.floats(0.05, 1.0), st.floats(0.1, 2.0))
@settings(deadline=None, max_examples=30)
def test_mines_and_sums_what_the_definition_says(seed, margin, spread):
    x, labels = batch(seed, spread=spread)
    expected = mined(x, labels, margin)
    loss, _, count, _ = triplet_terms(x / np.linalg.norm(x, axis=1, keepdims=True), labels, margin)
    assert count == len(expected)
    assert loss == pytest.approx(loss_of(x, expected, margin), abs=1e-12)


@pytest.mark.parametrize("contexts", [1, 3])
def test_gradient_equals_finite_differences(contexts):
    x, labels = batch(1)
    triplets = mined(x, labels, 0.35)
    head = TripletHead(4, SIZE, [mx.cpu(i) for i in range(contexts)])
    loss, gradient = call(head, x, labels)
    assert loss == pytest.approx(loss_of(x, triplets, 0.35), rel=1e-5) and head.triplets == len(triplets) > 5
    numeric, h = np.zeros_like(x), 1e-6
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        # The triplets stay those of x: mining itself has no gradient.
        numeric[place] = (loss_of(up, triplets, 0.35) - loss_of(down, triplets, 0.35)) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5 * np.abs(numeric).max())


def test_gradient_equals_autograd():
    x, labels = batch(2)
    a, p, n = np.array(mined(x, labels, 0.35)).T
    data = mx.nd.array(x, dtype="float64")
    data.attach_grad()
    with mx.autograd.record():
        unit = mx.nd.L2Normalization(data)
        near, far = (mx.nd.arccos(mx.nd.sum(unit[a] * unit[other], axis=1)) for other in (p, n))
        loss = mx.nd.mean(mx.nd.relu(near + 0.35 - far))
    loss.backward()
    value, gradient = call(TripletHead(4, SIZE, [mx.cpu()]), x, labels)
    assert value == pytest.approx(loss.asscalar(), rel=1e-5)
    np.testing.assert_allclose(gradient, data.grad.asnumpy(), atol=1e-6)


def clear(identities, images):
    # Identities at right angles, all images of one the same: every negative is beyond the margin.
    return np.repeat(np.eye(SIZE)[:identities], images, axis=0), np.repeat(np.arange(identities), images)


@pytest.mark.parametrize(
    "x, labels",
    [
        clear(4, 3),
        (np.random.default_rng(0).normal(size=(5, SIZE)), np.zeros(5, int)),  # one identity: no negative
        (np.random.default_rng(0).normal(size=(5, SIZE)), np.arange(5)),  # one image each: no positive
        (np.zeros((4, SIZE)), np.array([0, 0, 1, 1])),  # no direction at all
        (np.ones((1, SIZE)), np.array([0])),
    ],
    ids=["all beyond the margin", "one identity", "one image an identity", "zero embeddings", "one image"],
)
def test_nothing_to_mine_is_zero_without_nan(x, labels):
    head = TripletHead(6, SIZE, [mx.cpu()])
    loss, gradient = call(head, x, labels)
    assert loss == 0 and head.triplets == 0 and not gradient.any()


def test_images_at_angle_0_give_no_nan():
    x, labels = clear(2, 2)
    x[2:, 0] = np.cos(0.2) / np.sin(0.2)  # the second identity 0.2 from the first
    loss, gradient = call(TripletHead(2, SIZE, [mx.cpu()]), x, labels)
    assert loss == pytest.approx(0.35 - 0.2, abs=1e-6) and np.isfinite(gradient).all() and gradient.any()


def test_accuracy_is_the_share_of_pairs_that_hold_the_margin():
    x, labels = clear(3, 2)
    head = TripletHead(3, SIZE, [mx.cpu()])
    call(head, x, labels)
    assert head.accuracy == 1
    x[:2] = x[2]  # the first identity on the second
    call(head, x, labels)
    assert head.accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_beside_a_head_losses_and_gradients_add_up(weight):
    x, labels = batch(3)
    contexts = [mx.cpu(0), mx.cpu(1)]
    alone = TripletHead(4, SIZE, contexts)
    margin_heads = [ShardedMarginHead(4, SIZE, contexts, Margin(1, 0.5, 0)) for _ in range(2)]
    both = TripletHead(4, SIZE, contexts, weight=weight, head=margin_heads[0])
    loss, gradient = call(both, x, labels)
    parts = [call(head, x, labels) for head in (margin_heads[1], alone)]
    assert loss == pytest.approx(parts[0][0] + weight * parts[1][0])
    np.testing.assert_allclose(gradient, parts[0][1] + weight * parts[1][1], rtol=1e-5, atol=1e-7)
    assert both.accuracy == margin_heads[1].accuracy and len(both.target_angles) == len(labels)
    both.update(0.1)
    margin_heads[1].update(0.1)
    rows = [[arrays["weight"].asnumpy() for *_, arrays in head.shards()] for head in (both, margin_heads[1])]
    assert all(np.array_equal(mine, other) for mine, other in zip(*rows))
    assert list(alone.shards()) == []

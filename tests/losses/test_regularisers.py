"""Intra-Loss and Inter-Loss on sharded centres, against the full n x n formula, finite differences and autograd."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import head as reference_head
from head_reference import numeric_gradient, step
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon import Margin, ShardedMarginHead
from arcface_gluon.losses import Inter, Intra
from arcface_gluon.losses import shard as shard_module

CLASSES, SIZE, BATCH = 13, 8, 9


def problem(seed, classes=CLASSES, batch=BATCH):
    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, SIZE)) * random.uniform(0.1, 20, (batch, 1))
    w = random.normal(size=(classes, SIZE)) * random.uniform(0.01, 3, (classes, 1))
    return x, w, random.integers(0, classes, batch)


def unit(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def intra_loss(x, w, labels):
    return float(np.mean(np.arccos(np.sum(unit(x) * unit(w)[labels], axis=1)))) / np.pi


def inter_loss(w, labels):
    angles = np.arccos(np.clip(unit(w) @ unit(w).T, -1, 1))
    np.fill_diagonal(angles, 0)
    return -float(angles[labels].sum()) / (np.pi * len(labels) * (len(w) - 1))


def build(w, shards=1, margin=(1, 0, 0), **terms):
    contexts = [mx.cpu(i) for i in range(shards)]
    head = ShardedMarginHead(len(w), w.shape[1], contexts, Margin(*margin), **terms)
    head.set_centres(w.astype(np.float32))
    return head


def assert_close(value, expected, tolerance=2e-5):
    assert np.abs(value - expected).max() < tolerance * max(np.abs(expected).max(), 1e-12)


@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([(1, 0, 0), (1, 0.5, 0)]), st.floats(0.1, 100))
@settings(deadline=None, max_examples=15)
def test_both_terms_add_their_finite_differences_to_the_softmax(seed, shards, margin, weight):
    x, w, labels = problem(seed)
    head = build(w, shards, margin, intra=Intra(weight), inter=Inter(weight))
    loss, by_x, by_w = step(head, x, labels)
    expected = reference_head(x, w, labels, head.margin, head.scale)
    terms = weight * (intra_loss(x, w, labels) + inter_loss(w, labels))
    assert loss == pytest.approx(expected[0] + terms, rel=1e-5, abs=1e-5)
    assert_close(by_x, expected[1] + weight * numeric_gradient(lambda a: intra_loss(a, w, labels), x, 1e-5))
    both = numeric_gradient(lambda a: intra_loss(x, a, labels) + inter_loss(a, labels), w)
    assert_close(by_w, expected[2] + weight * both)


@pytest.mark.parametrize("shards, block", [(1, 2), (2, 3), (3, 4096), (5, 1)])
def test_inter_is_the_same_for_every_sharding_and_blocking(monkeypatch, shards, block):
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", block)
    x, w, labels = problem(3)
    _, _, plain = step(build(w), x, labels)
    loss, _, by_w = step(build(w, shards, inter=Inter(50.0)), x, labels)
    without = step(build(w, shards), x, labels)
    assert loss - without[0] == pytest.approx(50 * inter_loss(w, labels), abs=1e-4)
    assert_close(by_w - plain, 50 * numeric_gradient(lambda a: inter_loss(a, labels), w), 1e-4)


def test_equals_autograd():
    x, w, labels = problem(4)
    weight = mx.nd.array(w, dtype="float64")
    weight.attach_grad()
    mask = mx.nd.array(1 - np.eye(CLASSES), dtype="float64")[labels]
    with mx.autograd.record():
        units = mx.nd.L2Normalization(weight)
        cosines = mx.nd.dot(units[labels], units, transpose_b=True)
        # The own class, at angle 0, is taken out before arccos, whose derivative there is infinite.
        loss = -mx.nd.sum(mask * mx.nd.arccos(cosines * mask)) / (np.pi * BATCH * (CLASSES - 1))
    loss.backward()
    plain, with_inter = step(build(w, 2), x, labels), step(build(w, 2, inter=Inter(100.0)), x, labels)
    assert (with_inter[0] - plain[0]) / 100 == pytest.approx(loss.asscalar(), rel=1e-4)
    assert_close((with_inter[2] - plain[2]) / 100, weight.grad.asnumpy(), 1e-3)


def test_intra_of_an_embedding_on_its_centre_is_0():
    _, w, labels = problem(5)
    x = 3 * w[labels]
    plain, with_intra = step(build(w), x, labels), step(build(w, intra=Intra()), x, labels)
    assert with_intra[0] - plain[0] == pytest.approx(0, abs=1e-6)
    assert np.isfinite(with_intra[1]).all() and np.isfinite(with_intra[2]).all()


def test_inter_of_orthogonal_centres_is_minus_a_half():
    # All angles are pi/2, so the term is -1/(pi B (n-1)) * B (n-1) pi/2; being at the sines' maximum, the pulls of
    # the others on each centre are at right angles to it and nothing is lost to the radial part.
    w, labels = np.eye(SIZE)[:5], np.array([0, 3, 3])
    x = np.random.default_rng(0).normal(size=(3, SIZE))
    plain, with_inter = step(build(w), x, labels), step(build(w, inter=Inter()), x, labels)
    assert with_inter[0] - plain[0] == pytest.approx(-0.5, abs=1e-5)
    assert_close(with_inter[2] - plain[2], numeric_gradient(lambda a: inter_loss(a, labels), w), 1e-3)


@pytest.mark.parametrize("labels", [np.array([2]), np.array([2, 2, 2])], ids=["one image", "a single identity"])
def test_a_batch_of_a_single_identity(labels):
    x, w, _ = problem(6, batch=len(labels))
    loss, by_x, by_w = step(build(w, 2 if len(labels) > 1 else 1, inter=Inter(), intra=Intra()), x, labels)
    plain = reference_head(x, w, labels, Margin(1, 0, 0), 64)
    assert loss == pytest.approx(plain[0] + intra_loss(x, w, labels) + inter_loss(w, labels), rel=1e-5)
    assert_close(by_w, plain[2] + numeric_gradient(lambda a: intra_loss(x, a, labels) + inter_loss(a, labels), w))


def test_one_class_has_no_other():
    x, w, labels = problem(7, classes=1)
    loss, by_x, by_w = step(build(w, inter=Inter(), intra=Intra()), x, labels)
    assert loss == pytest.approx(intra_loss(x, w, labels), rel=1e-5)
    assert np.isfinite(by_x).all() and np.isfinite(by_w).all()


def test_coinciding_and_opposite_centres_stay_finite():
    x, w, labels = problem(8)
    w[1], w[2] = w[0] * 2, -w[0]
    labels[:3] = 0, 1, 2
    loss, by_x, by_w = step(build(w, 3, inter=Inter(), intra=Intra()), x, labels)
    assert np.isfinite(loss) and np.isfinite(by_x).all() and np.isfinite(by_w).all()


def test_updates_drive_centres_apart():
    # Batch after batch of the Inter-Loss: the mean angle between the centres grows.
    _, w, _ = problem(9)
    w += 4  # crowded into one direction
    head = build(w, 2, inter=Inter(1000.0))
    random, before = np.random.default_rng(0), inter_loss(w, np.arange(CLASSES))
    for _ in range(50):
        step(head, random.normal(size=(BATCH, SIZE)), random.integers(0, CLASSES, BATCH))
        head.update(0.1)
    assert inter_loss(head.centres().astype(np.float64), np.arange(CLASSES)) < 2 * before

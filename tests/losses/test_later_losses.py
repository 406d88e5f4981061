"""Losses after ArcFace: each against its formula in float64, by finite differences, and its limit cases."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import numeric_gradient, step

from arcface_gluon import Margin, ShardedMarginHead
from arcface_gluon.losses import AdaFace, CurricularHead, MagFace, SubCentreHead
from arcface_gluon.losses import shard as shard_module
from arcface_gluon.losses.device_kernels import DeviceKernels
from arcface_gluon.losses.host_kernels import HostKernels

CLASSES, SIZE, BATCH, SCALE = 9, 6, 8, 12.0


@pytest.fixture(autouse=True, params=[HostKernels, DeviceKernels])
def kernels(request, monkeypatch):
    """Every test runs with the kernels of CPUs and with those of GPUs."""
    monkeypatch.setitem(shard_module.KERNELS, "cpu", request.param)


def problem(seed, rows=CLASSES):
    random = np.random.default_rng(seed)
    x = random.normal(size=(BATCH, SIZE))
    x *= random.uniform(5, 130, (BATCH, 1)) / np.linalg.norm(x, axis=1, keepdims=True)
    return x, random.normal(size=(rows, SIZE)) * random.uniform(0.1, 3, (rows, 1)), random.integers(0, CLASSES, BATCH)


def unit(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def cross_entropy(logits, labels):
    top = logits.max(axis=1)
    sums = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float(np.mean(sums - logits[np.arange(len(labels)), labels]))


def assert_close(value, expected, tolerance=3e-5):
    assert np.abs(value - expected).max() < tolerance * np.abs(expected).max()


def check(head, formula, x, w, labels):
    """Loss and both gradients of a head equal the formula's."""
    head.set_centres(w.astype(np.float32))
    loss, by_x, by_w = step(head, x, labels)
    assert loss == pytest.approx(formula(x, w, labels), rel=1e-5)
    assert_close(by_x, numeric_gradient(lambda a: formula(a, w, labels), x, 1e-5))
    assert_close(by_w, numeric_gradient(lambda a: formula(x, a, labels), w))


def contexts(count):
    return [mx.cpu(i) for i in range(count)]


def magface(x, w, labels):
    a = np.clip(np.linalg.norm(x, axis=1), 10, 110)
    logits = unit(x) @ unit(w).T
    m = 0.45 + (0.8 - 0.45) / (110 - 10) * (a - 10)
    rows = np.arange(len(x))
    logits[rows, labels] = np.cos(np.arccos(logits[rows, labels]) + m)
    return cross_entropy(SCALE * logits, labels) + 35 * float(np.mean(a / 110**2 + 1 / a))


@pytest.mark.parametrize("shards", [1, 3])
def test_magface_also_by_the_length(shards):
    x, w, labels = problem(1)
    check(ShardedMarginHead(CLASSES, SIZE, contexts(shards), MagFace(), SCALE), magface, x, w, labels)


def test_magface_of_one_length_is_arcface():
    x, w, labels = problem(2)
    x = 50 * unit(x)
    head = ShardedMarginHead(CLASSES, SIZE, contexts(1), MagFace(lambda_g=0, l_m=0.5, u_m=0.5), SCALE)
    plain = ShardedMarginHead(CLASSES, SIZE, contexts(1), Margin(1, 0.5, 0), SCALE)
    for one in (head, plain):
        one.set_centres(w)
    for mine, other in zip(step(head, x, labels), step(plain, x, labels)):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-7)


def adaface(quality):
    def formula(x, w, labels):
        logits, rows = unit(x) @ unit(w).T, np.arange(len(x))
        theta = np.arccos(logits[rows, labels])
        logits[rows, labels] = np.cos(theta - 0.4 * quality) - 0.4 * (1 + quality)
        return cross_entropy(SCALE * logits, labels)

    return formula


@pytest.mark.parametrize("shards", [1, 3])
def test_adaface_with_the_quality_held_fixed(shards):
    x, w, labels = problem(3)
    lengths = np.clip(np.linalg.norm(x, axis=1), 1e-3, 100)
    mean, std = 0.01 * 20 + 0.99 * lengths.mean(), 0.01 * 100 + 0.99 * lengths.std(ddof=1)
    quality = np.clip(0.333 * (lengths - mean) / (std + 1e-3), -1, 1)
    assert quality.std() > 0.1
    head = ShardedMarginHead(CLASSES, SIZE, contexts(shards), AdaFace(), SCALE)
    check(head, adaface(quality), x, w, labels)
    assert head.state() == pytest.approx({"mean": mean, "std": std}, rel=1e-5)


def test_adaface_of_average_length_is_cosface():
    x, w, labels = problem(4)
    x = 20 * unit(x)
    check(ShardedMarginHead(CLASSES, SIZE, contexts(1), AdaFace(m=0.35), SCALE), adaface_cosface, x, w, labels)


def adaface_cosface(x, w, labels):
    logits = unit(x) @ unit(w).T
    logits[np.arange(len(x)), labels] -= 0.35
    return cross_entropy(SCALE * logits, labels)


def test_adaface_of_one_image_has_no_spread_and_no_nan():
    x, w, labels = problem(5)
    head = ShardedMarginHead(CLASSES, SIZE, contexts(1), AdaFace(), SCALE)
    head.set_centres(w)
    loss, by_x, by_w = step(head, x[:1], labels[:1])
    assert np.isfinite(loss) and np.isfinite(by_x).all() and np.isfinite(by_w).all()


def curricular(t):
    def formula(x, w, labels):
        cosines, rows = unit(x) @ unit(w).T, np.arange(len(x))
        target = np.cos(np.arccos(cosines[rows, labels]) + 0.5)
        logits = np.where(cosines > target[:, None], cosines * (t + cosines), cosines)
        logits[rows, labels] = target
        return cross_entropy(SCALE * logits, labels)

    return formula


@pytest.mark.parametrize("shards, block", [(1, 4096), (3, 2)])
def test_curricularface_with_t_held_fixed(monkeypatch, shards, block):
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", block)
    x, w, labels = problem(6)
    head = CurricularHead(CLASSES, SIZE, contexts(shards), scale=SCALE)
    head.load_state({"t": 0.3})
    mean = float(np.mean(np.sum(unit(x) * unit(w)[labels], axis=1)))
    t = 0.99 * 0.3 + 0.01 * mean
    hard = unit(x) @ unit(w).T > np.cos(np.arccos(np.sum(unit(x) * unit(w)[labels], axis=1)) + 0.5)[:, None]
    assert 5 < hard.sum() < hard.size - 5
    check(head, curricular(t), x, w, labels)
    assert head.state() == {"t": pytest.approx(t)}


def test_curricularface_without_hard_negatives_is_arcface():
    _, w, _ = problem(7)
    w = np.eye(SIZE)
    x, labels = 3 * w + 0.01 * np.random.default_rng(0).normal(size=w.shape), np.arange(SIZE)
    head = CurricularHead(SIZE, SIZE, contexts(2), scale=SCALE)
    plain = ShardedMarginHead(SIZE, SIZE, contexts(2), Margin(1, 0.5, 0), SCALE)
    for one in (head, plain):
        one.set_centres(w)
    for mine, other in zip(step(head, x, labels), step(plain, x, labels)):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def sub_centres(count):
    def formula(x, w, labels):
        logits, rows = (unit(x) @ unit(w).T).reshape(len(x), -1, count).max(axis=2), np.arange(len(x))
        logits[rows, labels] = np.cos(np.arccos(logits[rows, labels]) + 0.5)
        return cross_entropy(SCALE * logits, labels)

    return formula


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shards, block", [(1, 4096), (3, 4), (4, 1)])
def test_sub_centres_of_every_sharding_and_blocking(monkeypatch, count, shards, block):
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", block)
    x, w, labels = problem(8, rows=CLASSES * count)
    labels[:3] = labels[0]  # several images of a class, at the same and at different sub-centres
    head = SubCentreHead(CLASSES, SIZE, contexts(shards), sub_centres=count, scale=SCALE)
    check(head, sub_centres(count), x, w, labels)


def test_sub_centres_move_and_load_by_class():
    x, w, labels = problem(9, rows=CLASSES * 3)
    source = SubCentreHead(CLASSES, SIZE, contexts(4), sub_centres=3, scale=SCALE)
    source.set_centres(w)
    step(source, x, labels)
    source.update(0.1)
    assert not np.allclose(source.centres(), w)
    target = SubCentreHead(CLASSES, SIZE, contexts(2), sub_centres=3, scale=SCALE)
    for start, stop, arrays in source.shards():
        assert arrays["weight"].shape[0] == 3 * (stop - start)
        target.load_rows(start, arrays)
    assert np.array_equal(target.centres(), source.centres())


def numeric(function, x, step=1e-4):
    return (function(x + step) - function(x - step)) / (2 * step)


def test_magface_has_no_gradient_by_lengths_outside_of_its_bounds():
    """Loss term and margin by the length, at lengths below, within and above [10, 110]."""
    margin, theta, lengths = MagFace(), np.full(4, 0.7), np.array([5.0, 10.5, 109.0, 130.0])
    _, _, by_length, _, term_by_length = margin(theta, lengths)
    np.testing.assert_allclose(by_length, numeric(lambda a: margin(theta, a)[0], lengths), atol=1e-8)
    np.testing.assert_allclose(term_by_length, numeric(lambda a: margin(theta, a)[3], lengths), atol=1e-8)
    assert (by_length != 0).tolist() == (term_by_length != 0).tolist() == [False, True, True, False]


def test_adaface_has_no_gradient_where_the_angle_is_clipped():
    margin, z = AdaFace(), np.array([1.0, 1.0, -1.0, -1.0])
    theta = np.array([0.3, 0.5, np.pi - 0.5, np.pi - 0.3])  # less z m = 0.4: below 0, within, within, above pi
    value, slope = margin.at_quality(theta, z)
    np.testing.assert_allclose(slope, numeric(lambda t: margin.at_quality(t, z)[0], theta), atol=1e-8)
    assert (slope != 0).tolist() == [False, True, True, False]

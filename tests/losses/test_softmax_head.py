"""Plain softmax with bias over sharded identities, against float64 NumPy, finite differences and autograd."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import numeric_gradient, step

from arcface_gluon.losses import SoftmaxHead
from arcface_gluon.losses import shard as shard_module
from arcface_gluon.losses.device_kernels import DeviceKernels
from arcface_gluon.losses.host_kernels import HostKernels

CLASSES, SIZE, BATCH = 11, 6, 9


@pytest.fixture(autouse=True, params=[HostKernels, DeviceKernels])
def kernels(request, monkeypatch):
    """Every test runs with the kernels of CPUs and with those of GPUs."""
    monkeypatch.setitem(shard_module.KERNELS, "cpu", request.param)


def problem(seed, classes=CLASSES, batch=BATCH):
    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, SIZE)) * random.uniform(0.1, 5, (batch, 1))
    w, b = random.normal(size=(classes, SIZE)), random.normal(size=classes)
    return x, w, b, random.integers(0, classes, batch)


def loss_of(x, w, b, labels):
    logits = x @ w.T + b
    top = logits.max(axis=1)
    return float(np.mean(np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(x)), labels]))


def build(w, b, shards=1):
    head = SoftmaxHead(len(w), SIZE, [mx.cpu(i) for i in range(shards)])
    head.load_rows(0, {"weight": w.astype(np.float32), "bias": b.astype(np.float32)[:, None]})
    return head


def assert_close(value, expected, tolerance=1e-5):
    assert np.abs(value - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("shards", [1, 2, 5])
@pytest.mark.parametrize("block", [3, 4096])
def test_loss_and_gradients_equal_finite_differences(monkeypatch, shards, block):
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", block)
    x, w, b, labels = problem(1)
    loss, by_x, by_w = step(build(w, b, shards), x, labels)
    assert loss == pytest.approx(loss_of(x, w, b, labels), rel=1e-5)
    assert_close(by_x, numeric_gradient(lambda a: loss_of(a, w, b, labels), x))
    assert_close(by_w[:, :SIZE], numeric_gradient(lambda a: loss_of(x, a, b, labels), w))
    assert_close(by_w[:, SIZE], numeric_gradient(lambda a: loss_of(x, w, a, labels), b))


def test_equals_autograd():
    x, w, b, labels = problem(2)
    data, weight, bias = (mx.nd.array(a, dtype="float64") for a in (x, w, b))
    for array in (data, weight, bias):
        array.attach_grad()
    with mx.autograd.record():
        logits = mx.nd.FullyConnected(data, weight, bias, num_hidden=CLASSES)
        loss = mx.nd.mean(mx.gluon.loss.SoftmaxCrossEntropyLoss()(logits, mx.nd.array(labels)))
    loss.backward()
    value, by_x, by_w = step(build(w, b, 3), x, labels)
    assert value == pytest.approx(loss.asscalar(), rel=1e-5)
    assert_close(by_x, data.grad.asnumpy())
    assert_close(by_w, np.c_[weight.grad.asnumpy(), bias.grad.asnumpy()])


@pytest.mark.parametrize("shards", [1, 4])
def test_updates_are_those_of_sgd(shards):
    x, w, b, labels = problem(3)
    head, both, momenta = build(w, b, shards), np.c_[w, b], 0.0
    for _ in range(4):
        step(head, x, labels)
        head.update(0.5, momentum=0.9, wd=5e-4)
        gradient = numeric_gradient(lambda a: loss_of(x, a[:, :SIZE], a[:, SIZE], labels), both)
        momenta = 0.9 * momenta - 0.5 * (gradient + 5e-4 * both)
        both = both + momenta
    assert_close(head.centres(), both[:, :SIZE])
    assert_close(head.biases(), both[:, SIZE])


def test_accuracy_is_by_the_logits():
    x, w, b, labels = problem(4, batch=60)
    head = build(w, b, 2)
    step(head, x, labels)
    assert head.accuracy == pytest.approx(np.mean((x @ w.T + b).argmax(axis=1) == labels))
    assert len(head.target_angles) == 0


@pytest.mark.parametrize("shards", [1, 3])
def test_rows_of_four_shards_load_into_any_number(shards):
    x, w, b, labels = problem(5)
    source = build(w, b, 4)
    step(source, x, labels)
    source.update(0.1)
    target = build(np.ones_like(w), b * 0, shards)
    for start, _, arrays in source.shards():
        assert set(arrays) == {"weight", "momentum", "bias", "bias_momentum"}
        target.load_rows(start, {name: array.asnumpy() for name, array in arrays.items()})
    for head in (source, target):
        step(head, x, labels)
        head.update(0.1)
    assert_close(target.centres(), source.centres())
    assert_close(target.biases(), source.biases())


def test_one_class_costs_nothing():
    x, w, b, labels = problem(6, classes=1)
    loss, by_x, by_w = step(build(w, b), x, labels)
    assert loss == 0 and not by_x.any() and not by_w.any()


def test_centres_begin_as_those_of_the_margin_head_and_biases_at_0():
    head = SoftmaxHead(50, SIZE, [mx.cpu(0), mx.cpu(1)], seed=3)
    assert head.centres().shape == (50, SIZE) and head.centres().std() == pytest.approx(0.01, rel=0.1)
    assert not head.biases().any()

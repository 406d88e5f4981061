"""Every loss over two processes (here: threads that exchange arrays) equals the same loss in one process."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from ranks import in_ranks

from arcface_gluon import recipe
from arcface_gluon.losses import build_head
from arcface_gluon.parallel.process_group import ProcessGroup

CLASSES, SIZE, DEVICES = 11, 6, 2


def train(loss, x, labels, smoothing=0.0, steps=2, group=None, contexts=DEVICES):
    """Losses and input gradients of some steps on this process's images, and its shards afterwards."""
    devices = [mx.cpu(i) for i in range(contexts)]
    values = recipe.resolve("casia_r50", [f"loss={loss}", "head.scale=16", f"head.label_smoothing={smoothing}"])
    head = build_head(values.head, CLASSES, SIZE, devices, values.seed, group and group(devices))
    found = []
    for step in range(steps):
        parts = [mx.nd.array(part, c) for part, c in zip(np.array_split(x + step, contexts), devices)]
        value, gradients = head.forward_backward(parts, np.array_split(labels, contexts))
        head.update(0.1)
        found.append((value, np.concatenate([g.asnumpy() for g in gradients])))
    return found, {start: arrays["weight"].asnumpy() for start, _, arrays in head.shards()}, head.state()


LOSSES = sorted(set(recipe.losses()) - {"arcface-0.4", "arcface-0.45", "arcface-0.55", "cm2"})


@pytest.mark.parametrize("loss, smoothing", [*((loss, 0.0) for loss in LOSSES), ("ns-inter", 0.1), ("softmax", 0.1)])
def test_two_processes_are_one(loss, smoothing):
    x = np.random.default_rng(0).normal(size=(16, SIZE)).astype(np.float32) * 8
    labels = np.repeat([0, 3, 7, 10], 4)
    expected, centres, state = train(loss, x, labels, smoothing, contexts=2 * DEVICES)

    def one(processes):
        own = slice(8 * processes.rank, 8 * processes.rank + 8)
        return train(loss, x[own], labels[own], smoothing, group=lambda devices: ProcessGroup(devices, processes))

    results = in_ranks(2, one)
    for step, (value, gradient) in enumerate(expected):
        both = [results[rank][0][step] for rank in range(2)]
        assert both[0][0] == both[1][0] == pytest.approx(value, rel=1e-5)
        np.testing.assert_allclose(
            np.concatenate([both[0][1], both[1][1]]), gradient, atol=2e-5 * max(np.abs(gradient).max(), 1e-3)
        )
    shards = {**results[0][1], **results[1][1]}
    assert set(shards) == set(centres)
    for start, weight in centres.items():
        np.testing.assert_allclose(shards[start], weight, atol=1e-5)
    assert results[0][2] == results[1][2] == pytest.approx(state)

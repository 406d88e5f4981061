"""Label smoothing against an unsharded float64 reference, autograd of the plain formula, and differences."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from head_reference import by_autograd, numeric_gradient, step
from head_reference import head as reference

from arcface_gluon import Margin, ShardedMarginHead, recipe
from arcface_gluon.errors import UserError
from arcface_gluon.losses import SoftmaxHead, build_head
from arcface_gluon.losses import shard as shard_module
from arcface_gluon.losses.adaptive import MagFace
from arcface_gluon.losses.device_kernels import DeviceKernels
from arcface_gluon.losses.host_kernels import HostKernels
from arcface_gluon.losses.regularisers import Inter, Intra

BATCH, CLASSES, SIZE, SHARE = 14, 23, 16, 0.1


def problem(seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(BATCH, SIZE)) * random.uniform(0.5, 20, (BATCH, 1))
    w = random.normal(size=(CLASSES, SIZE)) * random.uniform(0.1, 3, (CLASSES, 1))
    return x.astype(np.float32), w.astype(np.float32), random.integers(0, CLASSES, BATCH)


def build(w, shards=1, kind=ShardedMarginHead, **options):
    head = kind(len(w), w.shape[1], [mx.cpu(i) for i in range(shards)], **options)
    head.set_centres(w)
    return head


def near(value, expected, tolerance=1e-5):
    return np.abs(value - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kernels", [HostKernels, DeviceKernels])
@pytest.mark.parametrize("options", [{}, {"block_rows": 4}])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("margin", [(1, 0.5, 0), (1, 0, 0.35)])
def test_equals_the_reference_over_shards_and_blocks(monkeypatch, shards, options, kernels, margin):
    monkeypatch.setitem(shard_module.KERNELS, "cpu", kernels)
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", 5)
    x, w, labels = problem()
    margin = Margin(*margin)
    head = build(w, shards, margin=margin, scale=32.0, label_smoothing=SHARE, **options)
    loss, gradient, by_centre = step(head, x, labels)
    expected = reference(x, w, labels, margin, 32.0, SHARE)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert near(gradient, expected[1]) and near(by_centre, expected[2])
    # The term is there, and it is no small one.
    assert not near(gradient, reference(x, w, labels, margin, 32.0)[1], 0.01)


def test_equals_autograd_of_the_plain_formula():
    x, w, labels = problem(1)
    loss, gradient, by_centre = step(build(w, 2, label_smoothing=SHARE), x, labels)
    expected = by_autograd(x, w, labels, (1, 0.5, 0), 64, SHARE)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert near(gradient, expected[1]) and near(by_centre, expected[2])


def test_the_plain_softmax_is_smoothed_too():
    x, w, labels = problem(2)
    x, w = x / 10, w / 2
    bias = np.random.default_rng(3).normal(size=(CLASSES, 1)).astype(np.float32)
    data, weight, biases = (mx.nd.array(a, dtype="float64") for a in (x, w, bias))
    for array in (data, weight):
        array.attach_grad()
    with mx.autograd.record():
        logits = mx.nd.broadcast_add(mx.nd.dot(data, weight, transpose_b=True), biases.T)
        own = mx.nd.one_hot(mx.nd.array(labels), CLASSES, dtype="float64") * (1 - SHARE) + SHARE / CLASSES
        loss = -mx.nd.mean(mx.nd.sum(own * mx.nd.log_softmax(logits), axis=1))
    loss.backward()
    head = build(w, 2, SoftmaxHead, label_smoothing=SHARE, block_rows=4)
    head.load_rows(0, {"bias": bias})
    value, gradient, by_centre = step(head, x, labels)
    assert value == pytest.approx(loss.asscalar(), rel=1e-5)
    assert near(gradient, data.grad.asnumpy()) and near(by_centre[:, :SIZE], weight.grad.asnumpy())


def test_a_margin_of_lengths_has_its_share_in_the_gradient_by_length():
    x, w, labels = problem(4)
    x, labels, margin, rows = x[:3].astype(np.float64), labels[:3], MagFace(l_a=1, u_a=90, lambda_g=0), np.arange(3)

    def formula(x):
        lengths, units = np.linalg.norm(x, axis=1), w / np.linalg.norm(w, axis=1, keepdims=True).astype(np.float64)
        cosines = x / lengths[:, None] @ units.T
        cosines[rows, labels] = margin(np.arccos(cosines[rows, labels]), lengths)[0]
        entropies = np.log(np.exp(8 * cosines).sum(axis=1, keepdims=True)) - 8 * cosines
        return np.mean((1 - SHARE) * entropies[rows, labels] + SHARE * entropies.mean(axis=1))

    loss, gradient, _ = step(build(w, 2, margin=margin, scale=8.0, label_smoothing=SHARE), x, labels)
    assert loss == pytest.approx(formula(x), rel=1e-5)
    assert near(gradient, numeric_gradient(formula, x), 1e-4)


def test_goes_with_the_other_terms():
    x, w, labels = problem(6)
    terms = {"intra": Intra(), "inter": Inter()}
    smooth, both, neither = (
        step(build(w, 2, scale=8.0, **options), x, labels)
        for options in ({"label_smoothing": SHARE}, {"label_smoothing": SHARE, **terms}, {})
    )
    alone = step(build(w, 2, scale=8.0, **terms), x, labels)
    for part in range(3):
        assert near(both[part] + neither[part], smooth[part] + alone[part], 1e-5)


def test_sampled_centres_are_the_classes_of_the_step():
    x, w, labels = problem(5)
    head = build(w, 1, sample_rate=0.7, label_smoothing=SHARE)
    loss, gradient, by_centre = step(head, x, labels)
    sampled = head._shards[0].sampled
    assert len(sampled) < CLASSES
    expected = reference(x, w[sampled], np.searchsorted(sampled, labels), Margin(1, 0.5, 0), 64.0, SHARE)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert near(gradient, expected[1]) and near(by_centre[sampled], expected[2])
    assert not np.delete(by_centre, sampled, axis=0).any()


def head_of(*overrides):
    values = recipe.resolve("casia_r50", overrides)
    return build_head(values.head, CLASSES, SIZE, [mx.cpu()], values.seed)


def test_a_recipe_sets_it_whatever_the_loss():
    for loss in ("arcface", "softmax", "ns-inter", "adaface", "arcface-triplet"):
        inner = head_of(f"loss={loss}", "head.label_smoothing=0.1")
        assert getattr(inner, "head", inner).smoothing.share == 0.1
    assert head_of().smoothing is None


@pytest.mark.parametrize(
    "overrides, words",
    [
        (("loss=triplet", "head.label_smoothing=0.1"), "head.kind=triplet alone has none"),
        (("loss=curricularface", "head.label_smoothing=0.1"), "CurricularHead has not; set it to 0"),
        (("loss=sub-centre", "head.label_smoothing=0.1"), "SubCentreHead has not; set it to 0"),
        (("head.label_smoothing=1",), "at least 0 and below 1"),
    ],
)
def test_refused_in_one_line(overrides, words):
    with pytest.raises(UserError, match=words):
        head_of(*overrides)

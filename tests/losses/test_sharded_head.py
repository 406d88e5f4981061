"""The sharded head against an unsharded float64 reference, autograd of the plain formula, and itself."""

from __future__ import annotations

from importlib.util import find_spec

import mxnet as mx
import numpy as np
import pytest
from head_reference import by_autograd
from head_reference import head as reference_head
from head_reference import update as reference_update
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon import Margin, ShardedMarginHead
from arcface_gluon.errors import UserError
from arcface_gluon.losses import host_kernels
from arcface_gluon.losses import shard as shard_module
from arcface_gluon.losses.compiled_kernels import CompiledKernels
from arcface_gluon.losses.device_kernels import DeviceKernels
from arcface_gluon.losses.host_kernels import HostKernels
from arcface_gluon.losses.interfaces import SGD

BATCH, CLASSES, SIZE = 10, 23, 16
NO_NUMBA = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
KERNELS = [HostKernels, DeviceKernels, pytest.param(CompiledKernels, marks=NO_NUMBA)]
MARGINS = [(1, 0, 0), (1, 0.5, 0), (1.35, 0, 0), (1, 0, 0.35), (1, 0.3, 0.2), (0.9, 0.4, 0.15)]


def problem(seed, batch=BATCH, classes=CLASSES, size=SIZE):
    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, size)) * random.uniform(0.1, 20, (batch, 1))
    w = random.normal(size=(classes, size)) * random.uniform(0.01, 3, (classes, 1))
    return x.astype(np.float32), w.astype(np.float32), random.integers(0, classes, batch)


def build(w, shards=1, margin=(1, 0.5, 0), scale=64.0, boundary="literal", **options):
    contexts = [mx.cpu(i) for i in range(shards)]
    head = ShardedMarginHead(len(w), w.shape[1], contexts, Margin(*margin, boundary=boundary), scale, **options)
    head.set_centres(w)
    return head


def step(head, x, labels):
    """forward_backward on slices as equal as they get; gradient of the whole batch."""
    xs = [mx.nd.array(part, ctx=ctx) for part, ctx in zip(np.array_split(x, len(head.contexts)), head.contexts)]
    loss, gradients = head.forward_backward(xs, np.array_split(labels, len(xs)))
    assert [g.context for g in gradients] == head.contexts
    return loss, np.concatenate([g.asnumpy() for g in gradients])


def in_small_blocks(monkeypatch, classes):
    """Blocks of a few classes, each in parts of a few rows, on several threads."""
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", classes)
    monkeypatch.setattr(host_kernels, "CENTRE_ROWS", 2)
    monkeypatch.setattr(host_kernels, "LOGIT_BYTES", 24)
    monkeypatch.setattr(host_kernels, "WORTH_A_THREAD", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")


def difference(value, expected):
    """Largest difference relative to the largest expected value."""
    return np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-12)


def assert_matches(head, x, w, labels, tolerance=1e-5):
    loss, gradient = step(head, x, labels)
    expected = reference_head(x, w, labels, head.margin, head.scale)
    assert loss == pytest.approx(expected[0], rel=tolerance, abs=tolerance)
    assert difference(gradient, expected[1]) < tolerance
    assert difference(head.centre_gradients(), expected[2]) < tolerance


@given(
    st.integers(0, 10**6),
    st.tuples(st.floats(0.5, 1.6), st.floats(0, 0.8), st.floats(0, 0.5)),
    st.sampled_from(["literal", "monotone"]),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=25)
def test_loss_and_gradients_equal_the_reference_for_any_margin(seed, margin, boundary, shards):
    # Logits up to 64 in float32 are rounded by up to 4e-6, which is what the gradient of a saturated softmax is wrong
    # by: of 600 draws with margin (0.5, 0, 0) one missed 1e-5 (1.1e-5), of as many with (1, 0.5, 0) none 4e-6.
    x, w, labels = problem(seed)
    assert_matches(build(w, shards, margin, boundary=boundary), x, w, labels)


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("block", [3, 4096])
def test_every_sharding_and_blocking_equals_the_reference(monkeypatch, shards, block):
    in_small_blocks(monkeypatch, block)
    x, w, labels = problem(1, batch=14)
    assert_matches(build(w, shards), x, w, labels)


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_kernels_of_gpus_agree(monkeypatch, kernels):
    monkeypatch.setitem(shard_module.KERNELS, "cpu", kernels)
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", 5)
    x, w, labels = problem(15)
    assert_matches(build(w, 2), x, w, labels)
    assert_matches(build(w, 1, block_rows=4), x, w, labels)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("kernels", [HostKernels, pytest.param(CompiledKernels, marks=NO_NUMBA)])
def test_an_update_leaves_the_norms_that_a_run_which_resumes_measures(kernels, nesterov):
    chance, rule, passes = np.random.default_rng(0), SGD(0.1, 0.9, 5e-4, nesterov), kernels(mx.cpu())
    for size in (*range(1, 70), 127, 128, 250, 512):
        weight, gradient, momentum = chance.standard_normal((3, 40, size)).astype(np.float32)
        kept, measured = np.ones((2, 40, 1), np.float32)
        passes.measure(weight, kept)
        passes.sgd(weight, gradient, momentum, kept, rule, True)
        passes.measure(weight, measured)
        np.testing.assert_array_equal(kept, measured)


@pytest.mark.parametrize("block", [1, 4, 23, 100])
@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7])
def test_softmax_in_blocks_equals_the_reference(shards, block):
    x, w, labels = problem(14)
    head = build(w, shards, block_rows=block)
    assert_matches(head, x, w, labels)
    head.update(0.1, 0.9, 5e-4)
    _, _, gradient = reference_head(x, w, labels, head.margin, head.scale)
    expected, _ = reference_update(w.astype(np.float64), np.zeros(w.shape), gradient, 0.1, 0.9, 5e-4)
    assert difference(head.centres(), expected) < 1e-5


@pytest.mark.parametrize("boundary", ["literal", "monotone"])
@pytest.mark.parametrize("angle", [1e-2, 0.1, 3.0, np.pi - 0.1, np.pi - 1e-2])
def test_target_angles_near_0_and_pi(angle, boundary):
    x, w, labels = problem(2)
    place_at_angle(x, w, labels, angle)
    head = build(w, 2, boundary=boundary)
    assert_matches(head, x, w, labels)
    np.testing.assert_allclose(head.target_angles, angle, rtol=2e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_angles_of_exactly_0_and_pi_stay_finite(sign):
    x, w, labels = problem(3)
    x[:] = sign * 3 * w[labels]
    head = build(w, 2)
    loss, gradient = step(head, x, labels)
    assert np.isfinite(loss) and np.isfinite(gradient).all() and np.isfinite(head.centre_gradients()).all()


def test_scale_64_neither_overflows_nor_underflows():
    # All the centres on one line: logits are +64 and -64 only.
    direction = np.ones((1, SIZE), np.float32)
    w = np.where(np.arange(CLASSES)[:, None] % 3 == 0, direction, -direction)
    x = np.concatenate([direction, -direction]).repeat(3, axis=0) * np.float32(7)
    labels = np.array([0, 1, 2, 0, 1, 2])
    w[labels] += np.random.default_rng(0).normal(size=(6, SIZE)).astype(np.float32) * 0.1
    assert_matches(build(w, 3), x, w, labels)


def test_a_log_sum_exp_hidden_from_the_first_logits_is_found():
    # The logits looked at first are all -64, those of the same block that make the softmax are all +64.
    x, w, labels = problem(12, classes=40)
    w *= 0.02
    w[:20] -= x[0] / np.linalg.norm(x[0])
    w[20:] += x[0] / np.linalg.norm(x[0])
    labels[:] = np.arange(BATCH) + 25
    x[1:] = x[0] + 0.01 * x[1:]
    assert_matches(build(w, 1), x, w, labels)


def test_zero_embedding_and_zero_centre_stay_finite():
    x, w, labels = problem(4)
    x[0] = 0
    w[labels[1]] = 0
    head = build(w)
    loss, gradient = step(head, x, labels)
    assert np.isfinite(loss) and np.isfinite(gradient).all() and np.isfinite(head.centre_gradients()).all()


@pytest.mark.parametrize("margin", MARGINS)
def test_equals_autograd_of_the_plain_formula(margin):
    x, w, labels = problem(5)
    expected = by_autograd(x, w, labels, margin, 64)
    head = build(w, 3, margin)
    value, gradient = step(head, x, labels)
    assert value == pytest.approx(expected[0], rel=1e-5)
    assert difference(gradient, expected[1]) < 1e-5
    assert difference(head.centre_gradients(), expected[2]) < 1e-5


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shards", [1, 3, 7])
def test_updates_follow_the_reference(monkeypatch, shards, kernels, nesterov):
    monkeypatch.setitem(shard_module.KERNELS, "cpu", kernels)
    in_small_blocks(monkeypatch, 4)
    _, w, _ = problem(6)
    head, expected, momenta = build(w, shards), w.astype(np.float64), np.zeros(w.shape)
    for iteration in range(6):
        x, _, labels = problem(100 + iteration, batch=7 + iteration % 3)
        loss, _ = step(head, x, labels)
        reference_loss, _, gradient = reference_head(x, expected, labels, head.margin, head.scale)
        assert loss == pytest.approx(reference_loss, rel=1e-5)
        lr = 0.1 / (1 + iteration)
        assert head.gradient_square() == pytest.approx(np.square(gradient).sum(), rel=1e-4)
        head.update(lr, momentum=0.9, wd=5e-4, nesterov=nesterov)
        expected, momenta = reference_update(expected, momenta, gradient, lr, 0.9, 5e-4, nesterov)
    assert difference(head.centres(), expected) < 1e-5
    stored = np.concatenate([arrays["momentum"].asnumpy() for _, _, arrays in head.shards()])
    assert difference(stored, momenta) < 1e-5


def test_accuracy_and_angles_leave_the_margin_out():
    x, w, labels = problem(7, batch=40)
    head = build(w, 3)
    step(head, x, labels)
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    assert head.accuracy == pytest.approx(np.mean(cosines.argmax(axis=1) == labels))
    np.testing.assert_allclose(head.target_angles, np.arccos(cosines[np.arange(40), labels]), rtol=1e-4)


def test_repeats_bit_for_bit_and_initial_centres_do_not_depend_on_the_sharding(monkeypatch):
    heads = [ShardedMarginHead(2100, 8, [mx.cpu(i) for i in range(n)], seed=5) for n in (1, 1, 3)]
    assert np.array_equal(heads[0].centres(), heads[2].centres())
    assert heads[0].centres().std() == pytest.approx(0.01, rel=0.02)
    assert not np.array_equal(heads[0].centres(), ShardedMarginHead(2100, 8, [mx.cpu()], seed=6).centres())
    x = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    for head in heads[:2]:
        step(head, x, np.arange(6) * 300)
        head.update(0.1)
    assert np.array_equal(heads[0].centres(), heads[1].centres())


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_rows_of_four_shards_load_into_any_number(shards):
    x, w, labels = problem(8)
    source = build(w, 4)
    step(source, x, labels)
    source.update(0.1, 0.9, 5e-4)
    target = build(np.ones_like(w), shards)
    for start, _, arrays in source.shards():
        target.load_rows(start, {name: array.asnumpy() for name, array in arrays.items()})
    for head in (source, target):
        step(head, x, labels)
        head.update(0.1, 0.9, 5e-4)
    assert difference(target.centres(), source.centres()) < 1e-6
    if shards == 4:
        assert np.array_equal(target.centres(), source.centres())


def test_may_be_called_while_autograd_records():
    x, w, labels = problem(13)
    head = build(w, 2)
    expected = step(head, x, labels)
    with mx.autograd.record():
        loss, gradient = step(head, x, labels)
    assert loss == expected[0] and np.array_equal(gradient, expected[1])


def test_float16_embeddings_get_float16_gradients():
    x, w, labels = problem(9)
    head = build(w)
    loss, gradients = head.forward_backward([mx.nd.array(x, dtype="float16")], [labels])
    assert gradients[0].dtype == np.float16
    expected = reference_head(x.astype(np.float16), w, labels, head.margin, head.scale)
    assert loss == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("label", [CLASSES, -1, 2.5, float("nan")])
@pytest.mark.parametrize("kind", [ValueError, UserError])
def test_a_label_no_shard_owns_is_named(label, kind):
    x, w, labels = problem(10)
    labels = labels.astype(np.float64)
    labels[3] = label
    with pytest.raises(kind, match=f"label no shard owns: {label:g}"):
        step(build(w, 2), x, labels)


def test_a_step_that_a_later_one_overwrote_is_refused():
    x, w, labels = problem(11)
    head = build(w)
    step(head, x, labels)
    stale = head._gradients[0]
    step(head, x, labels)
    with pytest.raises(RuntimeError, match="overwrote"):
        stale.apply(SGD(0.1, 0.9, 0))
    with pytest.raises(RuntimeError, match="overwrote"):
        next(stale.blocks())


def test_misuse_is_refused():
    x, w, labels = problem(11)
    head = build(w, 2)
    with pytest.raises(RuntimeError, match="update"):
        head.update(0.1)
    with pytest.raises(ValueError, match="2 contexts, 1 embeddings"):
        head.forward_backward([mx.nd.array(x)], [labels])
    with pytest.raises(ValueError, match="as NumPy arrays"):
        head.forward_backward([mx.nd.array(x)] * 2, [mx.nd.array(labels)] * 2)
    with pytest.raises(ValueError, match="must be"):
        step(head, x[:, :3], labels)
    with pytest.raises(ValueError, match="shape"):
        head.set_centres(w[1:])
    with pytest.raises(ValueError, match="does not fit"):
        head.load_rows(CLASSES - 1, {"weight": w[:2]})
    with pytest.raises(UserError, match="3 identities cannot be split over 4"):
        ShardedMarginHead(3, 8, [mx.cpu(i) for i in range(4)])
    with pytest.raises(UserError, match="2\\^31"):
        ShardedMarginHead(5_000_000, 512, [mx.cpu()])
    with pytest.raises(UserError, match="block_rows=-1"):
        build(w, block_rows=-1)
    with pytest.raises(UserError, match="sample_rate=1.5"):
        build(w, sample_rate=1.5)


def place_at_angle(x, w, labels, angle):
    """Turn each embedding to `angle` from its class centre, in float64 before the rounding."""
    for i, label in enumerate(labels):
        centre = w[label].astype(np.float64) / np.linalg.norm(w[label].astype(np.float64))
        side = x[i] - (x[i] @ centre) * centre
        x[i] = 5 * (np.cos(angle) * centre + np.sin(angle) * side / np.linalg.norm(side))


@pytest.mark.parametrize("block, products", [(100, 1), (8, 6)])
def test_a_gradient_asked_for_its_length_is_made_once_where_there_is_one_block(monkeypatch, block, products):
    monkeypatch.setitem(shard_module.BLOCK_CLASSES, "cpu", block)
    x, w, labels = problem(16)
    heads, made = [build(w), build(w)], []
    for head in heads:
        step(head, x, labels)
    for part in heads[0]._shards[0].workspace.products:
        monkeypatch.setattr(part, "to_gradient", lambda made=made, run=part.to_gradient: (made.append(1), run()))
    heads[0].gradient_square()
    for head in heads:
        head.update(0.1, 0.9, 5e-4)
    assert len(made) == products
    assert np.array_equal(heads[0].centres(), heads[1].centres())

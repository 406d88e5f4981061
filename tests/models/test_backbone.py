"""What all networks share: input, precision, initialisation, choice of PReLU form, hybridisation."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from small_networks import TINY, images, randomise

from arcface_gluon.models import get_model
from arcface_gluon.models.backbone import Backbone

SIZE = TINY["input_size"]


def operators(symbol):
    return [node["op"] for node in json.loads(symbol.tojson())["nodes"]]


def test_uint8_and_float_images_give_the_same_embeddings(tiny):
    pixels = images(3, SIZE)
    from_bytes = tiny(mx.nd.array(pixels, dtype="uint8"))
    assert from_bytes.shape == (3, 16) and from_bytes.dtype == np.float32
    np.testing.assert_array_equal(from_bytes.asnumpy(), tiny(mx.nd.array(pixels, dtype="float32")).asnumpy())


def test_pixels_are_normalised_as_in_the_reference(tiny):
    seen = {}
    original = tiny.features
    tiny.features = lambda F, x: seen.setdefault("x", x) is not None and original(F, x)
    tiny(mx.nd.array(images(2, SIZE), dtype="uint8"))
    expected = (images(2, SIZE).astype(np.float64) - 127.5) * 0.0078125
    np.testing.assert_array_equal(seen["x"].asnumpy(), expected)


def test_prelu_is_native_in_symbols_and_not_on_cpu(tiny):
    tiny.hybridize()
    batch = mx.nd.array(images(2, SIZE), dtype="uint8")
    before = tiny(batch).asnumpy()
    traced = tiny._cached_graph[1]
    assert "LeakyReLU" not in operators(traced)
    assert operators(tiny(mx.sym.var("data"))).count("LeakyReLU") == 6
    assert tiny._cached_graph[1] is traced  # building the symbol did not throw the trace away
    np.testing.assert_array_equal(tiny(batch).asnumpy(), before)


def assert_same_step(got, want):
    """Embeddings, gradients and statistics of a step that rounds otherwise.

    A single activation within rounding of PReLU's kink may take the other slope, which moves gradients by a few per
    cent of their largest entry; aliased or stale memory moves them by far more. Entries below 1e-4 are zero but for
    rounding (parameters in front of a BatchNorm).
    """
    assert got.keys() == want.keys()
    for name, value in want.items():
        atol = 1e-4 + 0.05 * np.abs(value).max()
        np.testing.assert_allclose(got[name], value, rtol=0, atol=atol, err_msg=name)


def step(net, batches, upstream, contexts, forward=None):
    """One forward and backward pass; name -> array of what it leaves on every context."""
    with autograd.record():
        outs = [(forward or net)(mx.nd.array(b, ctx=c, dtype="uint8")) for b, c in zip(batches, contexts)]
    autograd.backward(outs, [mx.nd.array(u, ctx=c) for u, c in zip(upstream, contexts)])
    left = {f"out {c}": out.asnumpy() for c, out in zip(contexts, outs)}
    for name, parameter in net._collect_params_with_prefix().items():
        for c in contexts:
            value = parameter.data(c) if parameter.grad_req == "null" else parameter.grad(c)
            left[f"{name} {c}"] = value.asnumpy()
    return left


def test_both_prelu_forms_train_alike():
    nets = [randomise(get_model("r18", dropout=0.0, **TINY)) for _ in range(2)]
    nets[1]._set_native(True)
    batches, upstream = [images(4, SIZE)], [np.random.default_rng(2).normal(0, 1, (4, 16))]
    contexts = [mx.cpu(0)]
    composed = step(nets[0], batches, upstream, contexts)
    # Past the choice that the device would make.
    native = step(nets[1], batches, upstream, contexts, forward=super(Backbone, nets[1]).forward)
    assert nets[1].relu0.native and not nets[0].relu0.native
    assert_same_step(composed, native)


def test_hybridised_on_two_contexts_with_changing_batches():
    """The static graph gives what the imperative one does: each device its own gradients and statistics."""
    contexts = [mx.cpu(0), mx.cpu(1)]
    imperative, hybrid = (randomise(get_model("r18", dropout=0.0, **TINY), contexts=contexts) for _ in range(2))
    hybrid.hybridize()
    rng = np.random.default_rng(3)
    for index, size in enumerate((6, 3, 6)):
        batches = [images(size + i, SIZE, seed=10 * index + i) for i in range(2)]
        upstream = [rng.normal(0, 1, (size + i, 16)) for i in range(2)]
        assert_same_step(*(step(net, batches, upstream, contexts) for net in (hybrid, imperative)))


def test_outputs_of_earlier_calls_are_not_overwritten(tiny):
    tiny.hybridize()
    first = tiny(mx.nd.array(images(2, SIZE, seed=1), dtype="uint8"))
    kept = first.asnumpy()
    tiny(mx.nd.array(images(2, SIZE, seed=2), dtype="uint8")).wait_to_read()
    np.testing.assert_array_equal(first.asnumpy(), kept)


def test_float16_keeps_batch_norm_and_output_in_float32():
    net = get_model("r18", **TINY)
    net.initialize()
    net.cast("float16")
    for name, parameter in net._collect_params_with_prefix().items():
        batch_norm = name.split(".")[-1] in ("gamma", "beta", "running_mean", "running_var")
        assert np.dtype(parameter.dtype) == (np.float32 if batch_norm else np.float16), name
    symbol = net(mx.sym.var("data"))
    _, outputs, _ = symbol.infer_type(data="uint8")
    assert outputs == [np.float32]
    types = dict(zip(symbol.get_internals().list_outputs(), symbol.get_internals().infer_type(data="uint8")[1]))
    assert types["conv0_fwd_output"] == np.float16 and types["pre_fc1_fwd_output"] == np.float16


def test_initialises_as_the_reference():
    mx.random.seed(4)
    net = get_model("r18", width=0.5, embedding_size=64)
    net.initialize()
    parameters = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    for name, fan_out in (("stage3.unit1.conv1.weight", 128 * 9), ("stage4.unit1.conv1sc.weight", 256)):
        assert parameters[name].std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.02)
    assert parameters["pre_fc1.weight"].std() == pytest.approx(np.sqrt(2 / 64), rel=0.02)
    for name, value in parameters.items():
        kind = name.split(".")[-1]
        constant = {"bias": 0, "beta": 0, "running_mean": 0, "gamma": 1, "running_var": 1, "alpha": 0.25}.get(kind)
        assert constant is None or (value == constant).all(), name

"""PReLU's two forms and squeeze-and-excitation against formulas in NumPy."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from arcface_gluon.models.layers import PReLU, SqueezeExcitation

ALPHA = np.array([0.25, -0.3, 0.0, 1.0, 1.7], np.float32)


def prelu(native, hybrid):
    block = PReLU(len(ALPHA), prefix="relu_")
    block.native = native
    block.initialize()
    block.alpha.set_data(mx.nd.array(ALPHA))
    if hybrid:
        block.hybridize()
    return block


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_prelu_values_and_gradients(native, hybrid):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (4, len(ALPHA), 6, 5))
    x[:, :, 0, 0] = 0
    x = x.astype(np.float32)
    upstream = rng.normal(0, 1, x.shape).astype(np.float32)
    block, data = prelu(native, hybrid), mx.nd.array(x)
    data.attach_grad()
    with autograd.record():
        y = block(data)
    y.backward(mx.nd.array(upstream))

    slopes, wide, up = ALPHA.reshape(1, -1, 1, 1).astype(np.float64), x.astype(np.float64), upstream.astype(np.float64)
    negative = wide <= 0
    np.testing.assert_allclose(y.asnumpy(), np.where(negative, slopes * wide, wide), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.grad.asnumpy(), np.where(negative, slopes * up, up), rtol=1e-5, atol=1e-6)
    expected = (up * wide * negative).sum((0, 2, 3))
    np.testing.assert_allclose(block.alpha.grad().asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_prelu_starts_at_a_quarter():
    block = PReLU(3, prefix="relu_")
    block.initialize(mx.init.Zero())
    assert block.alpha.data().asnumpy().tolist() == [0.25, 0.25, 0.25]


def test_squeeze_and_excitation():
    rng = np.random.default_rng(1)
    block = SqueezeExcitation(32, prefix="se_")
    block.initialize()
    values = {}
    for name, parameter in block._collect_params_with_prefix().items():
        values[name] = rng.normal(0, 1, parameter.shape)
        parameter.set_data(mx.nd.array(values[name]))
    x = rng.normal(0, 1, (2, 32, 5, 4))

    squeezed = x.mean((2, 3)) @ values["conv1.weight"][:, :, 0, 0].T + values["conv1.bias"]
    assert squeezed.shape == (2, 2)  # 32 / 16
    squeezed = np.where(squeezed > 0, squeezed, values["relu1.alpha"] * squeezed)
    gates = 1 / (1 + np.exp(-(squeezed @ values["conv2.weight"][:, :, 0, 0].T + values["conv2.bias"])))
    np.testing.assert_allclose(block(mx.nd.array(x)).asnumpy(), x * gates[:, :, None, None], rtol=1e-4, atol=1e-5)

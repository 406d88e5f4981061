"""Products: right in every form, into the arrays given; several CPU contexts, which hang where two `dot` run at once.

(So does that test, with mx.nd.dot.)
"""

from __future__ import annotations

import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from arcface_gluon.parallel import products
from arcface_gluon.parallel.operators import host_view, set_rows

# Many products, large enough for two OpenMP threads each, from four contexts without a wait between them.
PRODUCTS = """
import arcface_gluon
import mxnet as mx
from arcface_gluon.parallel.products import block_products, dot, inner
arrays = [mx.nd.ones((384, 384), ctx=mx.cpu(i)) for i in range(4)]
others = [[mx.nd.ones((384, 384), ctx=mx.cpu(i)) for _ in range(6)] for i in range(4)]
steps = [block_products(*six) for six in others]
for _ in range(100):
    outputs = [dot(array, array) for array in arrays]
    inners = [inner(array, array) for array in arrays]
    for step in steps:
        step.to_logits()
        step.to_pull()
        step.to_gradient()
mx.nd.waitall()
print([output[0, 0].asscalar() for output in outputs + inners])
"""


def test_contexts_may_all_multiply():
    # In a process of its own: a hang can only be seen from outside.
    environment = {"OMP_NUM_THREADS": "2", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", PRODUCTS]
    result = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True)
    assert result.stdout.strip() == str([384.0] * 8), result.stderr


@pytest.mark.parametrize("kind", [products.BlockProducts, products.block_products])
def test_products_of_a_block_read_and_write_the_arrays_given(kind):
    random = np.random.default_rng(0)
    features, weighted, pull = (mx.nd.zeros((8, 16)) for _ in range(3))
    centres, gradients, logits = mx.nd.zeros((100, 16)), mx.nd.zeros((60, 16)), mx.nd.zeros((400,))
    weight, gradient = centres[10:50], gradients[:40]
    logits = logits[40:360].reshape((8, 40))
    step = kind(features, weight, logits, pull, weighted, gradient)
    for _ in range(2):  # with other values than those it was made with
        for array in (features, weighted, centres):
            array[:] = random.normal(size=array.shape)
        step.to_logits()
        np.testing.assert_allclose(logits.asnumpy(), features.asnumpy() @ weight.asnumpy().T, atol=1e-5)
        logits *= 2
        step.to_pull()
        step.to_gradient()
        np.testing.assert_allclose(pull.asnumpy(), logits.asnumpy() @ centres[10:50].asnumpy(), atol=1e-4)
        np.testing.assert_allclose(gradients[:40].asnumpy(), logits.asnumpy().T @ weighted.asnumpy(), atol=1e-4)
        assert not gradients[40:].asnumpy().any()


def test_a_product_leaves_what_it_reads():
    # oneDNN may want another layout of a matrix: it must not change the caller's memory.
    rows, columns = (np.random.default_rng(i).normal(size=(n, 64)).astype(np.float32) for i, n in ((0, 1), (1, 3000)))
    before, out = columns.copy(), mx.nd.empty((1, 3000))
    product = products.inner(*(mx.nd.from_numpy(a[:], zero_copy=True) for a in (rows, columns)), out=out)
    np.testing.assert_allclose(product.asnumpy(), rows @ columns.T, atol=1e-4)
    assert product is out and np.array_equal(columns, before)


def test_a_host_view_is_the_memory_itself():
    array = mx.nd.zeros((4, 3), ctx=mx.cpu(2))
    view = host_view(array[1:3])
    view[:] = 7
    assert array.asnumpy().sum() == 42
    set_rows(array, mx.nd.array([2, 0], ctx=mx.cpu(2), dtype="int32"), mx.nd.ones((2, 3), ctx=mx.cpu(2)))
    array.wait_to_read()
    assert view.sum() == 7 * 3 + 3
    with pytest.raises(ValueError, match="float32"):
        host_view(mx.nd.zeros((2,), dtype="float64"))

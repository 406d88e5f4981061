"""Networks with parameters that make every part count: nothing at 0 or 1 that a mistake could hide behind."""

import mxnet as mx
import numpy as np

TINY = {"embedding_size": 16, "width": 0.125, "units": (1, 2, 1, 1), "input_size": 32}


def randomise(net, seed=0, contexts=None):
    """Give every parameter a random value in a range where activations stay of order 1."""
    rng = np.random.default_rng(seed)
    net.initialize(mx.init.Zero(), ctx=contexts or [mx.cpu(0)])
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(random_value(rng, name.replace(".", "_"), parameter.shape)))
    return net


def random_value(rng, name, shape):
    """Random array for a parameter with this flat name, in our or the reference's spelling."""
    if name == "fc1_gamma" and len(shape) == 1:
        return np.ones(shape, np.float32)
    if name.endswith("weight"):
        return rng.normal(0, np.sqrt(1.5 / np.prod(shape[1:])), shape).astype(np.float32)
    if name.endswith("alpha") or ("relu" in name and name.endswith("gamma")):
        return rng.uniform(0.1, 0.5, shape).astype(np.float32)
    if name.endswith(("gamma", "var")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.uniform(-0.2, 0.2, shape).astype(np.float32)


def images(count, size, seed=1):
    """(count, 3, size, size) uint8 NumPy images."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def assert_same(got, want, tolerance=1e-5):
    """Embeddings that differ by rounding alone: at most `tolerance` of the largest entry."""
    want = np.asarray(want)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())

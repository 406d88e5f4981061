"""Whether a GPU computes what the CPU computes: the head, a ResNet50 step, half precision, two GPUs, search.

    arcface-gluon bench gpu-check [--devices gpu(0),gpu(1)] [--quick]

Nothing of this was ever run on a GPU where this project is developed. Please post what it prints.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Iterator

import numpy as np

from arcface_gluon import ShardedMarginHead, get_model, runtime
from arcface_gluon.errors import UserError
from arcface_gluon.gpus import find_gpus

if TYPE_CHECKING:
    import mxnet as mx

# Largest difference, relative to the largest value, that rounding in another order explains.
FLOAT32, FLOAT16 = 2e-3, 5e-2
IDENTITIES, SIZE, BATCH = 5000, 512, 64


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="arcface-gluon bench gpu-check", description=__doc__.splitlines()[0])
    parser.add_argument("--devices", help="default: every GPU; cpu(0),cpu(1) tries the program itself")
    parser.add_argument("--quick", action="store_true", help="a small network")
    args = parser.parse_args(arguments)
    devices = runtime.contexts(args.devices)
    if devices[0].device_type == "cpu" and not args.devices:
        raise UserError("no GPU that MXNet can use; `arcface-gluon doctor` says why")
    for gpu in find_gpus():
        print(f"GPU {gpu.number}: {gpu.describe()}")
    failed = 0
    for what, difference, limit in checks(devices, args.quick):
        good = difference <= limit
        failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {what}: {difference:.1e} of the largest value (at most {limit:.0e})")
    print(f"{failed} failed" if failed else "all well")
    return 1 if failed else 0


def checks(devices: list, quick: bool) -> Iterator[tuple[str, float, float]]:
    """(what, largest difference relative to the largest value, limit) of each comparison with cpu(0)."""
    import mxnet as mx

    reference = head_step([mx.cpu(0)])
    yield "head: loss and gradients", furthest(head_step(devices[:1]), reference), FLOAT32
    if len(devices) > 1:
        yield f"head over {len(devices)} devices", furthest(head_step(devices), reference), FLOAT32
    name = "r18" if quick else "r50"
    expected = network_step(name, mx.cpu(0), quick)
    yield f"{name}: embeddings and gradients", furthest(network_step(name, devices[0], quick), expected), FLOAT32
    yield "search: nearest and its score", furthest(search(devices[:1]), search([mx.cpu(0)])), FLOAT32
    if devices[0].device_type == "gpu":  # MXNet has no half-precision products on CPUs
        yield "head in float16", furthest(head_step(devices[:1], "float16"), reference), FLOAT16
        half = network_step(name, devices[0], quick, "float16")[:1]
        yield f"{name} in float16: embeddings", furthest(half, expected[:1]), FLOAT16


def head_step(devices: list, dtype: str = "float32") -> list[np.ndarray]:
    """Loss, gradients and updated centres of a step of ArcFace."""
    import mxnet as mx

    random = np.random.default_rng(0)
    embeddings = random.normal(size=(BATCH, SIZE)).astype(np.float32)
    labels = random.integers(0, IDENTITIES, BATCH)
    head = ShardedMarginHead(IDENTITIES, SIZE, devices, dtype=dtype)
    parts = [mx.nd.array(part, ctx=ctx) for part, ctx in zip(np.array_split(embeddings, len(devices)), devices)]
    loss, gradients = head.forward_backward(parts, np.array_split(labels, len(devices)))
    head.update(0.1, 0.9, 5e-4)
    return [np.array([loss]), np.concatenate([g.asnumpy() for g in gradients]), head.centres()]


def network_step(name: str, device: mx.Context, quick: bool, dtype: str = "float32") -> list[np.ndarray]:
    """Embeddings of a network in training, and the gradients of all its parameters."""
    import mxnet as mx

    random = np.random.default_rng(0)
    mx.random.seed(0)
    net = get_model(name, 128, dropout=0.0, width=0.125 if quick else 1.0)
    net.initialize(ctx=mx.cpu(0))
    net(mx.nd.zeros((1, 3, 112, 112)))
    net.collect_params().reset_ctx(device)
    if dtype == "float16":
        net.cast(dtype)
    images = mx.nd.array(random.integers(0, 256, (8, 3, 112, 112)), ctx=device, dtype="uint8")
    with mx.autograd.record():
        embeddings = net(images)
    embeddings.backward(mx.nd.array(random.normal(size=embeddings.shape), ctx=device, dtype=embeddings.dtype))
    parameters = net._collect_params_with_prefix()
    gradients = [p.grad(device).asnumpy().ravel() for _, p in sorted(parameters.items()) if p.grad_req != "null"]
    return [embeddings.asnumpy(), np.concatenate(gradients)]


def search(devices: list) -> list[np.ndarray]:
    """The nearest of some unit vectors to others, and its cosine."""
    from arcface_gluon.protocols.scores.search import top_k

    random = np.random.default_rng(0)
    gallery, probes = (random.normal(size=(n, SIZE)).astype(np.float32) for n in (20_000, 200))
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    return [np.asarray(part, np.float64) for part in top_k(probes, lambda a, b: gallery[a:b], len(gallery), 1, devices)]


def furthest(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference of two lists of arrays, relative to its largest value; infinite if one is not finite."""
    worst = 0.0
    for one, other in zip(found, expected):
        if not np.isfinite(one).all():
            return float("inf")
        worst = max(worst, float(np.abs(one - other).max() / np.abs(other).max()))
    return worst

"""Whether a GPU computes what the CPU computes: the head, a ResNet50 step, half precision, two GPUs, search.

    arcface-gluon bench gpu-check [--devices gpu(0),gpu(1)] [--quick]

What only GPUs take is gone through: the head's elementwise work by MXNet's operators and its products by dot (in one
block, in several, with sampled centres, in float16), MXNet's own PReLU, the network unfolded in evaluations, sums over
devices by the head's group and by kvstore. With --devices cpu(1),cpu(2) CPUs stand in: the same code, but for float16
convolutions, the kvstore of GPUs and the network unfolded.

Nothing of this was ever run on a GPU where this project is developed. Please post what it prints.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from arcface_gluon import runtime
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.errors import UserError
from arcface_gluon.gpus import find_gpus

if TYPE_CHECKING:
    import mxnet as mx

# Largest difference, relative to the largest value, that rounding in another order explains.
FLOAT32, FLOAT16 = 2e-3, 5e-2
IDENTITIES, SIZE, BATCH = 5000, 512, 64
# Heads by name: options of ShardedMarginHead, or of the class of losses that `kind` names.
HEADS: dict[str, dict[str, Any]] = {
    "ArcFace": {},
    "in blocks, Nesterov": {"block_rows": 700, "nesterov": True},
    "sampled centres": {"sample_rate": 0.3},
    "softmax": {"kind": "SoftmaxHead"},
    "CurricularFace": {"kind": "CurricularHead"},
}

EXAMPLE = "arcface-gluon bench gpu-check"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench gpu-check", __doc__, EXAMPLE)
    parser.add_argument("--devices", help="default: every GPU; cpu(1),cpu(2) tries the GPUs' code on CPUs")
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

    on_gpu, cpu = devices[0].device_type == "gpu", [mx.cpu(0)]
    for name, options in HEADS.items():
        for some in [devices[:1], *([devices] if len(devices) > 1 else [])]:
            # Each of several devices draws its own sample of the centres: as many CPU contexts are compared with.
            reference = head_step([mx.cpu(i) for i in range(len(some))], options)
            over = f" over {len(some)} devices" if len(some) > 1 else ""
            for dtype, limit in (("float32", FLOAT32), *([("float16", FLOAT16)] if name == "ArcFace" else [])):
                what = f"head, {name}{', float16' * (dtype == 'float16')}{over}: loss, gradients, update"
                with gpu_code(devices):
                    found = head_step(some, options, dtype)
                yield what, furthest(found, reference), limit
    name = "r18" if quick else "r50"
    expected = network_step(name, mx.cpu(0), quick)
    found = network_step(name, devices[0], quick, native=True)
    yield f"{name}: embeddings and gradients", furthest(found, expected), FLOAT32
    yield "r18: embeddings as evaluated", furthest(evaluated(devices), evaluated(cpu)), FLOAT32
    update = backbone_update(cpu)
    yield f"r18: update over {len(devices)} devices", furthest(backbone_update(devices), update), FLOAT32
    yield "search: nearest and its score", furthest(search(devices), search(cpu)), FLOAT32
    if on_gpu:  # MXNet has no half-precision convolutions on CPUs
        half = network_step(name, devices[0], quick, "float16")[:1]
        yield f"{name} in float16: embeddings", furthest(half, expected[:1]), FLOAT16
        yield "r18 in float16: update", furthest(backbone_update(devices, "float16"), update), FLOAT16


@contextmanager
def gpu_code(devices: list) -> Iterator[None]:
    """Let CPUs that stand in for GPUs do a head's work by the GPUs' code: MXNet's operators, and dot."""
    if devices[0].device_type == "gpu":
        yield
        return
    from arcface_gluon.losses import shard
    from arcface_gluon.losses.device_kernels import DeviceKernels
    from arcface_gluon.parallel.products import BlockProducts

    kernels, products = dict(shard.KERNELS), shard.block_products
    shard.KERNELS["cpu"], shard.block_products = DeviceKernels, BlockProducts
    try:
        yield
    finally:
        shard.KERNELS.update(kernels)
        shard.block_products = products


def head_step(devices: list, options: dict, dtype: str = "float32") -> list[np.ndarray]:
    """Loss, gradients and updated centres of two steps of a head; `options`: of HEADS."""
    import mxnet as mx

    from arcface_gluon import losses

    random = np.random.default_rng(0)
    embeddings = random.normal(size=(BATCH, SIZE)).astype(np.float32)
    labels = random.integers(0, IDENTITIES, BATCH)
    options = dict(options)
    kind, nesterov = getattr(losses, options.pop("kind", "ShardedMarginHead")), options.pop("nesterov", False)
    head = kind(IDENTITIES, SIZE, devices, dtype=dtype, **options)
    parts = [mx.nd.array(part, ctx=ctx) for part, ctx in zip(np.array_split(embeddings, len(devices)), devices)]
    found = []
    for _ in range(2):
        loss, gradients = head.forward_backward(parts, np.array_split(labels, len(devices)))
        head.update(0.1, 0.9, 5e-4, nesterov=nesterov)
        found += [np.array([loss]), np.concatenate([g.asnumpy() for g in gradients]), head.centres()]
    return found


def network_step(
    name: str, device: mx.Context, quick: bool, dtype: str = "float32", native: bool = False
) -> list[np.ndarray]:
    """Embeddings of a network in training, and the gradients of all its parameters.

    `native`: PReLU by MXNet's operator, as on GPUs, on a CPU too.
    """
    import mxnet as mx

    from arcface_gluon import get_model

    random = np.random.default_rng(0)
    mx.random.seed(0)
    net = get_model(name, 128, dropout=0.0, width=0.125 if quick else 1.0)
    net.initialize(ctx=mx.cpu(0))
    net(mx.nd.zeros((1, 3, 112, 112)))
    net.collect_params().reset_ctx(device)
    if dtype == "float16":
        net.cast(dtype)
    images = mx.nd.array(random.integers(0, 256, (8, 3, 112, 112)), ctx=device, dtype="uint8")
    if native and device.device_type == "cpu":
        net.apply(lambda block: setattr(block, "native", True) if hasattr(block, "native") else None)
    with mx.autograd.record():
        embeddings = net(images)
    embeddings.backward(mx.nd.array(random.normal(size=embeddings.shape), ctx=device, dtype=embeddings.dtype))
    parameters = net._collect_params_with_prefix()
    gradients = [p.grad(device).asnumpy().ravel() for _, p in sorted(parameters.items()) if p.grad_req != "null"]
    return [embeddings.asnumpy(), np.concatenate(gradients)]


def evaluated(devices: list) -> list[np.ndarray]:
    """Embeddings of images with their mirror images, as evaluations have them: in parts over the devices."""
    import cv2

    from arcface_gluon.embed import embed_images

    images = np.random.default_rng(0).integers(0, 256, (6, 112, 112, 3), dtype=np.uint8)
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    return [embed_images(small_network(devices), encoded, devices, batch_size=4)]


def backbone_update(devices: list, dtype: str = "float32") -> list[np.ndarray]:
    """What two steps of SGD add to the parameters, gradients summed over devices that each have the same images."""
    import mxnet as mx

    from arcface_gluon.training.optimizer import ReplicaSGD

    random, scale = np.random.default_rng(0), 128.0 if dtype == "float16" else 1.0
    net = small_network(devices)
    if dtype == "float16":
        net.cast(dtype)
    images, gradient = random.integers(0, 256, (4, 3, 112, 112)), random.normal(size=(4, 128))

    def values(sgd):
        return np.concatenate([p.data(devices[0]).astype("float32").asnumpy().ravel() for p in sgd.parameters])

    sgd = ReplicaSGD(net, devices, 0.9, 5e-4)
    sgd.loss_scale = scale
    before = values(sgd)
    for _ in range(2):
        with mx.autograd.record():
            outputs = [net(mx.nd.array(images, ctx=device, dtype="uint8")) for device in devices]
        mx.autograd.backward(
            outputs,
            [mx.nd.array(gradient * scale / len(devices), ctx=d, dtype=o.dtype) for d, o in zip(devices, outputs)],
        )
        sgd.reduce()
        sgd.update(1e-4)
    return [values(sgd) - before]


def small_network(devices: list) -> mx.gluon.Block:
    """An IResNet-18 of an eighth of the width on devices, with the same weights each time."""
    import mxnet as mx

    from arcface_gluon import get_model

    mx.random.seed(0)
    net = get_model("r18", 128, dropout=0.0, width=0.125)
    net.initialize(ctx=mx.cpu(0))
    net(mx.nd.zeros((1, 3, 112, 112)))
    net.collect_params().reset_ctx(devices)
    return net


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

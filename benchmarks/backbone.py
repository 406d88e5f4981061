"""Images a second through the backbones on CPU: inference, and training steps on one and on four contexts.

The floor is the bound set by matrix products: twice the multiply-additions of all convolutions and the fully connected
layer for an image forward, three times that for a training step, at the rate of a large product of matrices by oneDNN
measured between the rounds. The best round of each counts. Every configuration has a process of its own, whose peak
memory is reported too; it includes Python and MXNet (about 200 MiB).
"""

from __future__ import annotations

import multiprocessing
import resource
import time

import numpy as np

INFERENCE_BATCH, TRAINING_BATCH = 16, 32
SIZE = 112
PRODUCT = 2048  # side of the matrices whose product gives the floor


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; quick: r18 alone, one round."""
    configurations = [
        (name, training, contexts, 1 if quick else 3)
        for name in (("r18",) if quick else ("r18", "r50"))
        for training, contexts in ((False, 1), (True, 1), (True, 4))
    ]
    # A process lives for one task: memory is its own, and MXNet's pools start empty.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return [row for rows in pool.imap(_measure_one, configurations) for row in rows]


def _measure_one(configuration):
    name, training, contexts, rounds = configuration
    import mxnet as mx  # after arcface_gluon has prepared for it

    from arcface_gluon.models import get_model, multiply_additions

    net, devices = get_model(name), [mx.cpu(i) for i in range(contexts)]
    net.initialize(ctx=devices)
    net.hybridize()
    batch = TRAINING_BATCH if training else INFERENCE_BATCH
    run = _training_step(net, devices, batch) if training else _inference(net, devices[0], batch)
    product = _product()
    seconds = _best_times([run, product], rounds)
    flops = (6 if training else 2) * multiply_additions(net)
    floor = 2 * PRODUCT**3 / seconds[1] / flops
    rate = batch / seconds[0]
    what = f"{name} {'training step' if training else 'inference'}, batch {batch}, {contexts} context(s)"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        {"what": what, "value": rate, "unit": "images/s", "floor": floor, "ratio": rate / floor},
        {"what": f"{what}: peak memory", "value": peak, "unit": "MiB", "floor": None, "ratio": None},
    ]


def _training_step(net, devices, batch):
    import mxnet as mx

    from arcface_gluon.parallel.turns import in_turn

    each = batch // len(devices)
    images = [_images(each, device) for device in devices]
    gradients = [mx.nd.random.normal(shape=(each, 512), ctx=device) for device in devices]

    def run():
        with mx.autograd.record():
            embeddings = [net(x) for x in in_turn(images, devices)]
        for pair in in_turn(zip(embeddings, gradients), devices):
            mx.autograd.backward(*pair)

    return run


def _inference(net, device, batch):
    images = _images(batch, device)
    return lambda: net(images)


def _images(count, device):
    import mxnet as mx

    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)
    return mx.nd.array(pixels, ctx=device, dtype="uint8")


def _product():
    import mxnet as mx

    from arcface_gluon.parallel.products import inner

    left, right = (mx.nd.random.normal(shape=(PRODUCT, PRODUCT)) for _ in range(2))
    out = mx.nd.zeros((PRODUCT, PRODUCT))
    return lambda: inner(left, right, out=out)


def _best_times(functions, rounds):
    """Best seconds of each function; rounds are interleaved, so that other work burdens all alike."""
    import mxnet as mx

    best = [float("inf")] * len(functions)
    for index in range(-1, rounds):  # the first round warms up
        for position, function in enumerate(functions):
            mx.nd.waitall()
            start = time.perf_counter()
            function()
            mx.nd.waitall()
            if index >= 0:
                best[position] = min(best[position], time.perf_counter() - start)
    return best

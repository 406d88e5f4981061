"""Run by horovodrun in test_horovod.py: every loss on this rank's part of a batch, to <folder>/<rank>.npz."""

import sys

import numpy as np

from arcface_gluon import recipe
from arcface_gluon.losses import build_head
from arcface_gluon.parallel.process_group import ProcessGroup
from arcface_gluon.parallel.processes import join

CLASSES, SIZE, BATCH = 11, 6, 16


def batch():
    x = np.random.default_rng(0).normal(size=(BATCH, SIZE)).astype(np.float32) * 8
    return x, np.repeat([0, 3, 7, 10], 4)


def steps(loss, x, labels, devices, group=None, count=2):
    """{name: array}: the loss and the gradients of each step, and the centres afterwards."""
    import mxnet as mx

    values = recipe.resolve("casia_r50", [f"loss={loss}", "head.scale=16"])
    head = build_head(values.head, CLASSES, SIZE, devices, values.seed, group)
    found = {}
    for step in range(count):
        parts = [mx.nd.array(part, c) for part, c in zip(np.array_split(x + step, len(devices)), devices)]
        value, gradients = head.forward_backward(parts, np.array_split(labels, len(devices)))
        head.update(0.1)
        found[f"{loss} loss {step}"] = np.array(value)
        found[f"{loss} gradient {step}"] = np.concatenate([g.asnumpy() for g in gradients])
    for start, _, arrays in head.shards():
        found[f"{loss} centres {start}"] = arrays["weight"].asnumpy()
    return found


if __name__ == "__main__":
    import mxnet as mx

    processes = join()
    x, labels = batch()
    own = slice(BATCH // processes.size * processes.rank, BATCH // processes.size * (processes.rank + 1))
    contexts = [mx.cpu(0)]
    found = {}
    for name in recipe.losses():
        found.update(steps(name, x[own], labels[own], contexts, ProcessGroup(contexts, processes)))
    np.savez(f"{sys.argv[1]}/{processes.rank}.npz", **found)

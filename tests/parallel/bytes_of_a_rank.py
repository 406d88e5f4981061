"""Run by horovodrun in test_horovod.py: bytes that a step of the head, and one of the backbone, send over loopback."""

import json
import sys
from pathlib import Path

import mxnet as mx
import numpy as np

from arcface_gluon.losses import ShardedMarginHead
from arcface_gluon.parallel.process_group import ProcessGroup
from arcface_gluon.parallel.processes import join

CLASSES, SIZE, BATCH, STEPS, PARAMETERS = 30, 512, 960, 10, 500_000


def sent():
    """Bytes of packets that went over loopback in this network namespace."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def measured(work, processes):
    """Bytes on the wire of all processes, and those counted by this one, for a step."""
    work()  # names are negotiated once
    processes.barrier()
    before, counted = sent(), processes.bytes_sent
    for _ in range(STEPS):
        work()
    counted = processes.bytes_sent - counted
    processes.barrier()
    return (sent() - before) / STEPS, counted / STEPS


if __name__ == "__main__":
    processes, contexts = join(), [mx.cpu(0)]
    head = ShardedMarginHead(CLASSES, SIZE, contexts, group=ProcessGroup(contexts, processes))
    own = BATCH // processes.size
    features = [mx.nd.array(np.random.default_rng(processes.rank).normal(size=(own, SIZE)).astype(np.float32))]
    labels = [np.arange(own) % CLASSES]
    gradients = [mx.nd.ones((PARAMETERS,))]

    def backbone():
        processes.allreduce(gradients, "backbone")
        gradients[0].wait_to_read()

    found = {"head": measured(lambda: head.forward_backward(features, labels), processes)}
    found["backbone"] = measured(backbone, processes)
    if processes.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(found))

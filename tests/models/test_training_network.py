"""What training runs in place of a network: the same embeddings, gradients and statistics, in each precision."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn
from small_networks import TINY, assert_same, images, randomise

from arcface_gluon import blas, get_model
from arcface_gluon.models.backbone import Backbone
from arcface_gluon.models.training_network import TrainingNetwork, training_network

NETWORKS = {
    "r18": ("r18", {**TINY, "dropout": 0.4}),
    "SE": ("r34", {**TINY, "se": True}),
    "head G": ("r18", {**TINY, "output": "G"}),
    "mobilefacenet": ("mobilefacenet", {"embedding_size": 16, "input_size": 32}),
    "large mobilefacenet": ("mobilefacenet", {"embedding_size": 16, "input_size": 32, "blocks": (2, 1, 1, 1)}),
}
CPU = [mx.cpu(0)]


def step(network, net, batch, seed=0):
    """(embeddings, {name: gradient}, {name: running statistics}) of a training step, float64."""
    upstream = np.random.default_rng(5).normal(size=(len(batch), 16))
    mx.random.seed(seed)
    with autograd.record():
        y = network(mx.nd.array(batch, dtype="uint8"))
    y.backward(mx.nd.array(upstream))
    mx.nd.waitall()
    found = net._collect_params_with_prefix()
    gradients = {n: p.grad().asnumpy().astype(np.float64) for n, p in found.items() if p.grad_req != "null"}
    statistics = {n: p.data().asnumpy().astype(np.float64) for n, p in found.items() if p.grad_req == "null"}
    return y.asnumpy().astype(np.float64), gradients, statistics


def both(name, options, precision="float32", batch=6):
    """The same step through a network itself, and through what training runs in its place."""
    found = []
    for wrap in (lambda net: net, lambda net: TrainingNetwork(net, precision)):
        net = randomise(get_model(name, **options))
        net.hybridize()
        found.append(step(wrap(net), net, images(batch, options["input_size"])))
    return found


@pytest.mark.parametrize("key", NETWORKS)
def test_same_embeddings_gradients_and_statistics(key):
    (embeddings, gradients, statistics), ours = both(*NETWORKS[key])
    assert_same(ours[0], embeddings)
    assert ours[1].keys() == gradients.keys() and ours[2].keys() == statistics.keys()
    rounding = 1e-6 * max(np.abs(want).max() for want in gradients.values())  # what is left of gradients that are 0
    for name, want in gradients.items():
        tolerance = 2e-4 * np.abs(want).max() + rounding
        np.testing.assert_allclose(ours[1][name], want, rtol=0, atol=tolerance, err_msg=name)
    for name, want in statistics.items():
        assert_same(ours[2][name], want)


def test_prelu_is_one_scaling_between_norm_and_convolution_and_two_elsewhere():
    net = get_model("r18", **TINY)
    net.initialize()
    kinds = Counter(node["op"] for node in json.loads(TrainingNetwork(net).symbol.tojson())["nodes"])
    units, stems, own = sum(TINY["units"]), 1, 3 * sum(TINY["units"]) + 4 + 3  # norms of units, shortcuts, both ends
    assert kinds["BatchNorm"] == own + units + 2 * stems and not kinds["LeakyReLU"]
    assert kinds["amp_cast"] == 0


def test_every_device_has_parameters_and_statistics_of_its_own():
    devices, batch = [mx.cpu(i) for i in range(3)], images(4, 32)
    net = randomise(get_model("r18", **TINY, dropout=0.0), contexts=devices)
    network = training_network(net, "float32", devices)
    assert isinstance(network, TrainingNetwork)
    with autograd.train_mode():
        outputs = [network(mx.nd.array(batch[: 4 - i], ctx=device)).asnumpy() for i, device in enumerate(devices)]
    assert [len(rows) for rows in outputs] == [4, 3, 2]
    alone = randomise(get_model("r18", **TINY, dropout=0.0))
    want = [step(alone, alone, batch[: 4 - i])[0] for i in range(3)]
    for got, rows in zip(outputs, want):
        assert_same(got, rows)


def test_at_inference_it_takes_the_running_statistics():
    net = randomise(get_model("r18", **TINY))
    batch = mx.nd.array(images(3, 32))
    assert_same(TrainingNetwork(net)(batch).asnumpy(), net(batch).asnumpy())


class Own(Backbone):
    """A network of somebody's own: an operator of which nothing is known here, shapes that the first image tells."""

    def __init__(self):
        super().__init__({"name": "tests:Own", "embedding_size": 16, "options": {"input_size": 16}})
        self.body = nn.HybridSequential(prefix="body_")
        self.body.add(nn.Conv2D(4, 3), nn.InstanceNorm(), nn.LeakyReLU(0.1), nn.BatchNorm(), nn.Dense(16))

    def features(self, F, x):
        first, second = F.split(self.body(x), num_outputs=2, axis=1)
        return F.concat(second, first, dim=1)


def test_networks_of_ones_own():
    found = []
    for wrap in (lambda net: net, TrainingNetwork):
        mx.random.seed(1)
        net = Own()
        net.initialize(mx.init.Xavier())
        net(mx.nd.zeros((1, 3, 16, 16)))
        found.append(step(wrap(net), net, images(4, 16)))
    assert_same(found[1][0], found[0][0])
    for name, want in found[0][1].items():
        assert_same(found[1][1][name], want, 1e-4)
    deferred = Own()
    deferred.initialize()
    assert training_network(deferred, "float32", CPU)(mx.nd.zeros((1, 3, 16, 16))).shape == (1, 16)


def test_other_blocks_are_trained_as_they_are():
    block = nn.Dense(4, in_units=3)
    block.initialize()
    assert training_network(block, "float32", CPU) is block


LOW = """
import sys, numpy as np
from arcface_gluon import blas
assert blas.allow_amx()
sys.path.insert(0, sys.argv[1])
from test_training_network import NETWORKS, both
for key in ("r18", "mobilefacenet"):
    (embeddings, gradients, statistics), ours = both(*NETWORKS[key], "bfloat16", 12)
    a, b = (np.concatenate([found[n].ravel() for n in gradients]) for found in (ours[1], gradients))
    print(a @ b / np.linalg.norm(a) / np.linalg.norm(b), (ours[0] == embeddings).mean())
    assert all(np.abs(ours[2][n] - s).max() < 0.05 * np.abs(s).max() + 0.01 for n, s in statistics.items())
"""


@pytest.mark.skipif(blas.why_no_amx() is not None, reason="needs a processor with AMX")
@pytest.mark.slow
def test_bfloat16_in_a_process_that_may_use_amx():
    done = subprocess.run([sys.executable, "-c", LOW, str(Path(__file__).parent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(rows) == 2 and all(0.93 < cosine < 0.999999 and same < 0.1 for cosine, same in rows)

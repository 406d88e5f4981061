"""SGD over replicas against NumPy, and the check for finite numbers."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from arcface_gluon.training.optimizer import ReplicaSGD, all_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
@pytest.mark.parametrize("where", [0, 250, 499])
def test_all_finite_looks_at_every_array_of_many(bad, where):
    arrays = [mx.nd.ones((3,)) for _ in range(500)]
    if bad is not None:
        arrays[where][1] = bad
    assert all_finite(arrays) == (bad is None)


@pytest.mark.parametrize("nesterov, factor", [(False, 1.0), (True, 1.0), (True, 0.25)])
@pytest.mark.parametrize("contexts", [1, 2, 4])
def test_update_is_momentum_sgd_of_the_summed_gradients_with_decay_on_everything(contexts, nesterov, factor):
    devices = [mx.cpu(i) for i in range(contexts)]
    net = nn.Dense(3, in_units=2)
    net.initialize(mx.init.Normal(1), ctx=devices)
    net.bias.set_data(mx.nd.array([0.5, -1, 2]))
    optimizer = ReplicaSGD(net, devices, 0.9, 0.1, {"bias": 0.5}, {"weight": 2.0}, nesterov=nesterov)
    expected = {p.name: p.data(devices[0]).asnumpy().astype(np.float64) for p in (net.weight, net.bias)}
    moved = {name: np.zeros_like(value) for name, value in expected.items()}
    random = np.random.default_rng(0)
    for lr in (0.1, 0.1, 0.01):
        for parameter in (net.weight, net.bias):
            gradients = random.normal(size=(contexts, *parameter.shape)).astype(np.float32)
            for device, gradient in zip(devices, gradients):
                parameter.grad(device)[:] = mx.nd.array(gradient, ctx=device)
            rate, decay = (lr * 0.5, 0.1) if parameter is net.bias else (lr, 0.2)
            w, m = expected[parameter.name], moved[parameter.name]
            step = -rate * (factor * gradients.sum(0) + decay * w)
            m[:] = 0.9 * m + step
            w += 0.9 * m + step if nesterov else m
        optimizer.reduce()
        optimizer.update(lr, factor)
    for parameter in (net.weight, net.bias):
        for device in devices:
            np.testing.assert_allclose(parameter.data(device).asnumpy(), expected[parameter.name], rtol=1e-5)


def test_on_cpus_it_has_the_bits_of_mxnets_sgd(monkeypatch):
    nets = [nn.Dense(300, in_units=400) for _ in range(2)]  # more than HostSGD takes at a time
    random = np.random.default_rng(0)
    values = {shape: random.normal(size=shape).astype(np.float32) for shape in ((300, 400), (300,))}
    optimizers = []
    for net in nets:
        net.initialize()
        for parameter in (net.weight, net.bias):
            parameter.set_data(mx.nd.array(values[parameter.shape]))
            parameter.grad()[:] = mx.nd.array(0.01 * values[parameter.shape][::-1].copy())
        optimizers.append(ReplicaSGD(net, [mx.cpu()], 0.9, 5e-4, {"bias": 0.5}))
        monkeypatch.setattr("arcface_gluon.training.optimizer.HostSGD", mx.optimizer.SGD)
    for lr, factor in ((0.1, 1.0), (0.1, 0.3), (0.01, 1.0)):
        for optimizer in optimizers:
            optimizer.update(lr, factor)
    assert type(optimizers[0]._optimizers[0]) is not type(optimizers[1]._optimizers[0])
    states = [optimizer.state() for optimizer in optimizers]
    for name in ("weight", "bias"):
        ours, mxnets = (getattr(net, name).data().asnumpy().view(np.uint32) for net in nets)
        assert np.array_equal(ours, mxnets)
        assert np.array_equal(*(state[name].asnumpy().view(np.uint32) for state in states))


def test_state_goes_on_where_it_stopped():
    def steps(optimizer, net, count):
        for _ in range(count):
            for parameter in (net.weight, net.bias):
                parameter.grad()[:] = 1
            optimizer.update(0.1)

    nets = [nn.Dense(3, in_units=2) for _ in range(2)]
    for net in nets:
        net.initialize(mx.init.One())
    first = ReplicaSGD(nets[0], [mx.cpu()], 0.9, 0.1)
    steps(first, nets[0], 2)
    nets[1].weight.set_data(nets[0].weight.data())
    nets[1].bias.set_data(nets[0].bias.data())
    second = ReplicaSGD(nets[1], [mx.cpu()], 0.9, 0.1)
    second.load_state(first.state())
    steps(first, nets[0], 2)
    steps(second, nets[1], 2)
    assert (nets[0].weight.data() == nets[1].weight.data()).asnumpy().all()


def test_multipliers_are_found_anywhere_in_the_name_and_the_first_one_counts():
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=2), nn.BatchNorm(in_channels=3))
    net.initialize()
    ReplicaSGD(net, [mx.cpu()], 0.9, 0.1, {"gamma$": 0.5, "^1": 0.1}, {"bias|beta": 0.0})
    factors = {
        name: (p.lr_mult, p.wd_mult) for name, p in net._collect_params_with_prefix().items() if "run" not in name
    }
    assert factors == {"0.weight": (1, 1), "0.bias": (1, 0), "1.gamma": (0.5, 1), "1.beta": (0.1, 0)}


def test_squares_are_of_the_summed_gradients_before_the_loss_scale_without_the_frozen():
    devices = [mx.cpu(i) for i in range(2)]
    net = nn.Dense(300, in_units=500)
    net.initialize(ctx=devices)
    optimizer = ReplicaSGD(net, devices, 0.9, 0.1)
    optimizer.loss_scale = 8.0
    random, total = np.random.default_rng(0), {}
    for name, parameter in (("weight", net.weight), ("bias", net.bias)):
        gradients = random.normal(size=(2, *parameter.shape)).astype(np.float32)
        for device, gradient in zip(devices, gradients):
            parameter.grad(device)[:] = mx.nd.array(gradient, ctx=device)
        total[name] = np.square(gradients.astype(np.float64).sum(0)).sum() / 64
    optimizer.reduce()
    assert optimizer.gradient_square() == pytest.approx(total["weight"] + total["bias"], rel=1e-5)
    assert optimizer.gradient_square({"weight"}) == pytest.approx(total["bias"], rel=1e-5)
    before = net.weight.data(devices[1]).asnumpy()
    optimizer.update(0.1, frozen={"weight"})
    assert (net.weight.data(devices[1]).asnumpy() == before).all() and "weight" not in optimizer.state()
    assert net.bias.data(devices[1]).asnumpy().any()
    optimizer.update(0.1, frozen={"weight", "bias"})  # nothing left


def test_nag_in_half_precision_moves_the_master_weights():
    net = nn.Dense(3, in_units=2)
    net.initialize(mx.init.Normal(1))
    net.cast("float16")
    optimizer = ReplicaSGD(net, [mx.cpu()], 0.9, 0.1, nesterov=True)
    optimizer.loss_scale = 8.0
    w, m = net.weight.data().asnumpy().astype(np.float64), 0.0
    for _ in range(2):
        net.weight.grad()[:] = 4
        optimizer.update(0.1)
        step = -0.1 * (0.5 + 0.1 * w)
        m = 0.9 * m + step
        w = w + 0.9 * m + step
    np.testing.assert_allclose(optimizer.state()["master:weight"].asnumpy(), w, rtol=1e-5)
    assert (net.weight.data().asnumpy() == optimizer.state()["master:weight"].asnumpy().astype(np.float16)).all()

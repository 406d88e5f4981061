"""Networks of others, run as their symbol stands, are folded by the same rules: exactly, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from foreign_symbols import SYMBOLS
from random_symbols import SIDE, random_network, with_parameters
from reference_symbol import batch_norm, conv, lresnet, prelu, save_reference, two_images
from small_networks import images
from test_folding import cosines

from arcface_gluon import blas, load_model
from arcface_gluon.errors import UserError
from arcface_gluon.models.exported import SymbolNetwork
from arcface_gluon.models.folded import evaluation_network
from arcface_gluon.models.folding import fold
from arcface_gluon.models.graph import inference_graph

sym, CPU = mx.sym, [mx.cpu(0)]


def kinds(net, limit=256):
    return Counter(operator.kind for operator in fold(inference_graph(net), limit))


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_random_networks(first):
    before = after = 0
    for seed in range(first, first + 25):
        net = random_network(seed)
        done, batch = evaluation_network(net), images(2, SIDE, seed)
        assert done.unfolded is None, f"seed {seed}: {done.unfolded}"
        got, want = (n(mx.nd.array(batch, dtype="uint8")).asnumpy() for n in (done, net))
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max(), err_msg=f"seed {seed}")
        before += sum(node["op"] == "BatchNorm" for node in json.loads(net.symbol.tojson())["nodes"])
        after += kinds(net)["BatchNorm"]
    assert after < 0.6 * before


@pytest.mark.parametrize("name", SYMBOLS)
def test_networks_of_other_families(name, tmp_path):
    expected = save_reference(SYMBOLS[name](sym.var("data")), tmp_path / "m", (112, 112))
    net = load_model(tmp_path / "m", CPU)
    done = evaluation_network(net)
    assert isinstance(net, SymbolNetwork) and done.unfolded is None
    got = done(mx.nd.array(two_images((112, 112)), dtype="uint8")).asnumpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    left = {"mobilenet": 0, "resnet": 1, "densenet": 3, "mobilenet3": 0}  # norms of pixels, or before a relu
    assert kinds(net)["BatchNorm"] == left[name]


@pytest.mark.parametrize("options", [{}, {"se": True}, {"epsilon": 1e-3}])
def test_a_published_iresnet_that_is_not_quite_ours(options, tmp_path):
    expected = save_reference(lresnet((1, 2, 2, 1), (16, 16, 32, 64, 128), 16, foreign=True, **options), tmp_path / "m")
    net = load_model(tmp_path / "m", CPU)
    done = evaluation_network(net)
    assert isinstance(net, SymbolNetwork) and done.unfolded is None
    got = done(mx.nd.array(two_images(), dtype="uint8")).asnumpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert options.get("se") or not {"BatchNorm", "LeakyReLU", "elemwise_add"} & set(kinds(net))


def test_relu_and_sums_go_into_the_convolution_before_them():
    x = sym.Activation(batch_norm(conv(sym.var("data"), "a", 8, 3), "b"), act_type="relu")
    y = sym.Activation(batch_norm(conv(x, "c", 8, 3), "d") + x, act_type="relu")
    net = with_parameters(sym.Flatten(y), 3)
    assert kinds(net) == {"Convolution": 2, "Flatten": 1}
    assert cosines(evaluation_network(net), net, images(2, SIDE)).min() > 0.9999999


def _axis(x):
    return sym.BatchNorm(x, axis=2, name="odd")


def _layout(x):
    return sym.Convolution(x, num_filter=8, kernel=(3, 3), layout="NHWC", name="odd")


def _made_slope(x):
    return sym.LeakyReLU(x, sym.mean(x, axis=(0, 2, 3)), act_type="prelu", name="odd")


def _shared_name(x):
    return sym.Activation(sym.Activation(x, act_type="tanh", name="odd"), act_type="sigmoid", name="odd")


def _scaled_by_a_parameter(x):
    return sym.broadcast_mul(sym.var("w", shape=(1, 8, 1, 1)), x, name="odd")


@pytest.mark.parametrize(
    "step, reason",
    [
        (_axis, "odd: BatchNorm with axis 2 cannot be followed, only 1"),
        (_layout, "odd: Convolution with layout NHWC cannot be followed, only NCHW"),
        (_made_slope, "odd: what the operator LeakyReLU does with its parameters is not known"),
        (_scaled_by_a_parameter, "odd: what the operator broadcast_mul does with its parameters is not known"),
        (_shared_name, "two operators of the network have one name"),
    ],
)
def test_what_cannot_be_followed_runs_as_it_stands(step, reason):
    net = with_parameters(sym.Flatten(step(conv(sym.var("data"), "a", 8, 3))))
    if step is not _layout:  # which MXNet has on GPUs alone
        done, batch = evaluation_network(net), mx.nd.array(images(2, SIDE), dtype="uint8")
        np.testing.assert_array_equal(done(batch).asnumpy(), net(batch).asnumpy())
        assert done.unfolded == reason
    with pytest.raises(UserError, match=reason):
        inference_graph(net)


@pytest.mark.parametrize(
    "step",
    [
        lambda x: sym.BatchNorm(x, output_mean_var=True, name="b")[0],
        lambda x: sym.cast(sym.cast(x, dtype="int32"), dtype="float32"),
        lambda x: sym.BatchNorm(sym.FullyConnected(x, num_hidden=8, flatten=False, name="f"), name="b"),
        lambda x: sym.FullyConnected(sym.BatchNorm(x, name="b"), num_hidden=8, flatten=False, name="f"),
        lambda x: conv(sym.BatchNorm(conv(x, "one", 1, 3), fix_gamma=False, name="b"), "c", 8, 3),
        lambda x: batch_norm(
            sym.Convolution(x, num_filter=8, kernel=(1, 1), dilate=(2, 2), stride=(2, 2), name="c"), "b"
        ),
    ],
    ids=[
        "output_mean_var",
        "integers",
        "norm of a last axis",
        "layer of a last axis",
        "one channel",
        "dilated",
    ],
)
def test_attributes_that_change_what_a_rule_may_do(step):
    net = with_parameters(sym.Flatten(step(40 * conv(sym.var("data"), "a", 8, 3))), 5)
    done = evaluation_network(net)
    assert done.unfolded is None and cosines(done, net, images(2, SIDE)).min() > 0.9999999


def _relu(x):
    return sym.Activation(x, act_type="relu")


@pytest.mark.parametrize(
    "step",
    [
        lambda x, c: _relu(c) + x,
        lambda x, c: _relu(_relu(c) + x) + c,
        lambda x, c: c + x + conv(c, "d", 8, 3),
        lambda x, c: (c * 1 + x) + conv(c * 1, "d", 8, 3),
        lambda x, c: (lambda same: (same + x) * conv(same, "d", 8, 3))(c * 1),
        lambda x, c: prelu(c, "p_relu") + sym.Activation(c, act_type="tanh"),
        lambda x, c: sym.Activation(c, act_type="tanh") + prelu(c, "p_relu"),
        lambda x, c: conv(batch_norm(c, "b"), "d", 8, 3) * prelu(c, "p_relu"),
        lambda x, c: c + c,
        lambda x, c: conv(x, "d", 3, 3) + x.get_internals()["data"],
    ],
    ids=[
        "sum after relu", "relu, sum, relu", "read by two", "two aliases", "an alias that two read",
        "PReLU and another", "another and PReLU", "PReLU and a norm", "itself", "pixels",
    ],
)  # fmt: skip
def test_a_convolution_takes_in_only_what_alone_reads_it(step):
    x = sym.Activation(conv(sym.var("data") * 0.01, "a", 8, 3), act_type="tanh")
    net = with_parameters(sym.Flatten(step(x, conv(x, "c", 8, 3))), 2)
    done = evaluation_network(net)
    assert done.unfolded is None and cosines(done, net, images(2, SIDE)).min() > 0.9999999


def test_one_parameter_of_two_layers():
    weight = sym.var("w", shape=(8, 8, 3, 3))
    x = conv(sym.var("data"), "a", 8, 3)
    for number in range(2):
        x = sym.Convolution(x, weight, num_filter=8, kernel=(3, 3), pad=(1, 1), no_bias=True, name=f"c{number}")
        x = batch_norm(x, f"b{number}")
    net = with_parameters(sym.Flatten(x))
    assert cosines(evaluation_network(net), net, images(2, SIDE)).min() > 0.9999999
    assert kinds(net)["BatchNorm"] == 0


def test_the_length_of_embeddings_counts(monkeypatch):
    net = random_network(0)
    other = random_network(0)
    for name, parameter in other.collect_params().items():
        parameter.set_data(net.collect_params()[name].data())
    done = evaluation_network(net)
    double = lambda images: 2 * other(images)  # noqa: E731
    assert done._cosine(double) == pytest.approx(0.8)


ELSEWHERE = """
import sys
import numpy as np
from arcface_gluon import blas
precision, folder = sys.argv[1:]
if precision == "bfloat16":
    assert blas.allow_amx()
import mxnet as mx
sys.path.insert(0, folder)
from foreign_symbols import SYMBOLS
from random_symbols import SIDE, random_network, with_parameters
from small_networks import images
from test_folding import cosines
from arcface_gluon.models.folded import evaluation_network
from reference_symbol import lresnet
nets = [(random_network(seed), SIDE) for seed in range(8)]
nets += [(with_parameters(make(mx.sym.var("data")), 0, (112, 112)), 112) for make in SYMBOLS.values()]
nets += [(with_parameters(lresnet((1, 2, 1, 1), (16, 16, 32, 64, 128), 16, foreign=True), 0, (32, 32)), 32)]
for net, side in nets:
    done = evaluation_network(net, precision=precision)
    assert done.unfolded is None and done.precision == precision
    print(cosines(done, net, images(2, side)).min())
"""


@pytest.mark.parametrize(
    "precision, least, most, variables",
    [
        ("float32", 0.999999, 1.001, {"DNNL_MAX_CPU_ISA": "AVX2"}),
        pytest.param(
            "bfloat16", 0.998, 0.9999999, {},
            marks=pytest.mark.skipif(blas.why_no_amx() is not None, reason="needs a processor with AMX"),
        ),
    ],
)  # fmt: skip
def test_with_other_instructions(precision, least, most, variables):
    command = [sys.executable, "-c", ELSEWHERE, precision, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    assert found.returncode == 0, found.stderr
    values = [float(line) for line in found.stdout.split()]
    assert len(values) == 13 and least < min(values) and min(values) < most, values

"""Symbols that are none of ours, on their way to ONNX and back into MXNet's files."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from foreign_symbols import SYMBOLS
from helpers import optional
from reference_symbol import save_reference, two_images
from small_networks import assert_same

import arcface_gluon as ag
from arcface_gluon.errors import UserError
from arcface_gluon.models import Normalisation, read_params
from arcface_gluon.models.exported import SymbolNetwork

CPU, SIZE = [mx.cpu(0)], (112, 112)


@pytest.fixture(params=SYMBOLS)
def saved(request, tmp_path):
    """(prefix of a checkpoint, its embeddings of two images)."""
    symbol = SYMBOLS[request.param](mx.sym.var("data"))
    return tmp_path / "m", save_reference(symbol, tmp_path / "m", SIZE)


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_onnx_runtime_gives_what_the_symbol_gives(saved, tmp_path, opset):
    optional("onnx"), optional("onnxruntime")
    prefix, expected = saved
    net = ag.load_model(prefix, CPU)
    assert isinstance(net, SymbolNetwork)
    done = ag.export(net, tmp_path / "m.onnx", images=two_images(SIZE), opset=opset)
    assert done.difference < 1e-4
    from arcface_gluon.models.formats.onnx_file import run_onnx

    assert_same(run_onnx((tmp_path / "m.onnx").read_bytes(), two_images(SIZE)), expected, 1e-4)


def test_insightface_does_not_normalise_twice(saved, tmp_path):
    client = optional("insightface.model_zoo").ArcFaceONNX
    prefix, expected = saved
    ag.export(ag.load_model(prefix, CPU), tmp_path / "m.onnx")
    reader = client(str(tmp_path / "m.onnx"))
    assert (reader.input_mean, reader.input_std) == (0.0, 1.0)
    bgr = [np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1]) for image in two_images(SIZE)]
    assert_same(reader.get_feat(bgr), expected, 1e-3)


def test_mxnets_files_come_back_bit_for_bit(saved, tmp_path):
    prefix, expected = saved
    ag.export(ag.load_model(prefix, CPU), tmp_path / "again", "mxnet")
    before, after = (read_params(f"{name}-0000.params") for name in (prefix, tmp_path / "again"))
    assert set(before) == set(after)
    assert all((before[name] == after[name]).all() for name in before if name != "arg:fc1_gamma")
    net = ag.load_model(tmp_path / "again", CPU)
    assert_same(net(mx.nd.array(two_images(SIZE), dtype="uint8")).asnumpy(), expected)


def test_a_normalisation_goes_out_too(tmp_path):
    optional("onnx"), optional("onnxruntime")
    symbol = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=8), act_type="tanh")
    symbol = mx.sym.FullyConnected(symbol, num_hidden=8, name="pre_fc1")
    symbol = mx.sym.BatchNorm(symbol, eps=2e-5, fix_gamma=True, name="fc1")
    mean = np.array([104.0, 117.0, 123.0], np.float32)[:, None, None]
    expected = save_reference(symbol, tmp_path / "m", SIZE, lambda x: (x[:, ::-1] - mean) / 128)
    net = ag.load_model(tmp_path / "m", CPU, Normalisation((104.0, 117.0, 123.0), (128.0,), True))
    assert ag.export(net, tmp_path / "m.onnx", images=two_images(SIZE)).difference < 1e-4
    ag.export(net, tmp_path / "again", "mxnet")
    again = ag.load_model(tmp_path / "again", CPU)
    assert not again.notes, "it normalises by itself now"
    assert_same(again(mx.nd.array(two_images(SIZE))).asnumpy(), expected)


@pytest.mark.parametrize("to", ["torch", "npz"])
def test_other_formats_refuse_it_in_a_line(saved, tmp_path, to):
    optional("torch")
    with pytest.raises(UserError, match="none of this project's networks.*onnx or mxnet"):
        ag.export(ag.load_model(saved[0], CPU), tmp_path / "x", to)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: mx.sym.UpSampling(x, scale=2, sample_type="nearest"), "UpSampling"),
        (lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="sum"), "pool_type=sum"),
        (lambda x: mx.sym.broadcast_mul(x, mx.sym.var("own_weight", shape=(1, 3, 1, 1))), "with its parameters"),
        (lambda x: mx.sym.BatchNorm(x, axis=2, name="b"), "with axis 2"),
    ],
)
def test_operators_without_a_counterpart_are_named(tmp_path, change, words):
    optional("onnx")
    x = mx.sym.FullyConnected(change(mx.sym.var("data") - 1), num_hidden=8, name="pre_fc1")
    save_reference(mx.sym.BatchNorm(x, fix_gamma=True, name="fc1"), tmp_path / "m", (32, 32))
    with pytest.raises(UserError, match=words):
        ag.export(ag.load_model(tmp_path / "m", CPU), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_old_names_of_operators(tmp_path):
    """As symbols of MXNet before 1.0 write them."""
    optional("onnx"), optional("onnxruntime")
    expected = save_reference(SYMBOLS["resnet"](mx.sym.var("data")), tmp_path / "m", SIZE)
    graph = json.loads((tmp_path / "m-symbol.json").read_text())
    for node in graph["nodes"]:
        node["op"] = {"elemwise_add": "_Plus"}.get(node["op"], node["op"])
        node["param"] = node.pop("attrs", {})
    graph.pop("attrs", None)
    (tmp_path / "m-symbol.json").write_text(json.dumps(graph))
    net = ag.load_model(tmp_path / "m", CPU)
    assert_same(net(mx.nd.array(two_images(SIZE))).asnumpy(), expected)
    assert ag.export(net, tmp_path / "m.onnx", images=two_images(SIZE)).difference < 1e-4

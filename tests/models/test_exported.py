"""Symbols and .params as people have them, against the symbol's own forward."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from reference_symbol import CHANNELS, batch_norm, conv, lresnet, save_reference, two_images
from small_networks import assert_same

from arcface_gluon import load_model
from arcface_gluon.errors import UserError
from arcface_gluon.models import Normalisation, export_model, read_params, write_params
from arcface_gluon.models.backbone import Backbone, input_size
from arcface_gluon.models.exported import SymbolNetwork
from arcface_gluon.models.folded import evaluation_network

CPU = [mx.cpu(0)]


def small(**other):
    return lresnet((1, 2, 1, 1), CHANNELS, 16, **other)


def plain():
    """A network that is none of ours."""
    x = conv((mx.sym.Variable("data") - 127.5) * 0.0078125, "conv0", 4, 3, 16)
    return batch_norm(mx.sym.FullyConnected(x, num_hidden=8, name="pre_fc1"), "fc1", fix_gamma=True)


def embeddings(path, size=(32, 32), normalisation=None):
    net = load_model(path, CPU, normalisation)
    return net, net(mx.nd.array(two_images(size), dtype="uint8")).asnumpy()


def change(prefix, work):
    """Let `work` change the parameters of a checkpoint in place."""
    values = read_params(f"{prefix}-0000.params")
    work(values)
    write_params(f"{prefix}-0000.params", values)


@pytest.mark.parametrize("name", ["fc7_weight", "fc7_0_weight", "fc7_bias"])
def test_class_centres_left_in_a_file_are_ignored(tmp_path, name):
    expected = save_reference(small(), tmp_path / "m")
    change(tmp_path / "m", lambda values: values.update({f"arg:{name}": np.ones((5, 16), np.float32)}))
    assert_same(embeddings(tmp_path / "m")[1], expected)
    change(tmp_path / "m", lambda values: values.update({"arg:stage1_unit2_bn1_beta": np.ones(16, np.float32)}))
    with pytest.raises(UserError, match="stage1_unit2_bn1_beta"):
        load_model(tmp_path / "m", CPU)


@pytest.mark.parametrize("symbol", [small(), small(foreign=True)], ids=["ours", "another"])
def test_a_fixed_gamma_may_be_absent(tmp_path, symbol):
    expected = save_reference(symbol, tmp_path / "m")
    change(tmp_path / "m", lambda values: values.pop("arg:fc1_gamma"))
    assert_same(embeddings(tmp_path / "m")[1], expected)
    change(tmp_path / "m", lambda values: values.pop("arg:bn1_gamma"))  # which is free
    with pytest.raises(UserError, match="bn1_gamma"):
        load_model(tmp_path / "m", CPU)


@pytest.mark.parametrize("size", [(112, 96), (128, 128), (96, 112)])
def test_a_symbol_of_another_size_says_so(tmp_path, size):
    expected = save_reference(plain(), tmp_path / "m", size)
    net, found = embeddings(tmp_path / "m", size)
    assert isinstance(net, SymbolNetwork)
    assert_same(found, expected)
    assert np.prod(input_size(net)) == np.prod(size) and input_size(net)[0] >= input_size(net)[1]
    assert input_size(evaluation_network(net)) == input_size(net)


def test_our_blocks_of_another_size(tmp_path):
    expected = save_reference(small(), tmp_path / "m", (112, 96))
    net, found = embeddings(tmp_path / "m", (112, 96))
    assert isinstance(net, Backbone) and input_size(net) == (112, 96)
    assert_same(found, expected)


@pytest.mark.parametrize("foreign", [False, True])
def test_the_image_may_have_another_name(tmp_path, foreign):
    expected = save_reference(small(data="image", foreign=foreign), tmp_path / "m")
    assert_same(embeddings(tmp_path / "m")[1], expected)


def test_the_embedding_is_taken_before_its_normalisation(tmp_path):
    expected = save_reference(small(), tmp_path / "m")
    mx.sym.L2Normalization(small(), mode="instance", name="out").save(str(tmp_path / "m-symbol.json"))
    # As a symbol that names its last layer otherwise has it.
    graph = json.loads((tmp_path / "m-symbol.json").read_text())
    next(node for node in graph["nodes"] if node["name"] == "fc1")["name"] = "last"
    (tmp_path / "m-symbol.json").write_text(json.dumps(graph))
    net, found = embeddings(tmp_path / "m")
    assert_same(found, expected)
    assert len(net.notes) == 1 and "m-symbol.json ends in out" in net.notes[0]


def test_float16_symbols_compute_in_float32(tmp_path):
    expected = save_reference(small(foreign=True), tmp_path / "m")
    x = mx.sym.Cast(mx.sym.Variable("data"), dtype="float16")
    mx.sym.Cast(small(foreign=True)(data=x), dtype="float32", name="fc1_32").save(str(tmp_path / "m-symbol.json"))

    def halve(values):
        for name in list(values):
            values[name] = values[name].astype(np.float16)

    change(tmp_path / "m", halve)
    assert_same(embeddings(tmp_path / "m")[1], expected, 0.02)


def test_a_symbol_without_normalisation_says_so_and_takes_it(tmp_path):
    wanted = save_reference(small(), tmp_path / "ours")
    expected = save_reference(small(mean=None), tmp_path / "m", pixels=lambda x: (x - 127.5) / 128)
    net, found = embeddings(tmp_path / "m", normalisation=Normalisation((127.5,), (128.0,)))
    assert net.spec["options"]["input_scale"] == 1 / 128 and not net.notes
    assert_same(found, expected)
    assert_same(found, wanted)
    raw = save_reference(small(mean=None), tmp_path / "m")
    net, found = embeddings(tmp_path / "m")
    assert "does not normalise" in net.notes[0] and "--mean" in net.notes[0]
    assert net.found_raw and (net.spec["options"]["input_mean"], net.spec["options"]["input_scale"]) == (0, 1)
    assert_same(found, raw)


@pytest.mark.parametrize("bgr", [False, True])
def test_means_of_channels_and_blue_first(tmp_path, bgr):
    mean, std = np.array([104.0, 117.0, 123.0], np.float32), np.array([58.0, 57.0, 59.0], np.float32)

    def pixels(x):
        x = x[:, ::-1] if bgr else x
        return (x - mean[:, None, None]) / std[:, None, None]

    expected = save_reference(small(mean=None), tmp_path / "m", pixels=pixels)
    given = Normalisation(tuple(map(float, mean)), tuple(map(float, std)), bgr)
    net, found = embeddings(tmp_path / "m", normalisation=given)
    assert net.normalisation == given and not net.notes
    assert_same(found, expected)
    # It is a value of the network, which every file that is written of it says again.
    assert net.spec["options"]["bgr"] is bgr and net.spec["options"]["input_mean"] == [104, 117, 123]
    export_model(net, tmp_path / "again")
    again, found_again = embeddings(tmp_path / "again")
    assert again.spec == net.spec and (found_again == found).all()


def test_a_symbol_of_another_mean_is_ours(tmp_path):
    expected = save_reference(small(mean=120, scale=0.01), tmp_path / "m")
    net, found = embeddings(tmp_path / "m")
    assert (net.spec["options"]["input_mean"], net.spec["options"]["input_scale"]) == (120, 0.01)
    assert_same(found, expected)


def test_blue_first_alone_goes_before_any_symbol(tmp_path):
    expected = save_reference(small(), tmp_path / "m", pixels=lambda x: x[:, ::-1])
    net, found = embeddings(tmp_path / "m", normalisation=Normalisation(bgr=True))
    assert net.spec["options"]["bgr"] is True
    assert_same(found, expected)


def test_normalising_twice_is_refused(tmp_path):
    save_reference(small(), tmp_path / "m")
    with pytest.raises(UserError, match="normalises by itself .*_minus_scalar"):
        load_model(tmp_path / "m", CPU, Normalisation((127.5,), (128.0,)))


@pytest.mark.parametrize("mean, std", [((1.0, 2.0), (1.0,)), ((0.0,), (0.0,)), ((float("nan"),), (1.0,))])
def test_a_normalisation_that_cannot_be(mean, std):
    with pytest.raises(UserError, match="--(mean|std)"):
        Normalisation(mean, std)

"""The reference's names and graphs, against a symbol written independently from its description."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from reference_symbol import CHANNELS, lresnet, save_reference
from small_networks import TINY, assert_same, images, randomise

from arcface_gluon.models import export_model, get_model, load_model
from arcface_gluon.models.exported import SymbolNetwork
from arcface_gluon.models.reference import export_symbol, recognise, reference_name


@pytest.mark.parametrize("se", [False, True])
@pytest.mark.parametrize("units", [(2, 2, 2, 2), (3, 4, 14, 3)])
def test_names_and_shapes_are_the_reference_s_in_full(units, se):
    symbol = lresnet(units, (64, 64, 128, 256, 512), 512, se)
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 3, 112, 112))
    wanted = dict(zip(symbol.list_arguments(), arguments), **dict(zip(symbol.list_auxiliary_states(), auxiliary)))
    del wanted["data"]
    net = get_model("r18", units=units, se=se)
    assert {reference_name(k): p.shape for k, p in net._collect_params_with_prefix().items()} == wanted
    ours = export_symbol(net)
    assert set(ours.list_inputs()) == {"data", *wanted}
    assert ours.list_auxiliary_states() == symbol.list_auxiliary_states()
    assert ours.list_outputs() == ["fc1_output"]
    assert ours.get_internals().list_outputs()[1] == "id_output"


@pytest.mark.parametrize("se", [False, True])
def test_a_reference_checkpoint_becomes_our_network(tmp_path, se):
    symbol = lresnet((1, 2, 1, 1), CHANNELS, 16, se)
    expected = save_reference(symbol, tmp_path / "model")
    net = load_model(tmp_path / "model", [mx.cpu(0)])
    assert net.spec["name"] == "r50" and net.spec["options"]["units"] == [1, 2, 1, 1]
    assert net.spec["embedding_size"] == 16 and net.spec["options"]["se"] is se
    assert_same(net(mx.nd.array(images(2, 32))).asnumpy(), expected)


def test_published_depths_are_named():
    symbol = lresnet((3, 13, 30, 3), (64, 64, 128, 256, 512), 512)
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 3, 112, 112))
    shapes = dict(zip(symbol.list_arguments() + symbol.list_auxiliary_states(), arguments + auxiliary))
    spec = recognise(symbol, shapes).spec
    assert spec == get_model("r100").spec


def test_other_depths_keep_their_names(tmp_path):
    save_reference(lresnet((3, 6, 24, 3), (8, 8, 16, 32, 64), 16), tmp_path / "model")
    net = load_model(tmp_path / "model", [mx.cpu(0)])
    assert net.spec["name"] == "r74" and net.spec["options"]["units"] == [3, 6, 24, 3]


def test_a_graph_that_computes_otherwise_stays_a_symbol(tmp_path):
    """Same names and shapes, an operator more: it must not be taken for ours."""
    symbol = lresnet((1, 2, 1, 1), CHANNELS, 16, foreign=True)
    expected = save_reference(symbol, tmp_path / "model")
    net = load_model(tmp_path / "model-0000.params", [mx.cpu(0)])
    assert isinstance(net, SymbolNetwork) and net.spec is None
    for dtype in ("uint8", "float32"):
        got = net(mx.nd.array(images(2, 32), dtype=dtype)).asnumpy()
        assert_same(got, expected)


@pytest.mark.parametrize(
    "other, options",
    [
        ({"scale": 0.01}, {"input_scale": 0.01}),
        ({"divisor": 127.5}, {"input_scale": 1 / 127.5}),
        ({"epsilon": 1e-5, "scale": 1 / 127.5}, {"epsilon": 1e-5, "input_scale": 1 / 127.5}),
    ],
)
def test_other_constants_become_options(tmp_path, other, options):
    expected = save_reference(lresnet((1, 2, 1, 1), CHANNELS, 16, **other), tmp_path / "model")
    net = load_model(tmp_path / "model", [mx.cpu(0)])
    assert {**net.spec["options"], **options} == net.spec["options"]
    assert_same(net(mx.nd.array(images(2, 32))).asnumpy(), expected)
    export_model(net, tmp_path / "again")
    again = load_model(tmp_path / "again", [mx.cpu(0)])
    assert_same(again(mx.nd.array(images(2, 32))).asnumpy(), expected)


def test_layers_after_the_embedding_are_cut_off(tmp_path):
    symbol = lresnet((1, 2, 1, 1), CHANNELS, 16)
    expected = save_reference(symbol, tmp_path / "model")
    whole = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(symbol, num_hidden=5, no_bias=True, name="fc7"))
    whole.save(str(tmp_path / "model-symbol.json"))
    stored = mx.nd.load(str(tmp_path / "model-0000.params"))
    mx.nd.save(str(tmp_path / "model-0000.params"), {**stored, "arg:fc7_weight": mx.nd.ones((5, 16))})
    net = load_model(tmp_path / "model", [mx.cpu(0)])
    assert_same(net(mx.nd.array(images(2, 32))).asnumpy(), expected)


@pytest.mark.parametrize("options", [{}, {"se": True}, {"output": "G"}, {"output": "J", "input_size": 50}])
def test_exports_are_read_by_the_reference_s_loader(tmp_path, options):
    net = randomise(get_model("r18", **{**TINY, **options}))
    size = net.spec["options"]["input_size"]
    export_model(net, tmp_path / "m")
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(tmp_path / "m"), 0)
    module = mx.mod.Module(symbol.get_internals()["fc1_output"], label_names=None)
    module.bind([("data", (2, 3, size, size))], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([mx.nd.array(images(2, size))]), is_train=False)
    expected = net(mx.nd.array(images(2, size))).asnumpy()
    assert_same(module.get_outputs()[0].asnumpy(), expected)


@pytest.mark.parametrize(
    "name, small", [("r18", TINY), ("mobilefacenet", {"embedding_size": 16, "blocks": (1, 1, 1, 1)})]
)
@pytest.mark.parametrize("marked", [True, False])
def test_models_of_unequal_sides_are_recognised(tmp_path, name, small, marked):
    net = randomise(get_model(name, **{**small, "input_size": (112, 96)}))
    export_model(net, tmp_path / "m")
    if not marked:  # as other tools write them, without our options
        graph = json.loads((tmp_path / "m-symbol.json").read_text())
        for node in graph["nodes"]:
            node.get("attrs", {}).pop("__arcface_gluon__", None)
        (tmp_path / "m-symbol.json").write_text(json.dumps(graph))
    again = load_model(tmp_path / "m", [mx.cpu(0)])
    assert tuple(again.spec["options"]["input_size"]) == (112, 96)
    batch = mx.nd.array(np.random.default_rng(0).integers(0, 256, (2, 3, 112, 96)), dtype="uint8")
    assert_same(again(batch).asnumpy(), net(batch).asnumpy())


def test_exported_graph_holds_no_name_of_ours(tiny):
    nodes = json.loads(export_symbol(tiny).tojson())["nodes"]
    names = [node["name"] for node in nodes if node["op"] != "null"]
    assert not [name for name in names if name.endswith("_fwd")]
    assert [node["attrs"]["act_type"] for node in nodes if node["op"] == "LeakyReLU"] == ["prelu"] * 6

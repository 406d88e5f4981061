"""The way out: what is refused, what is compared, and what a file says of itself."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from helpers import optional
from small_networks import TINY, assert_same, images

import arcface_gluon as ag
from arcface_gluon.errors import UserError
from arcface_gluon.files import sha256, write_json
from arcface_gluon.models import export_model
from arcface_gluon.models.formats import exporting
from arcface_gluon.models.formats.metadata import metadata_of

BATCH = images(3, TINY["input_size"])


def test_an_archive_gives_the_same_network_bit_for_bit(tiny, tmp_path):
    done = ag.export(tiny, tmp_path / "net.npz", "npz", images=BATCH)
    assert done.difference < 1e-5 and done.size == (tmp_path / "net.npz").stat().st_size
    again = ag.load_model(tmp_path / "net.npz", [mx.cpu()])
    assert again.spec == tiny.spec
    for name, parameter in tiny._collect_params_with_prefix().items():
        np.testing.assert_array_equal(
            again._collect_params_with_prefix()[name].data().asnumpy(), parameter.data().asnumpy()
        )


@pytest.mark.parametrize("damage", ["cut", "text", "other", "pickle", "spec", "list"])
def test_damaged_archives_are_refused(tiny, tmp_path, damage):
    file = tmp_path / "net.npz"
    ag.export(tiny, file, "npz")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    elif damage == "text":
        file.write_text("hello")
    elif damage == "other":
        np.savez(file, a=np.ones(3))
    elif damage == "pickle":
        np.savez(file, network=np.array([{}], dtype=object))
    elif damage == "spec":
        np.savez(file, network=np.array('{"name": "r18"}'), conv0=np.ones(3))
    else:
        np.savez(file, network=np.array("[]"))
    with pytest.raises(UserError, match="net.npz") as caught:
        ag.load_model(file, [mx.cpu()])
    assert "\n" not in str(caught.value)


def test_mxnets_module_gives_our_embeddings(tiny, tmp_path):
    done = ag.export(tiny, tmp_path / "net", "mxnet", images=BATCH)
    assert done.difference < 1e-5
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(tmp_path / "net"), 0)
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", BATCH.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([mx.nd.array(BATCH)]), is_train=False)
    assert_same(module.get_outputs()[0].asnumpy(), tiny(mx.nd.array(BATCH)).asnumpy())


def test_a_file_that_gives_other_embeddings_is_not_written(tiny, tmp_path, monkeypatch):
    optional("onnx"), optional("onnxruntime")
    monkeypatch.setattr(exporting, "run_onnx", lambda *_: np.ones((3, 16), np.float32))
    with pytest.raises(UserError, match="gives other embeddings"):
        ag.export(tiny, tmp_path / "net.onnx", images=BATCH)
    assert not list(tmp_path.iterdir())


def test_a_network_of_nan_is_told_as_such(tiny, tmp_path):
    optional("onnx"), optional("onnxruntime")
    tiny.conv0.weight.set_data(tiny.conv0.weight.data() * np.nan)
    with pytest.raises(UserError, match="the network gives NaN"):
        ag.export(tiny, tmp_path / "net.onnx", images=BATCH)
    assert not list(tmp_path.iterdir())


def test_a_file_says_what_it_is(tiny, tmp_path):
    run = tmp_path / "mine"
    export_model(tiny, run / "m")
    folder = run / "checkpoints" / "00000007"
    folder.mkdir(parents=True)
    write_json(folder / "network.json", tiny.spec)
    (run / "m-0000.params").rename(folder / "backbone.params")
    recipe = {"loss": "arcface", "data": {"path": "/home/me/casia"}, "run": {"folder": "/home/me/runs"}}
    write_json(run / "recipe.json", recipe)
    said = metadata_of(run)
    assert said["loss"] == "arcface" and said["data"] == "casia" and "casia" in said["license"]
    assert said["sha256"] == sha256(folder / "backbone.params") and said["source"] == "mine/00000007"
    assert json.loads(said["recipe"])["loss"] == "arcface" and "/home/me" not in str(said)


def test_refusals(tiny, tmp_path):
    for to, options, words in (
        ("tflite", {}, "--to tflite"),
        ("mxnet", {"raw": True}, "are for --to onnx"),
        ("onnx", {"opset": 9}, "--opset 9"),
    ):
        if to == "onnx":
            optional("onnx")
        with pytest.raises(UserError, match=words):
            ag.export(tiny, tmp_path / "net", to, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_is_of_the_format_that_its_name_says(tiny, tmp_path):
    ag.export(tiny, tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes().startswith(b"PK")
    kinds = {"a.onnx": "onnx", "a.npz": "npz", "a.pth": "torch", "a.pt": "torch", "a": "onnx"}
    assert {name: exporting.format_of(name) for name in kinds} == kinds
    assert exporting.format_of("v1.2", "mxnet") == "mxnet"
    for name, to, words in (
        ("a.pt", "onnx", "named as --to torch would be"),
        ("a.bin", None, "a.bin ends in no format's ending; say with --to"),
        ("a-symbol.json", None, "what stands before -symbol.json"),
        ("a-0000.params", "mxnet", "what stands before -symbol.json"),
    ):
        with pytest.raises(UserError, match=words):
            exporting.format_of(name, to)

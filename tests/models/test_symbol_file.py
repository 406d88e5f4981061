"""A symbol is checked before MXNet sees it: what would crash the process, or do more than compute, is one line."""

from __future__ import annotations

import json

import mxnet as mx
import pytest
from reference_symbol import lresnet

from arcface_gluon.errors import UserError
from arcface_gluon.models.symbol_file import read_symbol


def graph():
    return json.loads(lresnet((1, 1, 1, 1), (8, 8, 16, 16, 16), 8).tojson())


def read(tmp_path, value):
    path = tmp_path / "m-symbol.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return read_symbol(path)


def first(nodes, operator):
    return next(node for node in nodes if node["op"] == operator)


def test_a_network_is_read_as_mxnet_reads_it(tmp_path):
    value = graph()
    expected = mx.sym.load_json(json.dumps(value))
    found = read(tmp_path, value)
    assert json.loads(found.tojson())["nodes"] == json.loads(expected.tojson())["nodes"]
    assert found.list_outputs() == expected.list_outputs()


def test_heads_and_attributes_of_old_files(tmp_path):
    value = graph()
    for node in value["nodes"]:
        node["param"] = node.pop("attrs", {})
        node["backward_source_id"] = -1
        node["inputs"] = [entry[:2] for entry in node["inputs"]]
    value["heads"] = [head[:2] for head in value["heads"]]
    del value["attrs"]
    assert read(tmp_path, value).list_arguments() == mx.sym.load_json(json.dumps(graph())).list_arguments()


DAMAGE = {
    "an input out of range": lambda g: g["nodes"][-1]["inputs"][0].__setitem__(0, 10**6),
    "a negative input": lambda g: g["nodes"][-1]["inputs"][0].__setitem__(0, -1),
    "an input that is no number": lambda g: g["nodes"][-1]["inputs"][0].__setitem__(0, True),
    "an input that is itself": lambda g: g["nodes"][-1]["inputs"][0].__setitem__(0, len(g["nodes"]) - 1),
    "an input that comes later": lambda g: g["nodes"][5]["inputs"].append([9, 0, 0]),
    "an output that is not there": lambda g: g["nodes"][-1]["inputs"][0].__setitem__(1, 7),
    "a head out of range": lambda g: g.update(heads=[[10**6, 0, 0]]),
    "no head": lambda g: g.update(heads=[]),
    "no nodes": lambda g: g.update(nodes=[]),
    "too many nodes": lambda g: g.update(nodes=g["nodes"] * 1000),
    "a pointer": lambda g: first(g["nodes"], "Dropout").update(op="_NDArray", attrs={"info": "0xdeadbeef"}),
    "foreign code": lambda g: first(g["nodes"], "Dropout").update(op="Custom", attrs={"op_type": "x"}),
    "a file": lambda g: first(g["nodes"], "Dropout").update(op="_cvimread", attrs={"filename": "/etc/passwd"}),
    "a graph inside": lambda g: first(g["nodes"], "Dropout").update(subgraphs=[graph()]),
    "an operator without inputs": lambda g: first(g["nodes"], "Dropout").update(inputs=[]),
    "groups of none": lambda g: first(g["nodes"], "Convolution")["attrs"].update(num_group="0"),
    "steps of none": lambda g: first(g["nodes"], "Convolution")["attrs"].update(stride="(0, 0)"),
    "a giant kernel": lambda g: first(g["nodes"], "Convolution")["attrs"].update(kernel="(100000, 100000)"),
    "copies of none": lambda g: first(g["nodes"], "Dropout").update(op="tile", attrs={"reps": "(0, -1)"}),
    "a giant shape": lambda g: g["nodes"][0].update(attrs={"__shape__": "(100000, 100000)"}),
    "two inputs of one name": lambda g: first(g["nodes"][1:], "null").update(name="data"),
    "an attribute that is no text": lambda g: first(g["nodes"], "Convolution")["attrs"].update(num_filter=8),
    "a node that is no node": lambda g: g["nodes"].__setitem__(3, [1]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_mxnet_must_not_see_is_refused(tmp_path, monkeypatch, name):
    value = graph()
    DAMAGE[name](value)
    monkeypatch.setattr(mx.sym, "load_json", lambda *_: pytest.fail("MXNet saw it"))
    with pytest.raises(UserError, match=r"m-symbol\.json") as caught:
        read(tmp_path, value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"nodes": 5}', '{"nodes": [{}]}', "[1, 2"])
def test_other_json_is_one_line(tmp_path, text):
    with pytest.raises(UserError, match=r"m-symbol\.json"):
        read(tmp_path, text)


def test_a_network_of_giant_arrays_is_refused(tmp_path):
    x = mx.sym.var("data")
    for level in range(4):
        x = mx.sym.UpSampling(x, scale=30, sample_type="nearest", name=f"up{level}")
    with pytest.raises(UserError, match="makes arrays of"):
        read(tmp_path, x.tojson())


@pytest.mark.parametrize("name", ["x", "input_1", "softmax_label_input"])
def test_an_image_of_another_name_is_found(tmp_path, name):
    value = graph()
    value["nodes"][0]["name"] = name
    assert "data" in read(tmp_path, value).list_arguments()


def test_a_network_without_an_image_is_refused(tmp_path):
    with pytest.raises(UserError, match="no input for images"):
        read(tmp_path, mx.sym.Activation(mx.sym.var("fc1_bias"), act_type="relu").tojson())
    label = mx.sym.Activation(mx.sym.var("softmax_label"), act_type="relu").tojson()
    with pytest.raises(UserError, match="no input for images"):
        read(tmp_path, label)


def test_float16_becomes_float32(tmp_path):
    x = mx.sym.Cast(mx.sym.var("data", dtype="float16"), dtype="float16")
    found = json.loads(read(tmp_path, mx.sym.Activation(x, act_type="relu").tojson()).tojson())["nodes"]
    assert found[1]["attrs"]["dtype"] == "float32" and found[0]["attrs"]["__dtype__"] == "0"

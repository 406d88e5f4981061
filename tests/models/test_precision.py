"""What dtype=auto takes: by the processor, by the devices, and by how wide a network's convolutions are."""

from __future__ import annotations

import mxnet as mx
import pytest
from mxnet.gluon import nn
from small_networks import TINY, randomise

from arcface_gluon import blas, get_model
from arcface_gluon.cli.options import automatic_network
from arcface_gluon.errors import UserError
from arcface_gluon.models import precision
from arcface_gluon.models.precision import training_precision, why_float32

CPU = [mx.cpu(0)]


def test_what_devices_and_processors_train_in(monkeypatch):
    monkeypatch.setattr(blas, "processor_features", frozenset)
    net = get_model("r18")
    assert training_precision("auto", CPU, net) == ("float32", "bfloat16 needs AMX, and this processor has none")
    with pytest.raises(UserError, match="train.dtype=bfloat16 needs CPUs with AMX, and this processor has none"):
        training_precision("bfloat16", CPU, net)
    with pytest.raises(UserError, match="float16 needs GPUs"):
        training_precision("float16", CPU, net)
    assert training_precision("float16", [mx.gpu(0)], net) == ("float16", "as the recipe has it")
    assert training_precision("auto", [mx.gpu(0)], net) == ("float32", "GPUs do not train in bfloat16 here")
    assert training_precision("auto", CPU, nn.Dense(4))[0] == "float32"
    with pytest.raises(UserError, match="and GPUs are trained on here"):
        training_precision("bfloat16", [mx.gpu(0)], net)
    with pytest.raises(UserError, match="derived from models.Backbone"):
        training_precision("bfloat16", CPU, nn.Dense(4))


# Widths of the recipes orl and synthetic are a quarter. Each ratio of the times was measured: docs/benchmarks.md.
@pytest.mark.parametrize(
    "name, options, trained, evaluated",
    [
        ("r18", {}, "bfloat16", "bfloat16"),
        ("r50", {"se": True}, "bfloat16", "bfloat16"),
        ("r18", {"width": 0.5, "stem_stride": 2, "input_size": 56}, "bfloat16", "bfloat16"),
        ("r18", {"width": 0.375}, "float32", "bfloat16"),
        ("r18", {"width": 0.25, "stem_stride": 2}, "float32", "bfloat16"),
        ("r18", {"width": 0.125}, "float32", "float32"),
        ("mobilefacenet", {}, "float32", "bfloat16"),
    ],
)
def test_auto_is_bfloat16_where_the_convolutions_are_wide(monkeypatch, name, options, trained, evaluated):
    asked = []
    monkeypatch.setattr(blas, "allow_amx", lambda: asked.append(1) or True)
    net = get_model(name, **options)
    found, reason = training_precision("auto", CPU, net)
    assert found == trained and ("AMX" in reason) == (trained == "bfloat16")
    assert bool(asked) == (trained == "bfloat16")  # float32 stays what it is where AMX was not asked for
    assert training_precision("bfloat16", CPU, net)[0] == "bfloat16"
    reason = why_float32(net, training=False)
    assert (reason is None) == (evaluated == "bfloat16")


def test_the_reason_says_how_much_is_narrow():
    net = get_model("r18", **{**TINY, "width": 0.25})
    assert "convolutions whose channels are no multiple of 32" in why_float32(net, training=True)
    assert "depthwise" in why_float32(get_model("mobilefacenet"), training=True)
    assert why_float32(nn.HybridLambda("flatten"), training=True) is None  # nothing to judge by


def test_evaluation_falls_back_to_float32_and_says_why(monkeypatch, capsys):
    net = randomise(get_model("r18", **TINY))
    monkeypatch.setattr(precision, "why_float32", lambda net, training: "it is narrow")
    assert automatic_network(net, CPU).precision == "float32"
    assert capsys.readouterr().err == "note: --dtype auto is float32: it is narrow\n"
    monkeypatch.setattr(precision, "why_float32", lambda net, training: None)
    monkeypatch.setattr(blas, "allow_amx", lambda: False)  # as a network that cannot be folded, refused in bfloat16
    assert automatic_network(net, CPU).precision == "float32"
    assert "dtype=bfloat16 needs AMX" in capsys.readouterr().err

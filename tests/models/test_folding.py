"""A folded network gives the embeddings of the one it was made of, from fewer operators, in each precision."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn
from small_networks import TINY, images, randomise

from arcface_gluon import blas, get_model, load_model
from arcface_gluon.errors import UserError
from arcface_gluon.models import export_model, folded, model_names
from arcface_gluon.models.backbone import Backbone
from arcface_gluon.models.folded import evaluation_network
from arcface_gluon.models.folding import fold
from arcface_gluon.models.graph import inference_graph

NARROW = {"width": 0.125, "input_size": 32}
NETWORKS = {
    **{name: (name, NARROW if name != "mobilefacenet" else {"input_size": 64}) for name in model_names()},
    **{f"head {letter}": ("r18", {**NARROW, "output": letter}) for letter in "FGHIJ"},
    "SE": ("r34", {**NARROW, "se": True}),
    "SE, head H": ("r18", {**NARROW, "se": True, "output": "H"}),
    "arcface_torch": ("r18", {**NARROW, "epsilon": 1e-5, "input_scale": 1 / 127.5, "stem_stride": 2}),
    "oblong": ("r18", {**NARROW, "input_size": (48, 32)}),
    "large mobilefacenet": ("mobilefacenet", {"blocks": (2, 2, 2, 2), "input_size": 64, "strided_kernel": 4}),
}


def cosines(net, other, batch):
    ours, theirs = (network(mx.nd.array(batch, dtype="uint8")).asnumpy().astype(np.float64) for network in (net, other))
    return (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


def calm(net):
    """Keep the residual stream of deep networks of order 1, and give some channels a negative scale."""
    for name, parameter in net._collect_params_with_prefix().items():
        if name.endswith("bn3.gamma"):
            parameter.set_data(0.2 * parameter.data())
        elif name.endswith("bn1.gamma"):
            parameter.set_data(parameter.data() * mx.nd.array([-1] + [1] * (parameter.shape[0] - 1)))
    return net


@pytest.mark.parametrize("key", NETWORKS)
def test_same_embeddings_with_fewer_operators(key):
    name, options = NETWORKS[key]
    net = calm(randomise(get_model(name, 16, options)))
    done = evaluation_network(net)
    assert done.unfolded is None and done.spec == net.spec and done.precision == "float32"
    size = options.get("input_size", 112)
    height, width = size if isinstance(size, tuple) else (size, size)
    for count in (3, 2):
        assert cosines(done, net, images(count, max(height, width))[:, :, :height, :width]).min() > 0.999999
    kinds = Counter(operator.kind for operator in fold(inference_graph(net), 256))
    assert not kinds["LeakyReLU"] or "SE" in key
    if "SE" not in key:
        assert set(kinds) == {"_minus_scalar", "Convolution", "Activation", "FullyConnected"}, kinds


def test_squeeze_and_excitation_keeps_the_norms_after_sums_that_no_convolution_ends():
    net = randomise(get_model("r34", 16, se=True, **NARROW))
    norms = [operator.name for operator in fold(inference_graph(net), 256) if operator.kind == "BatchNorm"]
    # A stage's second unit follows a projected shortcut, whose convolution takes the shift.
    assert "stage2_unit3_bn1" in norms and "stage2_unit2_bn1" not in norms and "stage1_unit1_bn1" not in norms


@pytest.mark.slow
def test_r50_of_the_papers_size():
    net = calm(randomise(get_model("r50")))
    done = evaluation_network(net)
    assert done.unfolded is None and cosines(done, net, images(2, 112)).min() > 0.999999


def test_a_norm_without_scale_stays(tiny):
    parameters, batch = tiny._collect_params_with_prefix(), images(3, 32)
    gamma, beta = (parameters[f"stage2.unit2.bn1.{kind}"] for kind in ("gamma", "beta"))
    gamma.set_data(gamma.data() * mx.nd.array([0, 1e-12] + [1] * (gamma.shape[0] - 2)))
    kept = [operator.name for operator in fold(inference_graph(tiny), 256) if operator.kind == "BatchNorm"]
    assert kept == ["stage2_unit2_bn1"] and cosines(evaluation_network(tiny), tiny, batch).min() > 0.999999
    # A channel that is off altogether is no reason.
    beta.set_data(beta.data() * mx.nd.array([0, 0] + [1] * (beta.shape[0] - 2)))
    assert "BatchNorm" not in {operator.kind for operator in fold(inference_graph(tiny), 256)}
    assert cosines(evaluation_network(tiny), tiny, batch).min() > 0.999999


def test_of_the_present_weights_on_every_device():
    devices = [mx.cpu(i) for i in range(3)]
    net = randomise(get_model("r18", **TINY), contexts=devices)
    before, batch = evaluation_network(net), images(2, 32)
    old = before(mx.nd.array(batch, ctx=devices[0])).asnumpy()
    randomise_again = get_model("r18", **TINY)
    values = randomise(randomise_again, seed=7)._collect_params_with_prefix()
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.set_data(values[name].data())
    after = evaluation_network(net)
    assert evaluation_network(after) is after
    want = net(mx.nd.array(batch, ctx=devices[0])).asnumpy()
    for device in devices:
        np.testing.assert_allclose(after(mx.nd.array(batch, ctx=device)).asnumpy(), want, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(before(mx.nd.array(batch, ctx=devices[0])).asnumpy(), old)


def test_one_that_would_differ_is_not_taken(tiny, monkeypatch):
    wrong = folded.fold

    def damaged(operators, limit):
        found = wrong(operators, limit)
        next(operator for operator in found if "unit1_conv2" in operator.name).arrays["weight"] *= -1
        return found

    monkeypatch.setattr(folded, "fold", damaged)
    done = evaluation_network(tiny)
    assert "would change embeddings (cosine" in done.unfolded
    batch = images(2, 32)
    assert cosines(done, tiny, batch).min() > 0.9999999


def test_networks_that_run_as_they_are(tiny, tmp_path):
    half = randomise(get_model("r18", **TINY))
    half.cast("float16")
    assert evaluation_network(half).unfolded == "it was cast to float16"
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc1")
    symbol.save(str(tmp_path / "m-symbol.json"))
    arrays = {"arg:fc1_weight": mx.nd.ones((4, 12)), "arg:fc1_bias": mx.nd.zeros(4)}
    mx.nd.save(str(tmp_path / "m-0000.params"), arrays)
    other = load_model(tmp_path / "m", [mx.cpu()])
    done = evaluation_network(other)
    assert done.unfolded == "its parameters fit no image of a usual size"
    assert done(mx.nd.ones((1, 3, 2, 2))).asnumpy().tolist() == [[12.0] * 4]


class Own(Backbone):
    """A network of somebody's own, with an operator of which nothing is known here."""

    def __init__(self, norm):
        super().__init__({"name": "tests:Own", "embedding_size": 4, "options": {"input_size": 16}})
        self.body = nn.HybridSequential(prefix="body_")
        self.body.add(nn.Conv2D(4, 3, in_channels=3), *norm, nn.LeakyReLU(0.1), nn.GlobalMaxPool2D(), nn.Flatten())

    def features(self, F, x):
        return self.body(x)


def test_networks_of_ones_own():
    known, unknown = Own([nn.BatchNorm(in_channels=4)]), Own([nn.InstanceNorm(in_channels=4)])
    for net in (known, unknown):
        net.initialize()
        net.hybridize()
        assert cosines(evaluation_network(net), net, images(3, 16)).min() > 0.999999
    assert evaluation_network(known).unfolded is None
    assert "InstanceNorm does with its parameters is not known" in evaluation_network(unknown).unfolded


def test_exports_that_are_read_again_are_folded(tiny, tmp_path):
    export_model(tiny, tmp_path / "m")
    again = load_model(tmp_path / "m", [mx.cpu()])
    assert evaluation_network(again).unfolded is None
    assert cosines(evaluation_network(again), tiny, images(3, 32)).min() > 0.999999


LOW = """
import numpy as np, sys
from arcface_gluon import blas, get_model
assert blas.allow_amx()
import mxnet as mx
sys.path.insert(0, sys.argv[1])
from small_networks import TINY, images, randomise
from test_folding import calm, cosines
from arcface_gluon.models.folded import evaluation_network
for name, options in (("r50", {**TINY, "units": (3, 4, 14, 3)}), ("r18", {**TINY, "se": True}), ("mobilefacenet", {})):
    net = calm(randomise(get_model(name, **options)))
    done = evaluation_network(net, precision="bfloat16")
    assert done.unfolded is None and done.precision == "bfloat16"
    print(cosines(done, net, images(3, options.get("input_size", 112))).min())
"""


@pytest.mark.skipif(blas.why_no_amx() is not None, reason="needs a processor with AMX")
def test_bfloat16_in_a_process_that_may_use_amx():
    command = [sys.executable, "-c", LOW, str(Path(__file__).parent)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    values = [float(line) for line in found.stdout.split()]
    assert len(values) == 3 and all(0.999 < value < 0.9999999 for value in values)


@pytest.mark.parametrize("why", ["this processor has none", "DNNL_MAX_CPU_ISA=AVX2 forbids it"])
def test_without_amx_bfloat16_is_refused(tiny, why, monkeypatch):
    if why.startswith("DNNL"):
        monkeypatch.setattr(blas, "processor_features", lambda: frozenset({"amx_bf16"}))
        monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    else:
        monkeypatch.setattr(blas, "processor_features", frozenset)
        monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    with pytest.raises(UserError, match=f"dtype=bfloat16 needs AMX, and {why}; take float32"):
        evaluation_network(tiny, precision="bfloat16")
    assert blas.os.environ.get("DNNL_MAX_CPU_ISA") in (None, "AVX2")
    with pytest.raises(UserError, match="float16 is none of"):
        evaluation_network(tiny, precision="float16")

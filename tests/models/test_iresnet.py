"""IResNet against the reference's counts, its structure, and a unit written again in float64 NumPy."""

from __future__ import annotations

import json

import mxnet as mx
import numpy as np
import pytest
from small_networks import TINY, randomise

from arcface_gluon.models import get_model
from arcface_gluon.models.iresnet import ResidualUnit

# depth -> (arguments with the fixed gamma, auxiliary states, arguments with squeeze-and-excitation) of the reference
COUNTS = {
    18: (24_025_600, 14_720, 24_114_800),
    34: (34_139_328, 25_856, 34_300_760),
    50: (43_590_848, 38_144, 43_820_120),
    100: (65_156_160, 69_632, 65_540_840),
    152: (70_765_760, 75_008, 71_190_360),
    200: (75_498_688, 87_296, 75_958_360),
}


def count(net):
    """(arguments, auxiliary states) of a network, from shapes alone: nothing is allocated."""
    sizes = {name: int(np.prod(p.shape)) for name, p in net._collect_params_with_prefix().items()}
    auxiliary = sum(size for name, size in sizes.items() if "running" in name)
    return sum(sizes.values()) - auxiliary, auxiliary


@pytest.mark.parametrize("depth", COUNTS)
def test_parameter_counts_are_the_reference_s(depth):
    arguments, auxiliary, squeezing = COUNTS[depth]
    assert count(get_model(f"r{depth}")) == (arguments, auxiliary)
    assert count(get_model(f"r{depth}", se=True)) == (squeezing, auxiliary)


def shapes(net, size):
    internals = net(mx.sym.var("data")).get_internals()
    return dict(zip(internals.list_outputs(), internals.infer_shape(data=(2, 3, size, size))[1]))


def test_feature_maps_of_r50():
    found = shapes(get_model("r50"), 112)
    assert found["relu0_fwd_output"] == (2, 64, 112, 112)
    for stage, units, channels, side in ((1, 3, 64, 56), (2, 4, 128, 28), (3, 14, 256, 14), (4, 3, 512, 7)):
        assert found[f"stage{stage}_unit{units}_bn3_fwd_output"] == (2, channels, side, side)
        assert f"stage{stage}_unit{units + 1}_bn3_fwd_output" not in found
    assert found["fc1_fwd_output"] == (2, 512)


def test_unit_is_version_3():
    """Order of operators, the stride in the second convolution, a projection in the first unit of every stage only."""
    nodes = json.loads(get_model("r18")(mx.sym.var("data")).tojson())["nodes"]
    named = {node["name"].replace("_fwd", ""): node for node in nodes}

    def inputs(name):
        return [nodes[i]["name"].replace("_fwd", "") for i, *_ in named[name]["inputs"]]

    for stage in (1, 2, 3, 4):
        unit = f"stage{stage}_unit1_"
        chain = ["conv2", "relu1", "bn2", "conv1", "bn1"]
        for later, earlier in zip(["bn3", *chain], chain):
            assert inputs(unit + later)[0] == unit + earlier
        before = inputs(unit + "bn1")[0]
        assert before == ("relu0" if stage == 1 else before) and inputs(unit + "conv1sc")[0] == before
        assert named[unit + "conv1"]["attrs"]["stride"] == "(1, 1)"
        assert named[unit + "conv2"]["attrs"]["stride"] == named[unit + "conv1sc"]["attrs"]["stride"] == "(2, 2)"
        assert named[f"stage{stage}_unit2_conv2"]["attrs"]["stride"] == "(1, 1)"
        assert f"stage{stage}_unit2_conv1sc" not in named
    norms = {node["name"]: node["attrs"] for node in nodes if node["op"] == "BatchNorm"}
    assert {(a["eps"], a["momentum"]) for a in norms.values()} == {("2e-05", "0.9")}
    assert [name for name, a in norms.items() if a["fix_gamma"] == "True"] == ["fc1_fwd"]
    assert inputs("fc1")[0] != "pre_fc1" or named["pre_fc1"]["attrs"]["num_hidden"] == "512"
    assert float(next(node for node in nodes if node["op"] == "Dropout")["attrs"]["p"]) == 0.4


def convolve(x, weight, stride):
    side = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwij,ocij->bohw", windows, weight)


@pytest.mark.parametrize(("in_channels", "channels", "stride", "project"), [(8, 16, 2, True), (8, 8, 1, False)])
def test_unit_computes_what_the_definition_says(in_channels, channels, stride, project):
    unit = randomise(ResidualUnit(in_channels, channels, stride, project=project, se=False, prefix="u_"))
    p = {k: v.data().asnumpy().astype(np.float64) for k, v in unit._collect_params_with_prefix().items()}

    def norm(name, x):
        g, b, m, v = (p[f"{name}.{k}"][:, None, None] for k in ("gamma", "beta", "running_mean", "running_var"))
        return (x - m) / np.sqrt(v + 2e-5) * g + b

    x = np.random.default_rng(5).normal(0, 1, (2, in_channels, 7, 7))
    y = norm("bn2", convolve(norm("bn1", x), p["conv1.weight"], 1))
    y = np.where(y > 0, y, p["relu1.alpha"][:, None, None] * y)
    y = norm("bn3", convolve(y, p["conv2.weight"], stride))
    y += norm("sc", convolve(x, p["conv1sc.weight"], stride)) if project else x
    np.testing.assert_allclose(unit(mx.nd.array(x)).asnumpy(), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "bn1", "dropout", "after"),
    [("E", 1, 1, 1), ("F", 1, 1, 0), ("G", 1, 0, 0), ("H", 0, 0, 0), ("I", 1, 0, 1), ("J", 0, 0, 1)],
)
def test_heads(output, bn1, dropout, after):
    net = get_model("r18", **TINY, output=output)
    symbol = net(mx.sym.var("data"))
    arguments = symbol.list_arguments()
    assert ("bn1_gamma" in arguments, "pre_fc1_weight" in arguments) == (bool(bn1), bool(after))
    assert ("fc1_weight" in arguments, "fc1_gamma" in arguments) == (not after, bool(after))
    assert ('"Dropout"' in symbol.tojson()) == bool(dropout)


@pytest.mark.parametrize(
    ("width", "channels"), [(0.25, [16, 16, 32, 64, 128]), (0.3, [16, 16, 40, 80, 152]), (0.01, [8] * 5)]
)
def test_width_rounds_channels_to_multiples_of_8(width, channels):
    net = get_model("r18", width=width)
    stages = [net.stage1, net.stage2, net.stage3, net.stage4]
    assert [net.conv0.weight.shape[0], *(s._children["unit1"].conv2.weight.shape[0] for s in stages)] == channels


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_input_of_unequal_sides(stem_stride):
    net = randomise(get_model("r18", **{**TINY, "input_size": (112, 96)}, stem_stride=stem_stride))
    assert net.spec["options"]["input_size"] == [112, 96]
    assert net(mx.nd.zeros((2, 3, 112, 96), dtype="uint8")).shape == (2, 16)
    places = {1: 7 * 6, 2: 4 * 3}[stem_stride]
    assert net.pre_fc1.weight.shape == (16, 64 * places)


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_odd_input_sizes(stem_stride):
    net = randomise(get_model("r18", **{**TINY, "input_size": 51}, stem_stride=stem_stride))
    assert net(mx.nd.zeros((1, 3, 51, 51), dtype="uint8")).shape == (1, 16)

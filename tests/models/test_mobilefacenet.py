"""MobileFaceNet's counts, maps and names."""

from __future__ import annotations

import mxnet as mx
import pytest
from small_networks import images, randomise
from test_iresnet import count, shapes

from arcface_gluon.models import get_model


def expected_count(blocks, d=512):
    """Arguments by hand: convolutions without bias, two numbers a channel of BatchNorm, one of PReLU."""

    def unit(inputs, outputs, side, groups=1, linear=False):
        return inputs // groups * outputs * side**2 + (2 if linear else 3) * outputs

    def bottleneck(inputs, outputs, groups):
        return unit(inputs, groups, 1) + unit(groups, groups, 3, groups) + unit(groups, outputs, 1, linear=True)

    total = unit(3, 64, 3)
    total += unit(64, 64, 3, 64) if blocks[0] == 1 else blocks[0] * bottleneck(64, 64, 64)
    total += bottleneck(64, 64, 128) + blocks[1] * bottleneck(64, 64, 128)
    total += bottleneck(64, 128, 256) + blocks[2] * bottleneck(128, 128, 256)
    total += bottleneck(128, 128, 512) + blocks[3] * bottleneck(128, 128, 256)
    return total + unit(128, 512, 1) + unit(512, 512, 7, 512, linear=True) + 512 * d + d + 2 * d


@pytest.mark.parametrize(("blocks", "arguments"), [((1, 4, 6, 2), 1_201_024), ((2, 8, 16, 4), 2_128_128)])
def test_parameter_counts(blocks, arguments):
    assert count(get_model("mobilefacenet", blocks=blocks))[0] == expected_count(blocks) == arguments


def test_feature_maps():
    found = shapes(get_model("mobilefacenet"), 112)
    assert found["conv_2_dw_relu_fwd_output"] == (2, 64, 56, 56)
    assert found["dconv_23_conv_proj_batchnorm_fwd_output"] == (2, 64, 28, 28)
    assert found["res_4_block5_conv_sep_relu_fwd_output"] == (2, 256, 14, 14)
    assert found["res_5_block1_conv_proj_batchnorm_fwd_output"] == (2, 128, 7, 7)
    assert found["conv_6dw7_7_batchnorm_fwd_output"] == (2, 512, 1, 1)
    assert found["fc1_fwd_output"] == (2, 512)


def test_images_to_embeddings_with_residuals():
    net = randomise(get_model("mobilefacenet", 24, blocks=(1, 1, 1, 1)))
    batch = mx.nd.array(images(2, 112), dtype="uint8")
    out = net(batch)
    assert out.shape == (2, 24)
    block = net.res_3._children["block0"]
    x = mx.nd.random.normal(shape=(1, 64, 28, 28))
    without = block.conv_proj(block.conv_dw(block.conv_sep(x)))
    assert abs(block(x) - without - x).max().asscalar() < 1e-5


@pytest.mark.parametrize("size, places", [((112, 96), (7, 6)), ((96, 112), (6, 7)), (120, (8, 8)), (64, (4, 4))])
def test_other_input_sizes(size, places):
    net = randomise(get_model("mobilefacenet", 24, blocks=(1, 1, 1, 1), input_size=size))
    assert net.conv_6dw7_7.conv2d.weight.shape == (512, 1, *places)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert net(mx.nd.zeros((2, 3, height, width), dtype="uint8")).shape == (2, 24)

"""Small symbols in the manner of networks that are none of ours: the operators that face symbols are made of."""

from __future__ import annotations

import mxnet as mx
from reference_symbol import batch_norm, conv, prelu

sym = mx.sym


def _dense(x, size=16):
    """The embedding, after a layer as the reference's head E has it."""
    x = sym.Dropout(batch_norm(x, "bn1"), p=0.4)
    return batch_norm(sym.FullyConnected(x, num_hidden=size, name="pre_fc1"), "fc1", fix_gamma=True)


def mobilenet(data):
    """Depthwise convolutions, relu, global average, as `m1`."""
    x = (data - 127.5) * 0.0078125
    for i, stride in enumerate((2, 1, 2)):
        x = conv(x, f"c{i}", 16, 3, stride)
        x = sym.Activation(batch_norm(x, f"b{i}"), act_type="relu")
        x = sym.Convolution(x, num_filter=16, num_group=16, kernel=(3, 3), pad=(1, 1), no_bias=True, name=f"d{i}")
        x = sym.Activation(batch_norm(x, f"e{i}"), act_type="relu")
    x = sym.Flatten(sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg"))
    return batch_norm(sym.FullyConnected(x, num_hidden=16, name="pre_fc1"), "fc1", fix_gamma=True)


def densenet(data):
    """Concat and average pooling, as `d169`; BatchNorm on what two layers read."""
    x = sym.Pooling(
        conv((data - 127.5) * 0.0078125, "c", 16, 3), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max"
    )
    for i in range(3):
        y = conv(sym.Activation(batch_norm(x, f"b{i}"), act_type="relu"), f"c{i}", 8, 3)
        x = sym.Concat(x, y)
    x = sym.Pooling(conv(x, "t", 16, 1), kernel=(2, 2), stride=(2, 2), pool_type="avg")
    return _dense(x)


def resnet(data):
    """BatchNorm of the pixels in place of a normalisation, a pooling that rounds up, relu: as `version_input=0`."""
    x = batch_norm(data, "bn_data", fix_gamma=True)
    x = sym.Activation(batch_norm(conv(x, "conv0", 16, 7, 2), "bn0"), act_type="relu")
    x = sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    for i in range(2):
        y = sym.Activation(batch_norm(conv(x, f"a{i}", 16, 3), f"p{i}"), act_type="relu")
        x = sym.Activation(batch_norm(conv(y, f"o{i}", 16, 3), f"q{i}") + x, act_type="relu")
    return _dense(x)


def mobilenet3(data):
    """Hard swish, squeeze by a mean, channels in halves, leaky relu, PReLU of vectors."""
    x = conv((data - 127.5) / 128, "conv0", 16, 3, 2)
    x = x * (sym.clip(x + 3, 0, 6) / 6)
    gate = sym.Convolution(sym.mean(x, axis=(2, 3), keepdims=True), num_filter=16, kernel=(1, 1), name="gate")
    x = sym.broadcast_mul(x, sym.hard_sigmoid(gate))
    first, second = sym.SliceChannel(x, num_outputs=2)
    x = sym.Concat(sym.LeakyReLU(second, act_type="leaky", slope=0.1), sym.LeakyReLU(first, act_type="elu", slope=1))
    x = sym.pad(x, mode="constant", pad_width=(0, 0, 0, 0, 0, 1, 0, 1), constant_value=0)
    x = sym.Convolution(x, num_filter=16, kernel=(3, 3), stride=(2, 2), dilate=(2, 2), name="conv1")
    x = sym.reshape(x, shape=(0, -1))
    x = prelu(sym.FullyConnected(x, num_hidden=24, name="hidden"), "hidden_relu")
    x = sym.transpose(sym.expand_dims(x, axis=2), axes=(0, 2, 1))
    x = sym.FullyConnected(1 - sym.sqrt(sym.square(x) + 1), num_hidden=16, name="pre_fc1")
    return batch_norm(x, "fc1", fix_gamma=True)


SYMBOLS = {"mobilenet": mobilenet, "densenet": densenet, "resnet": resnet, "mobilenet3": mobilenet3}

"""LResNetE-IR as a symbol, written from the description of the reference alone; nothing of the package is used."""

import mxnet as mx


def norm(x, name, fix_gamma=False):
    return mx.sym.BatchNorm(x, eps=2e-5, momentum=0.9, fix_gamma=fix_gamma, name=name)


def conv(x, name, channels, side, stride=1):
    return mx.sym.Convolution(
        x, num_filter=channels, kernel=(side, side), stride=(stride, stride), pad=(side // 2, side // 2),
        no_bias=True, name=name,
    )  # fmt: skip


def prelu(x, name):
    return mx.sym.LeakyReLU(x, act_type="prelu", name=name)


def squeeze(x, name, channels):
    y = mx.sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name=name + "_se_pool1")
    for step, filters in ((1, channels // 16), (2, channels)):
        y = mx.sym.Convolution(y, num_filter=filters, kernel=(1, 1), name=f"{name}_se_conv{step}")
        y = prelu(y, name + "_se_relu1") if step == 1 else mx.sym.Activation(y, act_type="sigmoid")
    return mx.sym.broadcast_mul(x, y)


def lresnet(units, channels, embedding_size, se=False, scale=0.0078125):
    """Symbol with output fc1_output. `channels`: the first convolution, then the four stages."""
    x = (mx.sym.identity(mx.sym.Variable("data"), name="id") - 127.5) * scale
    x = prelu(norm(conv(x, "conv0", channels[0], 3), "bn0"), "relu0")
    for s, count in enumerate(units, start=1):
        for u in range(1, count + 1):
            name, stride = f"stage{s}_unit{u}", 2 if u == 1 else 1
            y = conv(norm(x, name + "_bn1"), name + "_conv1", channels[s], 3)
            y = prelu(norm(y, name + "_bn2"), name + "_relu1")
            y = norm(conv(y, name + "_conv2", channels[s], 3, stride), name + "_bn3")
            y = squeeze(y, name, channels[s]) if se else y
            x = y + (norm(conv(x, name + "_conv1sc", channels[s], 1, 2), name + "_sc") if u == 1 else x)
    x = mx.sym.Dropout(norm(x, "bn1"), p=0.4)
    return norm(mx.sym.FullyConnected(x, num_hidden=embedding_size, name="pre_fc1"), "fc1", fix_gamma=True)

"""LResNetE-IR as a symbol, written from the description of the reference alone; nothing of the package is used."""

import functools

import mxnet as mx
import numpy as np
from small_networks import images, random_value

CHANNELS = (16, 16, 32, 64, 128)


def batch_norm(x, name, fix_gamma=False, epsilon=2e-5):
    return mx.sym.BatchNorm(x, eps=epsilon, momentum=0.9, fix_gamma=fix_gamma, name=name)


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


def lresnet(
    units,
    channels,
    embedding_size,
    se=False,
    mean=127.5,
    scale=0.0078125,
    divisor=None,
    epsilon=2e-5,
    data="data",
    foreign=False,
):
    """Symbol with output fc1_output. `channels`: the first convolution, then the four stages. No `mean`: raw pixels.

    `foreign`: with an operator that the reference does not have, under its names and shapes.
    """
    norm = functools.partial(batch_norm, epsilon=epsilon)
    x = mx.sym.identity(mx.sym.Variable(data), name="id")
    if mean is not None:
        x = (x - mean) / divisor if divisor else (x - mean) * scale
    x = x + 0.5 if foreign else x
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


def save_reference(symbol, prefix, size=(32, 32), pixels=lambda x: x):
    """Save a reference checkpoint with random parameters the way the reference does; its embeddings of two images.

    `pixels`: what the images become before the symbol sees them.
    """
    rng = np.random.default_rng(6)
    (data,) = (name for name in symbol.list_arguments() if name in ("data", "image"))
    arguments, _, auxiliary = symbol.infer_shape(**{data: (2, 3, *size)})
    module = mx.mod.Module(symbol, data_names=[data], label_names=None)
    module.bind([(data, (2, 3, *size))], for_training=False)
    values = [
        {n: mx.nd.array(random_value(rng, n, s)) for n, s in zip(names, shapes) if n != data}
        for names, shapes in ((symbol.list_arguments(), arguments), (symbol.list_auxiliary_states(), auxiliary))
    ]
    values[0]["fc1_gamma"][:] = 3.0  # fixed at 1 whatever the file holds
    module.set_params(*values)
    batch = mx.nd.array(pixels(two_images(size).astype(np.float32)))
    module.forward(mx.io.DataBatch([batch]), is_train=False)
    mx.model.save_checkpoint(str(prefix), 0, symbol, *values)
    return module.get_outputs()[0].asnumpy()


def two_images(size=(32, 32)):
    """(2, 3, *size) uint8, RGB."""
    return images(2, max(size))[:, :, : size[0], : size[1]]

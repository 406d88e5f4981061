"""What a backbone costs, read off its graph."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from ..parallel.cost import MAX_ELEMENTS, Network
from .backbone import input_size
from .registry import get_model


def network_cost(name: str, embedding_size: int = 512, **options: Any) -> Network:
    """Parameters, multiply-additions and outputs of a network's operators for one image; arguments as of `get_model`.

    Raises:
        UserError: unknown network or option.
    """
    net = get_model(name, embedding_size, **options)
    parameters = sum(int(np.prod(p.shape)) for p in net.collect_params().values() if p.grad_req != "null")
    shapes = _output_shapes(net)
    data = {p.name for p in net.collect_params().values()}
    outputs = sum(int(np.prod(s)) for output, s in shapes.items() if output not in data and output != "data")
    return Network(parameters, multiply_additions(net), outputs)


def most_images(net: mx.gluon.Block) -> int:
    """The most images that a network takes at once: no array of MXNet, such as a layer's output, has 2^31 elements."""
    return MAX_ELEMENTS // max(int(np.prod(shape)) for shape in _output_shapes(net).values())


def multiply_additions(net: mx.gluon.Block) -> int:
    """Multiply-additions of one image forward, in convolutions and fully connected layers."""
    shapes = _output_shapes(net)
    weights = {p.name: p.shape for p in net.collect_params().values() if p.name.endswith("_weight")}
    return sum(
        int(np.prod(shape)) * int(np.prod(shapes[name[: -len("weight")] + "fwd_output"][2:]))
        for name, shape in weights.items()
    )


def _output_shapes(net):
    internals = net(mx.sym.var("data")).get_internals()
    return dict(zip(internals.list_outputs(), internals.infer_shape(data=(1, 3, *input_size(net)))[1]))

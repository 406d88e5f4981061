"""What dtype=auto comes to: bfloat16 where the processor has AMX and the network's convolutions suit it, else float32.

The rule reads the graph and times nothing, so that a run is the same wherever AMX is. It is measured by
`arcface-gluon bench precision`: AMX multiplies tiles of 16 columns by 32 values. Narrower convolutions leave tiles
empty, and between training's layouts for narrow, depthwise and other convolutions all values are copied.
"""

from __future__ import annotations

import json
from typing import Any, Sequence

import mxnet as mx
import numpy as np

from .. import blas
from ..errors import UserError
from .backbone import Backbone, input_size

# Channels of which bfloat16 pays in training any multiple, and at inference so many and more.
_TRAINED, _EVALUATED = 32, 16
# Of the multiply-additions of all convolutions, what may lie in narrower ones, as the first of a network always does.
_SHARE = 0.05


def training_precision(dtype: str, contexts: Sequence[mx.Context], net: Any) -> tuple[str, str]:
    """What `train.dtype` means on some devices: auto is bfloat16 on CPUs with AMX for networks that suit it.

    Must run before oneDNN's first operation, so that bfloat16 is fast (`blas.allow_amx`).

    Args:
        net: the network, which need not be initialised.

    Returns:
        (float32, bfloat16 or float16; why it is that, in a few words).

    Raises:
        UserError: these devices, or such networks, do not train in it.
    """
    on_cpu = all(context.device_type == "cpu" for context in contexts)
    if dtype == "float16" and not all(context.device_type == "gpu" for context in contexts):
        raise UserError("train.dtype=float16 needs GPUs: MXNet has no half-precision products on CPUs; use auto")
    if dtype == "auto":
        fault = _why_not_bfloat16(on_cpu, net)
        return ("float32", fault) if fault else ("bfloat16", "the processor has AMX, and the network is wide enough")
    if dtype == "bfloat16":
        if not isinstance(net, Backbone):
            raise UserError("train.dtype=bfloat16 needs a network derived from models.Backbone; use float32, or auto")
        if not on_cpu or not blas.allow_amx():
            reason = blas.why_no_amx() if on_cpu else "GPUs are trained on here; float16 is theirs"
            raise UserError(f"train.dtype=bfloat16 needs CPUs with AMX, and {reason}; use float32, or auto")
    return dtype, "as the recipe has it"


def _why_not_bfloat16(on_cpu, net):
    """Why auto is float32; None where it is not, and oneDNN has been allowed AMX."""
    if not on_cpu:
        return "GPUs do not train in bfloat16 here"
    if not isinstance(net, Backbone):
        return "the network is not derived from models.Backbone"
    reason = why_float32(net, training=True)
    if reason is None and not blas.allow_amx():
        return f"bfloat16 needs AMX, and {blas.why_no_amx()}"
    return reason


def why_float32(net: Any, training: bool) -> str | None:
    """Why a network is no faster in bfloat16 on a processor with AMX; None where it is, or has no convolutions.

    Args:
        net: a network, which need not be initialised.
        training: forward and backward; else at inference, folded.
    """
    convolutions = _convolutions(net)
    if training and any(groups > 1 for *_, groups, _ in convolutions):
        return "its depthwise convolutions train in another layout than the others"
    narrow = sum(work for inputs, outputs, _, work in convolutions if not _wide(inputs, outputs, training))
    share = narrow / max(1, sum(work for *_, work in convolutions))
    if share <= _SHARE:
        return None
    widths = f"no multiple of {_TRAINED}" if training else f"fewer than {_EVALUATED}"
    return f"{share:.0%} of its multiply-additions are in convolutions whose channels are {widths}"


def _wide(inputs, outputs, training):
    if training:
        return inputs % _TRAINED == outputs % _TRAINED == 0
    return min(inputs, outputs) >= _EVALUATED


def _convolutions(net):
    """(input channels, output channels, groups, multiply-additions of one image) of each convolution."""
    symbol = net(mx.sym.var("data"))
    internals = symbol.get_internals()
    shapes = internals.infer_shape_partial(data=(1, 3, *input_size(net)))[1]
    shapes = dict(zip(internals.list_outputs(), shapes))
    nodes = json.loads(symbol.tojson())["nodes"]
    found = []
    for node in nodes:
        if node["op"] == "Convolution":
            weight, output = shapes[nodes[node["inputs"][1][0]]["name"]], shapes[f"{node['name']}_output"]
            groups = int(node["attrs"].get("num_group", 1))
            found.append((weight[1] * groups, weight[0], groups, int(np.prod(weight)) * int(np.prod(output[2:]))))
    return found

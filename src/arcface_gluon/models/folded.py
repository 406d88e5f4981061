"""The network that evaluation runs: the trained one with its BatchNorms folded, in float32 or bfloat16, on CPUs."""

from __future__ import annotations

from typing import Callable, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import blas
from ..errors import UserError
from ..parallel.team import Team
from ..runtime import out_of_memory
from .backbone import input_size
from .folding import SUMS, fold
from .graph import SPLITS, Operator, inference_graph

PRECISIONS = ("float32", "bfloat16")

# What a folded network must reach beside the unfolded one, or it is not taken.
LEAST_COSINE = {"float32": 0.999999, "bfloat16": 0.999}
# How far a BatchNorm may shift, in deviations of what it normalises, before rounding takes too many digits.
LIMIT = {"float32": 256.0, "bfloat16": 8.0}
TYPES = {"float32": np.dtype("float32"), "bfloat16": np.dtype([("bfloat16", np.uint16)])}  # as MXNet names them
# What oneDNN computes in bfloat16 and in its own layout; the rest is computed in float32.
_LOW = ("Convolution", "FullyConnected", "Activation", "BatchNorm", "Concat", *SUMS)


class EvaluationNetwork:
    """A network made ready to compute embeddings and nothing else; its weights are copies.

    Called with (B, 3, H, W) RGB 0..255, uint8 or floating, on one of its contexts; gives (B, d) float32.

    Attributes:
        net: the network it was made of.
        spec, input_size: that network's; see `backbone.input_size`.
        precision: "float32" or "bfloat16", of the products; sums inside them and the embedding are float32.
        unfolded: why it runs as it was built; None where it is folded.
        team: processes that embed images with it together; None: this one alone.
    """

    def __init__(self, net: HybridBlock, contexts: Sequence[mx.Context], precision: str):
        self.net, self.spec, self.precision = net, getattr(net, "spec", None), precision
        self.input_size = getattr(net, "input_size", None)  # of a symbol that is run as it stands
        self.contexts = list(contexts)
        self.team: Team | None = None
        self.unfolded = _reason(net, self.contexts)
        self._forward = net
        if self.unfolded is None:
            self.unfolded = self._fold()
        if self.unfolded is not None and precision != "float32":
            raise UserError(f"this network cannot run in {precision}: {self.unfolded}; leave out the option dtype")

    def _fold(self):
        """Take the folded network; gives the reason where it cannot be taken."""
        try:
            with np.errstate(all="ignore"):  # of weights that are not finite, which the embeddings tell
                operators = fold(inference_graph(self.net), LIMIT[self.precision])
            folded = compiled(operators, self.contexts, self.precision)
            cosine = self._cosine(folded)
        except (UserError, mx.MXNetError) as error:  # a network of one's own may have any operators
            if out_of_memory(error):
                raise
            return str(error).strip().splitlines()[-1]
        if not cosine >= LEAST_COSINE[self.precision]:
            return f"folding would change embeddings (cosine {cosine:.7f})"
        self._forward = folded
        return None

    def __call__(self, images: mx.nd.NDArray) -> mx.nd.NDArray:
        return self._forward(images)

    def _cosine(self, folded):
        """Cosine of the folded network's embedding to the unfolded one's, less where their lengths differ.

        It is of one image, with coarse and fine detail: the operators are the same for all images.
        """
        random, (height, width) = np.random.default_rng(0), input_size(self.net)
        fine = random.integers(0, 128, (1, 3, height, width))
        coarse = random.integers(0, 128, (1, 3, -(-height // 8), -(-width // 8))).repeat(8, 2).repeat(8, 3)
        image = mx.nd.array(fine + coarse[:, :, :height, :width], self.contexts[0], "uint8")
        with mx.autograd.predict_mode():
            ours, theirs = (network(image).asnumpy().astype(np.float64) for network in (folded, self.net))
        return float(2 * (ours * theirs).sum() / ((ours**2).sum() + (theirs**2).sum()))


def evaluation_network(
    net: HybridBlock | EvaluationNetwork, contexts: Sequence[mx.Context] | None = None, precision: str = "float32"
) -> EvaluationNetwork:
    """The network to compute embeddings with. One that is such a network already is given back.

    On CPUs it is folded (`folding.fold`) from the present weights, and compared with the unfolded one on an image;
    where it is not the same, and on GPUs, the network runs as it was built. A change of the weights does not reach it.

    Args:
        net: network of `get_model` or `load_model`.
        contexts: devices, which the network lies on; None: all that it lies on.
        precision: "float32", or "bfloat16", which needs a CPU with AMX (`blas.allow_amx`).

    Raises:
        UserError: bfloat16 where there is no AMX, or for a network that cannot be folded.
    """
    if isinstance(net, EvaluationNetwork):
        return net
    if precision not in PRECISIONS:
        raise UserError(f"dtype={precision} is none of {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and not blas.allow_amx():
        raise UserError(f"dtype=bfloat16 needs AMX, and {blas.why_no_amx()}; take float32, or auto")
    return EvaluationNetwork(net, contexts or next(iter(net.collect_params().values())).list_ctx(), precision)


def _reason(net, contexts):
    """Why a network is not folded, None where it is."""
    if any(context.device_type != "cpu" for context in contexts):
        return "it lies on a GPU"
    if not mx.runtime.Features().is_enabled("MKLDNN"):
        return "this MXNet has no oneDNN"
    if getattr(net, "input_size", ()) is None:
        return "its parameters fit no image of a usual size"
    types = {np.dtype(parameter.dtype).name for parameter in net.collect_params().values()} - {"float32"}
    return f"it was cast to {types.pop()}" if types else None


def compiled(
    operators: Sequence[Operator], contexts: Sequence[mx.Context], precision: str
) -> Callable[[mx.nd.NDArray], mx.nd.NDArray]:
    """A function of images (B, 3, H, W) on one of the contexts, which runs operators of `folding.fold` there."""
    symbol, values = _symbol(operators, precision)
    names = symbol.list_inputs()
    forward = mx.nd.CachedOp(symbol, [("static_alloc", True), ("static_shape", True)])
    copies = {context: {name: array.as_in_context(context) for name, array in values.items()} for context in contexts}

    def run(images):
        arrays = copies[images.context]
        return forward(*(images if name == "data" else arrays[name] for name in names))

    return run


def _symbol(operators, precision):
    """(symbol, {name: array}) of operators."""
    casts, values = {"data": {"float32": mx.sym.cast(mx.sym.var("data"), dtype="float32")}}, {}

    def value(name, dtype):
        known = casts[name]
        if dtype not in known:
            known[dtype] = mx.sym.amp_cast(next(iter(known.values())), dtype=TYPES[dtype])
        return known[dtype]

    for operator in operators:
        low = operator.kind in _LOW and operator.attributes.get("act_type", "relu") == "relu"
        dtype = precision if low else "float32"
        arrays = {}
        for key, array in operator.arrays.items():
            name = f"{operator.name}_{key}"
            kept = mx.nd.array(array, mx.cpu(0))
            high = dtype == "float32" or operator.kind == "BatchNorm"
            values[name] = kept if high else mx.nd.amp_cast(kept, dtype=TYPES[dtype])
            arrays[key] = mx.sym.var(name)
        inputs = [value(name, dtype) for name in operator.inputs]
        node = _node(operator, inputs, arrays)
        casts[operator.name] = {dtype: node}
        if operator.kind in SPLITS:
            casts.update({f"{operator.name}:{number}": {dtype: output} for number, output in enumerate(node)})
    return value(operators[-1].name, "float32"), values


def _node(operator: Operator, inputs, arrays):
    """The symbol of one operator; a convolution with a second input adds it."""
    attributes = dict(operator.attributes)
    if operator.kind in ("Convolution", "FullyConnected"):
        attributes["no_bias"] = "bias" not in arrays
    make = getattr(mx.sym, operator.kind, None) or getattr(mx.sym._internal, operator.kind)
    relu = attributes.pop("act_type", None) if operator.kind == "Convolution" else None
    if operator.kind != "Convolution" or (len(inputs) == 1 and relu is None):
        return make(*inputs, *arrays.values(), name=operator.name, **attributes)
    # Fused alone: in the whole graph oneDNN's pass takes the wrong convolution for some sums.
    free = {name: mx.sym.var(name) for name in ("data", *arrays, "total")}
    layer = make(*(free[name] for name in ("data", *arrays)), name=operator.name, **attributes)
    given = dict(zip(("data", "total"), inputs))
    layer = layer + free["total"] if "total" in given else layer
    layer = mx.sym.Activation(layer, act_type=relu) if relu else layer
    return layer.optimize_for("MKLDNN")(**given, **arrays)

"""The network as training runs it on CPUs: the same function of the same parameters, from operators oneDNN runs fast.

The gluon network keeps its parameters (float32), which are what is optimised, saved and loaded; only the graph that
computes embeddings and gradients from them is another:

- PReLU is a relu, a BatchNorm of fixed statistics, which scales channels, and a sum. MXNet's own PReLU takes nearly
  half of a step in float32, and does not exist in bfloat16.
- in bfloat16, convolutions, relus, BatchNorms and sums take and give bfloat16, and weights are rounded to it where they
  are used. Sums inside the operators, BatchNorm's statistics and parameters, the fully connected layer, the embedding
  and the gradients of all parameters are float32: as mixed precision is done (Micikevicius et al., ICLR 2018), except
  that bfloat16 has float32's range and needs no loss scaling (Kalamkar et al., 2019).
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Callable, Sequence

import mxnet as mx
from mxnet.gluon import HybridBlock

from .backbone import Backbone, input_size
from .folded import TYPES
from .folding import SUMS
from .precision import training_precision

# Channels of a convolution up to which oneDNN has no gradients by AMX.
_NARROW = 16
# Any number that 1 can be left of with var = 1 - epsilon.
_EPSILON = 1e-3


def training_network(
    net: HybridBlock, dtype: str, contexts: Sequence[mx.Context]
) -> Callable[[mx.nd.NDArray], mx.nd.NDArray]:
    """What computes a network's embeddings in training: a `TrainingNetwork` on CPUs, else the network itself.

    Args:
        net: initialised on the contexts.
        dtype: as `training_precision` takes it.

    Raises:
        UserError: these devices, or this network, do not train in it.
    """
    precision, _ = training_precision(dtype, contexts, net)
    on_cpu = all(context.device_type == "cpu" for context in contexts)
    if on_cpu and isinstance(net, Backbone) and mx.runtime.Features().is_enabled("MKLDNN"):
        return TrainingNetwork(net, precision)
    return net


class TrainingNetwork:
    """A function of images, with the parameters of a network; gradients arrive where the network's own would.

    Called with (B, 3, H, W) RGB 0..255 on one of the network's contexts; gives (B, d) float32. Inside
    `autograd.record()` or `train_mode()` it is the network in training, else at inference.

    Args:
        net: initialised network of `get_model`, on CPUs.
        precision: "float32", or "bfloat16" (which needs AMX to be of use, see `blas`).

    Attributes:
        net, precision: these.
        symbol: what is computed, of the input "data", the network's parameters and constants.
    """

    def __init__(self, net: Backbone, precision: str = "float32"):
        self.net, self.precision = net, precision
        parameters = {parameter.name: parameter for parameter in net.collect_params().values()}
        if not all(parameter.shape and all(parameter.shape) for parameter in parameters.values()):
            height, width = input_size(net)
            net(mx.nd.zeros((1, 3, height, width), next(iter(parameters.values())).list_ctx()[0]))  # tells the shapes
        graph = _Graph(net, precision)
        self.symbol = graph.symbol
        self._names = graph.symbol.list_inputs()
        self._forward: Any = mx.nd.CachedOp(graph.symbol, [("static_alloc", True), ("static_shape", True)])
        self._parameters = {name: parameters[name] for name in self._names if name in parameters}
        contexts = next(iter(parameters.values())).list_ctx()
        self._constants = {
            context: {name: mx.nd.full(shape, value, context) for name, (shape, value) in graph.constants.items()}
            for context in contexts
        }

    def __call__(self, images: mx.nd.NDArray) -> mx.nd.NDArray:
        context = images.context
        constants = self._constants[context]
        arrays = [
            images if name == "data" else constants[name] if name in constants else self._parameters[name].data(context)
            for name in self._names
        ]
        return self._forward(*arrays)


class _Graph:
    """The symbol of a network in training.

    Attributes:
        symbol: of inputs "data", the network's parameters by their gluon names, and constants.
        constants: {name: (shape, value)}.
    """

    def __init__(self, net, precision):
        self._low = precision
        self.constants: dict[str, tuple[tuple[int, ...], float]] = {}
        self._shapes = {parameter.name: parameter.shape for parameter in net.collect_params().values()}
        graph = json.loads(net(mx.sym.var("data")).tojson())
        self._nodes, self._made = graph["nodes"], {}
        self._variables: dict[str, Any] = {}
        self._depthwise: dict[int, bool] = {}  # of the convolutions so far
        self._readers: dict[int, list] = defaultdict(list)
        for node in self._nodes:
            for place, (source, *_) in enumerate(node["inputs"]):
                self._readers[source].append((node, place))
        self._negated = {i for i, node in enumerate(self._nodes) if _is_prelu(node) and self._can_negate(node, i)}
        for i, node in enumerate(self._nodes):
            self._made[i] = self._node(i, node)
        self.symbol = self._value(graph["heads"][0][0], "float32")

    def _can_negate(self, node, i):
        """Whether -x can be had in place of x before a PReLU, and -y be taken in place of y after it.

        Then -y = n + (alpha - 1) relu(n) with n = -x: one scaling in place of two.
        """
        before = node["inputs"][0][0]
        maker = self._nodes[before]
        return (
            maker["op"] == "BatchNorm"
            and maker["attrs"].get("fix_gamma") == "False"
            and len(self._readers[before]) == 1
            and all(reader["op"] == "Convolution" and place == 0 for reader, place in self._readers[i])
        )

    def _node(self, i, node):
        """{dtype: symbol} of a node."""
        operator, attributes = node["op"], dict(node.get("attrs", {}))
        sources = [source for source, *_ in node["inputs"]]
        if operator == "null":
            return {"float32": self._variable(node["name"])}
        if operator == "BatchNorm":
            return self._norm(i, node, sources, attributes)
        if _is_prelu(node):
            return self._prelu(i, sources)
        relu = operator == "Activation" and attributes["act_type"] == "relu"
        low = operator == "Convolution" or relu or operator in SUMS
        dtype = self._low if low else "float32"
        inputs = [self._value(source, dtype, output) for source, output, *_ in node["inputs"]]
        if operator == "Convolution" and self._changes_layout(i, sources, attributes):
            inputs[0] = self._cast(self._value(sources[0], "float32"), dtype)
        if operator == "Convolution" and sources[0] in self._negated:
            inputs[1] = self._cast(-self._value(sources[1], "float32"), dtype)
        make = getattr(mx.sym, operator, None) or getattr(mx.sym._internal, operator)
        return {dtype: make(*inputs, name=node["name"], **attributes)}

    def _changes_layout(self, i, sources, attributes):
        """Whether a convolution's input must pass through MXNet's own layout, which a cast to float32 does.

        In bfloat16, oneDNN has depthwise convolutions in another layout than all others, and narrow ones in another
        one forward than backward. A BatchNorm with values in one and gradients in the other would take oneDNN's
        reference code, hundreds of times slower. Values or gradients in MXNet's layout follow the other's.
        """
        outputs, inputs = self._shapes[self._nodes[sources[1]]["name"]][:2]
        self._depthwise[i] = own = int(attributes.get("num_group", 1)) > 1
        source = sources[0]
        while source not in self._depthwise and self._nodes[source]["inputs"]:
            source = self._nodes[source]["inputs"][0][0]
        other = self._depthwise.get(source)
        return self._low != "float32" and other is not None and (own != other or min(outputs, inputs) <= _NARROW)

    def _norm(self, i, node, sources, attributes):
        images, gamma, beta = (self._value(source, "float32") for source in sources[:3])
        statistics = [self._value(source, "float32") for source in sources[3:]]
        # A fully connected output has no layout of oneDNN's, and is the embedding.
        dtype = self._low if self._low in self._made[sources[0]] else "float32"
        if any(reader in self._negated for reader in self._reading(i)):
            gamma, beta = -gamma, -beta
        images = self._value(sources[0], dtype)
        return {dtype: mx.sym.BatchNorm(images, gamma, beta, *statistics, name=node["name"], **attributes)}

    def _prelu(self, i, sources):
        value, alpha = self._value(sources[0], self._low), self._value(sources[1], "float32")
        (channels,) = self._shapes[self._nodes[sources[1]]["name"]]
        positive = mx.sym.Activation(value, act_type="relu")
        if i in self._negated:
            return {self._low: value + self._scale(positive, alpha - 1, channels)}
        return {self._low: self._scale(value, alpha, channels) + self._scale(positive, 1 - alpha, channels)}

    def _scale(self, value, factor, channels):
        """Channels times numbers (C,), which get their gradient, in oneDNN's layout: BatchNorm of mean 0 and var 1."""
        zero, mean, var = (
            self._constant(f"{what}_{channels}", channels, number)
            for what, number in (("constant_zero", 0.0), ("constant_mean", 0.0), ("constant_var", 1 - _EPSILON))
        )
        fixed = {"eps": _EPSILON, "fix_gamma": False, "use_global_stats": True}
        return mx.sym.BatchNorm(value, factor, zero, mean, var, **fixed)

    def _constant(self, name, channels, number):
        self.constants[name] = ((channels,), number)
        return self._variable(name)

    def _variable(self, name):
        return self._variables.setdefault(name, mx.sym.var(name))

    def _value(self, i, dtype, output=0):
        known = self._made[i]
        several = known.get("float32")
        if several is not None and len(several) > 1:
            return self._cast(several[output], dtype)
        if dtype not in known:
            known[dtype] = self._cast(next(iter(known.values())), dtype)
        return known[dtype]

    def _cast(self, value, dtype):
        return value if dtype == "float32" == self._low else mx.sym.amp_cast(value, dtype=TYPES[dtype])

    def _reading(self, i):
        return [j for j, node in enumerate(self._nodes) if any(source == i for source, *_ in node["inputs"])]


def _is_prelu(node):
    return node["op"] == "LeakyReLU" and node.get("attrs", {}).get("act_type") == "prelu"

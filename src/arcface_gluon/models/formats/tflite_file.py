"""TFLite files of MobileFaceNet (float32), as mobile apps carry them, read with TFLite's flatbuffer schema alone.

They come from TensorFlow: BatchNorm is folded into the convolutions, PReLU is written relu(x) + c (x - |x|), and a
strided 3x3 convolution pads after its input only. Two 1x1 convolutions without anything between are one here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np

from ...errors import UserError
from ...runtime import import_optional
from ..backbone import Backbone
from ..layers import BN_EPSILON
from ..mobilefacenet import EPSILON, ConvUnit
from ..parameters import load_parameters
from ..registry import network_of

_IDENTIFIER = b"TFL3"
_READ = "float32 MobileFaceNet is read, of images (x - 127.5) / 128"


class _Other(Exception):
    """What makes the file none of those that are read."""


@dataclass
class _Layer:
    """A convolution: weight (O, I / groups, kH, kW), bias (O,), slope (O,) of the PReLU after it or None."""

    weight: np.ndarray
    bias: np.ndarray
    stride: int
    groups: int
    same: bool  # padding that keeps the size, at stride 1
    source: int  # tensors that it reads and gives
    target: int
    slope: np.ndarray | None = None
    residual: bool = False  # the input of the layer before the last is added to its output
    shared: bool = False  # more than one operator reads its output

    @property
    def is_linear_1x1(self):
        return self.weight.shape[2:] == (1, 1) and self.stride == 1 and self.groups == 1 and self.slope is None


def read_tflite(path: Path, contexts: list[mx.Context]) -> Backbone:
    """The MobileFaceNet of a .tflite file, on devices: RGB 0..255 -> what the file gives for (x - 127.5) / 128.

    Raises:
        UserError: the package tflite is not installed; the file cannot be read, is damaged, or holds another network.
    """
    tflite = import_optional("tflite")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if content[4:8] != _IDENTIFIER:
        raise UserError(f"{path} is no TFLite file (it does not say {_IDENTIFIER.decode()}); copy it again")
    try:
        graph = _Graph(tflite, content)
        layers = _merge(_layers(graph))
        options = {"blocks": _blocks(layers), "input_size": graph.input_size, "strided_kernel": 4}
        net = network_of({"name": "mobilefacenet", "embedding_size": len(layers[-1].bias), "options": options}, path)
        values = _values(net, layers)
    except _Other as error:
        raise UserError(f"{path} cannot be read: {error}; {_READ}") from None
    # What the flatbuffer's reader meets where offsets and lengths are wrong.
    except (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is damaged, or another network ({type(error).__name__}: {error}); {_READ}") from None
    load_parameters(net, values, path, contexts)
    return net


class _Graph:
    """The one graph of a file, by tensor numbers."""

    def __init__(self, tflite, content):
        self._tflite = tflite
        self._model = tflite.Model.GetRootAs(content, 0)
        if self._model.SubgraphsLength() != 1:
            raise _Other("it has several graphs")
        self.graph = self._model.Subgraphs(0)
        inputs, outputs = self.graph.InputsAsNumpy(), self.graph.OutputsAsNumpy()
        if len(inputs) != 1 or len(outputs) != 1:
            raise _Other(f"it has {len(inputs)} inputs and {len(outputs)} outputs")
        self.input, self.output = int(inputs[0]), int(outputs[0])
        shape = tuple(self.graph.Tensors(self.input).ShapeAsNumpy())
        if len(shape) != 4 or shape[3] != 3 or shape[1] % 16 or shape[2] % 16:
            raise _Other(f"its input is {'x'.join(map(str, shape))}")
        height, width = int(shape[1]), int(shape[2])
        self.input_size = height if height == width else (height, width)
        names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
        self.operators = [self._operator(self.graph.Operators(i), names) for i in range(self.graph.OperatorsLength())]
        self.readers = {}
        for _, _, sources, _ in self.operators:
            for source in sources:
                self.readers[source] = self.readers.get(source, 0) + 1

    def _operator(self, operator, names):
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        kind = names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")
        if operator.OutputsLength() != 1:
            raise _Other(f"operator {kind} has {operator.OutputsLength()} outputs")
        sources = [int(number) for number in operator.InputsAsNumpy()]
        return kind, operator, sources, int(operator.OutputsAsNumpy()[0])

    def constant(self, number):
        """Values of a tensor that is stored, float32; None for one that is computed."""
        if not 0 <= number < self.graph.TensorsLength():
            return None
        tensor = self.graph.Tensors(number)
        stored = self._model.Buffers(tensor.Buffer())
        if not stored.DataLength():
            return None
        if tensor.Type() != self._tflite.TensorType.FLOAT32:
            raise _Other("it is quantised, or of half precision")
        return np.frombuffer(stored.DataAsNumpy().tobytes(), "<f4").reshape(tensor.ShapeAsNumpy())

    def options(self, operator, kind):
        """Options of a convolution."""
        table, options = operator.BuiltinOptions(), getattr(self._tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        return options


def _layers(graph):
    """The convolutions in order, with what follows them, of a chain with residuals."""
    layers, current, i, operators = [], graph.input, 0, graph.operators
    while i < len(operators):
        kind, operator, sources, target = operators[i]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and sources[0] == current:
            layers.append(_convolution(graph, kind, operator, sources, target))
        elif kind == "RELU" and layers:
            layers[-1].slope = _slope_of_five(graph, operators[i : i + 5], current)
            i += 4
            target = operators[i][3]
        elif kind == "PRELU" and sources[0] == current and layers:
            layers[-1].slope = graph.constant(sources[1]).reshape(-1)
        elif kind == "ADD" and len(layers) > 3 and sorted(sources) == sorted([current, layers[-3].source]):
            layers[-1].residual = True
        elif kind not in ("RESHAPE", "SQUEEZE") or sources[0] != current:
            raise _Other(f"operator {i}, {kind}, stands where MobileFaceNet has none")
        current = target
        if layers:
            layers[-1].target = current
        i += 1
    if current != graph.output or not layers:
        raise _Other("its output is not that of the last operator")
    for layer in layers:
        layer.shared = graph.readers.get(layer.target, 0) > 1
    return layers


def _slope_of_five(graph, operators, x):
    """alpha = 2 c of relu(x) + c (x - |x|)."""
    relu, absolute, difference, product, total = operators
    kinds = [kind for kind, *_ in operators]
    constants = [value for value in map(graph.constant, product[2]) if value is not None]
    if kinds != ["RELU", "ABS", "SUB", "MUL", "ADD"] or len(constants) != 1 or (
        relu[2] != [x] or absolute[2] != [x] or difference[2] != [x, absolute[3]] or difference[3] not in product[2]
        or sorted(total[2]) != sorted([relu[3], product[3]])
    ):  # fmt: skip
        raise _Other("it has a RELU that is no part of a PReLU")
    return 2 * constants[0].reshape(-1)


def _convolution(graph, kind, operator, sources, target):
    depthwise = kind.startswith("DEPTHWISE")
    options = graph.options(operator, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
    weight, bias = graph.constant(sources[1]), graph.constant(sources[2])
    stride = options.StrideH()
    plain = options.StrideW() == stride and options.DilationHFactor() == options.DilationWFactor() == 1
    if not plain or options.FusedActivationFunction() != 0 or weight is None or weight.ndim != 4 or bias is None:
        raise _Other("it has a convolution with dilation, a fused activation or computed weights")
    # (O, kH, kW, I), or (1, kH, kW, O) where depthwise.
    weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
    groups = len(weight) if depthwise else 1
    return _Layer(weight, bias, stride, groups, options.Padding() == 0, sources[0], target)


def _merge(layers):
    """The layers with one where two 1x1 convolutions follow each other, the first of them read by the second alone."""
    merged = []
    for layer in layers:
        before = merged[-1] if merged else None
        if (
            before
            and layer.weight.shape[2:] == (1, 1)
            and before.is_linear_1x1
            and not before.residual
            and not before.shared
        ):
            first, second = (one.weight.astype(np.float64)[:, :, 0, 0] for one in (before, layer))
            layer.bias = (second @ before.bias + layer.bias).astype(np.float32)
            layer.weight = (second @ first).astype(np.float32)[:, :, None, None]
            layer.source = before.source
            merged.pop()
        merged.append(layer)
    return merged


def _blocks(layers):
    """MobileFaceNet's counts of units at 56, 28, 14 and 7 pixels."""
    counts = [0]
    for layer in layers[1:]:
        if layer.stride == 2:
            counts.append(0)
        counts[-1] += layer.residual
    if len(counts) != 4:
        raise _Other(f"it halves the map {len(counts)} times")
    return [counts[0] or 1, *counts[1:]]


def _values(net, layers):
    """{structural name: array} of the network, whose BatchNorms only add what the folded ones left."""
    units = []
    net.apply(lambda block: units.append(block) if isinstance(block, ConvUnit) else None)
    names = {parameter.name: name for name, parameter in net._collect_params_with_prefix().items()}
    units.sort(key=lambda unit: list(names).index(unit.conv2d.weight.name))
    *convolutions, last = layers
    if len(convolutions) != len(units):
        raise _Other(f"it has {len(layers)} convolutions, MobileFaceNet of these counts {len(units) + 1}")
    values = {}
    for unit, layer in zip(units, convolutions):
        name = names[unit.conv2d.weight.name][: -len("conv2d.weight")]
        weight = layer.weight
        if unit.conv2d.weight.shape[2:] == (4, 4) and layer.stride == 2 and layer.same:
            weight = np.pad(weight, [(0, 0), (0, 0), (1, 0), (1, 0)])
        stride = unit.conv2d._kwargs["stride"][0]
        padded = unit.conv2d._kwargs["pad"][0] > 0
        linear, padded_there = unit.relu is None, layer.same and weight.shape[2] > 1
        if (
            weight.shape != unit.conv2d.weight.shape
            or stride != layer.stride
            or padded != padded_there
            or linear != (layer.slope is None)
        ):
            raise _Other(f"{name}conv2d differs ({'x'.join(map(str, weight.shape))}, stride {layer.stride})")
        values[name + "conv2d.weight"] = weight
        values.update(_adding(name + "batchnorm.", layer.bias, EPSILON))
        if not linear:
            values[name + "relu.alpha"] = layer.slope
    values["pre_fc1.weight"], values["pre_fc1.bias"] = last.weight.reshape(len(last.bias), -1), last.bias
    values.update(_adding("fc1.", np.zeros_like(last.bias), BN_EPSILON))
    return values


def _adding(name, bias, epsilon):
    """Parameters of a BatchNorm that adds a bias, and does nothing else at inference."""
    ones = np.ones_like(bias)
    return {
        name + "gamma": ones, name + "beta": bias, name + "running_mean": 0 * ones,
        name + "running_var": ones - np.float32(epsilon),
    }  # fmt: skip

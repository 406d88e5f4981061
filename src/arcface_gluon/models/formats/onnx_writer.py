"""Operators of MXNet's face networks as ONNX's: a table of those that both have alike, a method for each other."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ...errors import UserError
from ..graph import Operator

_SMALLEST_NORM = 1e-12  # what an embedding is divided by at least

# MXNet's name → ONNX's, of operators without attributes that matter.
_SAME = {
    "elemwise_add": "Add", "_plus": "Add", "broadcast_add": "Add", "broadcast_plus": "Add", "add_n": "Sum",
    "elemwise_sub": "Sub", "_minus": "Sub", "broadcast_sub": "Sub", "broadcast_minus": "Sub",
    "elemwise_mul": "Mul", "_mul": "Mul", "broadcast_mul": "Mul",
    "elemwise_div": "Div", "_div": "Div", "broadcast_div": "Div",
    "_maximum": "Max", "broadcast_maximum": "Max", "_minimum": "Min", "broadcast_minimum": "Min",
    "_power": "Pow", "broadcast_power": "Pow",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "abs": "Abs", "erf": "Erf", "negative": "Neg", "Flatten": "Flatten",
}  # fmt: skip
# Of operators with a number: (ONNX's name, whether the number stands first).
_SCALARS = {
    "_plus_scalar": ("Add", False), "_minus_scalar": ("Sub", False), "_rminus_scalar": ("Sub", True),
    "_mul_scalar": ("Mul", False), "_div_scalar": ("Div", False), "_rdiv_scalar": ("Div", True),
    "_power_scalar": ("Pow", False), "_rpower_scalar": ("Pow", True),
    "_maximum_scalar": ("Max", False), "_minimum_scalar": ("Min", False),
}  # fmt: skip
_ACTIVATIONS = {"sigmoid": "Sigmoid", "relu": "Relu", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


class Writer:
    """Collects the nodes and initializers of a graph; `add` an operator after those that it reads.

    Args:
        onnx: the package.
        float16: store weights in half precision.
        opset: version of ONNX's operators.

    Attributes:
        nodes, initializers: of the graph so far.
    """

    def __init__(self, onnx: Any, float16: bool, opset: int):
        self._onnx, self._float16, self._opset = onnx, float16, opset
        self.nodes: list = []
        self.initializers: list = []

    def add(self, operator: Operator) -> None:
        """Write an operator of `graph.inference_graph`.

        Raises:
            UserError: it, or an option of it, has no counterpart here.
        """
        if operator.kind in _SAME:
            self._node(_SAME[operator.kind], operator.inputs, operator.name)
            return
        if operator.kind in _SCALARS:
            kind, first = _SCALARS[operator.kind]
            value = np.array(operator.attributes["scalar"], np.float32)
            inputs = [*operator.inputs, self._constant(f"{operator.name}_scalar", value)]
            self._node(kind, inputs[::-1] if first else inputs, operator.name)
            return
        method = getattr(self, f"_{operator.kind.lstrip('_').lower()}", None)
        if method is None:
            raise UserError(f"operator {operator.kind} ({operator.name}) has no counterpart in ONNX here")
        method(operator)

    def normalise_pixels(self, source: str, mean: float, scale: float) -> str:
        """(source - mean) * scale, under the names by which insightface's ArcFaceONNX knows that it is done."""
        centred = self._node("Sub", [source, self._constant("mean", np.float32(mean))], "centred", "Sub_mean")
        return self._node("Mul", [centred, self._constant("scale", np.float32(scale))], "pixels", "Mul_scale")

    def normalise(self, name: str) -> str:
        """Divide by the length, as the last node; gives its output."""
        self._reduce("ReduceL2", [name], "length", [1], 18)
        smallest = self._constant("smallest_length", np.array(_SMALLEST_NORM, np.float32))
        self._node("Max", ["length", smallest], "length_or_smallest")
        return self._node("Div", [name, "length_or_smallest"], "normalised")

    def _node(self, kind, inputs, outputs, label=None, **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, outputs, name=label or outputs[0], **attributes))
        return outputs[0]

    def _constant(self, name, value):
        self.initializers.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def _integers(self, name, values):
        return self._constant(name, np.array(values, np.int64))

    def _weights(self, operator, *keys, shape=None):
        """Inputs for an operator's arrays; those that it lacks are left out."""
        names = []
        for key in keys:
            if key not in operator.arrays:
                continue
            name = f"{operator.name}_{key}"
            value = operator.arrays[key]
            value = np.ascontiguousarray(value if shape is None else value.reshape(shape))
            if not self._float16 or key != "weight":
                names.append(self._constant(name, value))
                continue
            if np.abs(value).max() > np.finfo(np.float16).max:
                raise UserError(f"--float16: {name} has values beyond float16's 65504; export it in float32")
            self._constant(f"{name}_half", value.astype(np.float16))
            self._node("Cast", [f"{name}_half"], name, to=self._onnx.TensorProto.FLOAT)
            names.append(name)
        return names

    def _reduce(self, kind, inputs, name, axes, since, keepdims=1):
        """A sum or the like over axes, which are an attribute before the opset `since` and an input from it on."""
        if self._opset < since:
            return self._node(kind, inputs, name, axes=axes, keepdims=keepdims)
        return self._node(kind, [*inputs, self._integers(f"{name}_axes", axes)], name, keepdims=keepdims)

    def _convolution(self, operator):
        inputs = [*operator.inputs, *self._weights(operator, "weight", "bias")]
        kernel = list(operator.attributes["kernel"])
        _only(operator, layout=(None, "NCHW"))
        self._node(
            "Conv", inputs, operator.name, kernel_shape=kernel, strides=_pair(operator, "stride", 1),
            pads=_pair(operator, "pad", 0) * 2, dilations=_pair(operator, "dilate", 1),
            group=operator.attributes.get("num_group", 1),
        )  # fmt: skip

    def _batchnorm(self, operator):
        inputs = [*operator.inputs, *self._weights(operator, "gamma", "beta", "mean", "var")]
        self._node("BatchNormalization", inputs, operator.name, epsilon=operator.attributes["eps"])

    def _leakyrelu(self, operator):
        given = operator.attributes
        kind = given.get("act_type", "leaky")
        if kind == "prelu":
            shape = (-1, *[1] * (len(operator.shape or (1, 1, 1, 1)) - 2))
            self._node("PRelu", [*operator.inputs, *self._weights(operator, "slope", shape=shape)], operator.name)
        elif kind in ("leaky", "elu"):
            name = {"leaky": "LeakyRelu", "elu": "Elu"}[kind]
            self._node(name, operator.inputs, operator.name, alpha=float(given.get("slope", 0.25)))
        else:
            raise UserError(f"{operator.name}: LeakyReLU of type {kind} has no counterpart in ONNX here")

    def _fullyconnected(self, operator):
        flat = operator.inputs[0]
        _only(operator, flatten=(None, True))
        flat = self._node("Flatten", [flat], f"{operator.name}_flat", axis=1)
        self._node("Gemm", [flat, *self._weights(operator, "weight", "bias")], operator.name, transB=1)

    def _pooling(self, operator):
        given = operator.attributes
        kind = given.get("pool_type", "max")
        _only(operator, pool_type=(None, "avg", "max"), pooling_convention=(None, "valid", "full"),
              layout=(None, "NCHW"))  # fmt: skip
        if given.get("global_pool"):
            self._node({"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[kind], operator.inputs, operator.name)
            return
        options = {"count_include_pad": int(given.get("count_include_pad") in (None, True))} if kind == "avg" else {}
        self._node(
            {"avg": "AveragePool", "max": "MaxPool"}[kind], operator.inputs, operator.name,
            kernel_shape=list(given["kernel"]), strides=_pair(operator, "stride", 1),
            pads=_pair(operator, "pad", 0) * 2, ceil_mode=int(given.get("pooling_convention") == "full"), **options,
        )  # fmt: skip

    def _activation(self, operator):
        _only(operator, act_type=tuple(_ACTIVATIONS))
        self._node(_ACTIVATIONS[operator.attributes["act_type"]], operator.inputs, operator.name)

    def _hard_sigmoid(self, operator):
        given = operator.attributes
        alpha, beta = float(given.get("alpha", 0.2)), float(given.get("beta", 0.5))
        self._node("HardSigmoid", operator.inputs, operator.name, alpha=alpha, beta=beta)

    def _softmax(self, operator):
        self._node("Softmax", operator.inputs, operator.name, axis=operator.attributes.get("axis", -1))

    def _clip(self, operator):
        bounds = [
            self._constant(f"{operator.name}_{key}", np.array(operator.attributes[f"a_{key}"], np.float32))
            for key in ("min", "max")
        ]
        self._node("Clip", [*operator.inputs, *bounds], operator.name)

    def _square(self, operator):
        self._node("Mul", operator.inputs * 2, operator.name)

    def _mean(self, operator):
        axes = operator.attributes.get("axis")
        axes = [axes] if isinstance(axes, int) else list(axes or ())
        _only(operator, exclude=(None, False))
        if not axes or 0 in axes:
            raise UserError(f"{operator.name}: a mean over the images of a batch has no counterpart here")
        self._reduce(
            "ReduceMean", operator.inputs, operator.name, axes, 18, int(bool(operator.attributes.get("keepdims")))
        )

    def _concat(self, operator):
        self._node("Concat", operator.inputs, operator.name, axis=operator.attributes.get("dim", 1))

    def _slice_axis(self, operator):
        given = operator.attributes
        end = given.get("end")
        parts = {"begin": given["begin"], "end": np.iinfo(np.int64).max if end is None else end, "axis": given["axis"]}
        inputs = [self._integers(f"{operator.name}_{key}", [value]) for key, value in parts.items()]
        self._node("Slice", [*operator.inputs, *inputs], operator.name)

    def _slicechannel(self, operator):
        given = operator.attributes
        count, axis = given["num_outputs"], given.get("axis", 1)
        _only(operator, squeeze_axis=(None, False))
        options = {"num_outputs": count} if self._opset >= 18 else {}  # equal parts, unless told before
        self._node("Split", operator.inputs, [f"{operator.name}:{i}" for i in range(count)], axis=axis, **options)

    _split = _slicechannel

    def _reshape(self, operator):
        shape = list(operator.attributes.get("shape") or ())
        _only(operator, reverse=(None, False))
        if not shape or min(shape) < -1:
            raise UserError(f"{operator.name}: a Reshape to {tuple(shape)} has no counterpart in ONNX here")
        self._node("Reshape", [*operator.inputs, self._integers(f"{operator.name}_shape", shape)], operator.name)

    def _transpose(self, operator):
        axes = operator.attributes.get("axes") or ()
        self._node("Transpose", operator.inputs, operator.name, **({"perm": list(axes)} if axes else {}))

    def _expand_dims(self, operator):
        axes = [operator.attributes["axis"]]
        if self._opset < 13:
            self._node("Unsqueeze", operator.inputs, operator.name, axes=axes)
        else:
            inputs = [*operator.inputs, self._integers(f"{operator.name}_axes", axes)]
            self._node("Unsqueeze", inputs, operator.name)

    def _pad(self, operator):
        given = operator.attributes
        _only(operator, mode=(None, "constant", "edge", "reflect"))
        widths = list(given["pad_width"])
        inputs = [self._integers(f"{operator.name}_widths", widths[::2] + widths[1::2])]
        inputs.append(self._constant(f"{operator.name}_value", np.float32(given.get("constant_value", 0))))
        self._node("Pad", [*operator.inputs, *inputs], operator.name, mode=given.get("mode", "constant"))


def _pair(operator: Operator, key: str, default: int) -> list[int]:
    """An attribute of two numbers; MXNet writes its default as nothing or ()."""
    return list(operator.attributes.get(key) or (default, default))


def _only(operator: Operator, **allowed: Sequence) -> None:
    """Refuse other values of attributes than these; None stands for none."""
    for key, values in allowed.items():
        found = operator.attributes.get(key)
        if found not in values:
            raise UserError(f"{operator.name}: {operator.kind} with {key}={found} has no counterpart in ONNX here")

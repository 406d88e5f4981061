"""Less work for the same embeddings: what is left of BatchNorm and PReLU goes into convolutions, exactly.

A value of the network need not be computed as it is. Kept is an array of which it is a line, scale * array + shift with
a number a channel (`_Line`), and the layers that read it take scale and shift into their weights. So

- a BatchNorm before a padded convolution costs nothing: the array is the value less that shift which makes the
  normalised value 0 where the array is 0, as the padding is. The convolution that wrote the value takes the shift.
- PReLU costs a relu and a depthwise convolution: of n = -x, -prelu(x) = n + (alpha - 1) relu(n).
- sums are added up by the convolution that writes their second part (`Operator.inputs` has a second array then), and a
  relu is the end of the convolution before it (its attribute act_type).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .graph import SPLITS, Operator, mixes_channels, scale_and_shift, scale_inputs, scale_outputs

SUMS = ("elemwise_add", "_plus", "_Plus")


@dataclass
class _Line:
    """A value as scale * array + shift; both are float64 (channels,) or one number for all."""

    array: str
    scale: np.ndarray | float = 1.0
    shift: np.ndarray | float = 0.0

    def is_plain(self) -> bool:
        return bool(np.all(self.scale == 1) and np.all(self.shift == 0))


def fold(operators: list[Operator], limit: float) -> list[Operator]:
    """Operators that give the same embedding with less work; the last one's output is it.

    Args:
        operators: of `inference_graph`; their arrays are not changed.
        limit: a BatchNorm with |beta| > limit * |gamma| in a channel stays: the shift would be so large beside the
            values, whose deviation it counts in, that rounding would take their digits.
    """
    return _Folding(operators, limit).run()


class _Folding:
    def __init__(self, operators, limit):
        self.operators, self.limit = operators, limit
        self.makers = {operator.name: operator for operator in operators}
        self.order = {operator.name: number for number, operator in enumerate(operators)}
        self.readers = defaultdict(list)
        for operator in operators:
            for name in operator.inputs:
                self.readers[name].append(operator)
        self.lines = {"data": _Line("data")}
        self.plain = {}  # name of a value -> its line where another is in `lines`
        self.ends = {}  # name of an array -> the last value that was worked into it
        self.made = {}  # name of an array -> the operator that makes it, in order
        self.shifts = {}  # name of a value -> the shift that its array should have
        self.silent = set()  # BatchNorms that cost nothing where their value has it

    def run(self):
        for operator in self.operators:
            if operator.kind == "BatchNorm":
                self._plan(operator)
        steps = {"Convolution": self._convolution, "FullyConnected": self._dense, "BatchNorm": self._norm}
        steps.update({"LeakyReLU": self._prelu, "Activation": self._activation, "_mul_scalar": self._scaling})
        steps.update(dict.fromkeys(SUMS, self._sum))
        for operator in self.operators:
            step = steps.get(operator.kind, self._other)
            self.lines[operator.name] = step(Operator(**{**vars(operator), "arrays": dict(operator.arrays)}))
        last = self._plain(self.operators[-1].name).array
        return list(self.made.values())[: list(self.made).index(last) + 1]

    def _plan(self, norm):
        """Whether a BatchNorm can be left to its neighbours, and how the value before it must be shifted then."""
        (value,) = norm.inputs
        readers = self.readers[norm.name]
        alone = len(readers) == 1 and readers[0].kind == "Convolution"
        gamma, beta = np.abs(norm.arrays["gamma"]), np.abs(norm.arrays["beta"])
        if alone and value not in self.shifts and np.all(beta <= self.limit * gamma) and self._shiftable(value):
            scale, shift = scale_and_shift(norm)
            self.shifts[value] = -np.divide(shift, scale, out=np.zeros_like(scale), where=scale != 0)
            self.silent.add(norm.name)

    def _shiftable(self, value):
        """Whether a convolution can write a value with a shift, and all that read it can take it off again."""
        maker = self.makers.get(value)
        if maker is not None and maker.kind in SUMS:
            last = max(maker.inputs, key=lambda name: self.order.get(name, -1))
            written = last in self.makers and _is_convolution(self.makers[last]) and len(self.readers[last]) == 1
        else:
            written = maker is not None and (maker.kind == "Convolution" or self._is_cheap_prelu(maker))
        return written and all(
            reader.kind in ("BatchNorm", "FullyConnected", *SUMS)
            or (reader.kind == "Convolution" and not _pads(reader))
            for reader in self.readers[value]
        )

    def _is_cheap_prelu(self, operator):
        """Whether a PReLU follows a convolution, which can negate, and has a slope for each of its channels."""
        maker = self.makers.get(operator.inputs[0])
        if maker is None or not _is_convolution(maker) or operator.attributes.get("act_type") != "prelu":
            return False
        return len(operator.arrays["slope"]) == len(maker.arrays["weight"])

    def _convolution(self, layer):
        line = self.lines[layer.inputs[0]]
        if _pads(layer) and np.any(line.shift):
            line = self._plain(layer.inputs[0])
        layer.inputs = [line.array]
        _scale_conv_inputs(layer, line)
        scale, shift = self._output_line(layer)
        if np.any(scale != 1) or np.any(shift):
            scale_outputs(layer, np.full(len(layer.arrays["weight"]), 1 / scale), -shift / scale)
        return self._make(layer, scale, shift)

    def _output_line(self, layer):
        """(scale, shift) of the line that suits the readers of a convolution."""
        readers = self.readers[layer.name]
        if any(self._is_cheap_prelu(reader) for reader in readers if reader.kind == "LeakyReLU"):
            return -1.0, 0.0
        if len(readers) == 1 and readers[0].kind in SUMS:
            total = readers[0]
            other = self.lines.get(next(name for name in total.inputs if name != layer.name))
            if other is None:
                return 1.0, 0.0
            scale = -1.0 if np.all(other.scale == -1) else 1.0
            return scale, self.shifts.get(total.name, 0.0) - other.shift
        return 1.0, self.shifts.get(layer.name, 0.0)

    def _prelu(self, operator):
        if not self._is_cheap_prelu(operator):
            return self._other(operator)
        line = self.lines[operator.inputs[0]]  # the negative: see `_output_line`
        relu = Operator("Activation", f"{operator.name}_positive", [line.array], {"act_type": "relu"})
        self._make(relu)
        slope, shift = operator.arrays["slope"].astype(np.float64), self.shifts.get(operator.name)
        channels = len(slope)
        arrays = {"weight": (slope - 1).astype(np.float32).reshape(-1, 1, 1, 1)}
        if shift is not None:
            arrays["bias"] = shift.astype(np.float32)
        attributes = {"kernel": (1, 1), "num_filter": channels, "num_group": channels}
        depthwise = Operator("Convolution", operator.name, [relu.name, line.array], attributes, arrays)
        return self._make(depthwise, -1.0, 0.0 if shift is None else shift)

    def _sum(self, operator):
        lines = [self.lines[name] for name in operator.inputs]
        if np.any(lines[0].scale != lines[1].scale):
            lines = [self._plain(name) for name in operator.inputs]
        order = list(self.made)
        first, last = sorted(
            (line.array for line in lines), key=lambda name: order.index(name) if name in order else -1
        )
        scale, shift = lines[0].scale, lines[0].shift + lines[1].shift
        writer = self._writer(last, operator)
        if writer is not None and len(writer.inputs) == 1:
            writer.inputs = [*writer.inputs, first]
            self.ends[last] = operator.name
            return _Line(last, scale, shift)
        operator.inputs = [first, last]
        return self._make(operator, scale, shift)

    def _activation(self, operator):
        """A relu costs nothing where the convolution before it can end in it."""
        line = self.lines[operator.inputs[0]]
        writer = self._writer(line.array, operator)
        if operator.attributes["act_type"] != "relu" or writer is None or not line.is_plain():
            return self._other(operator)
        writer.attributes = {**writer.attributes, "act_type": "relu"}
        self.ends[line.array] = operator.name
        return line

    def _writer(self, array, operator):
        """The convolution of an array that can do what `operator` does, which alone reads it; None if there is none."""
        writer, value = self.made.get(array), self.ends.get(array)
        if writer is None or value not in operator.inputs or len(self.readers[value]) > 1:
            return None
        return writer if _is_convolution(writer) and "act_type" not in writer.attributes else None

    def _dense(self, layer):
        line = self.lines[layer.inputs[0]] if mixes_channels(layer) else self._plain(layer.inputs[0])
        if not line.is_plain():
            channels = max(np.size(line.scale), np.size(line.shift))
            scale_inputs(layer, *(np.broadcast_to(values, channels) for values in (line.scale, line.shift)))
        layer.inputs = [line.array]
        return self._make(layer)

    def _norm(self, norm):
        line = self.lines[norm.inputs[0]]
        scale, shift = scale_and_shift(norm)
        if norm.name in self.silent and np.allclose(line.shift, self.shifts[norm.inputs[0]]):
            return _Line(line.array, scale * line.scale, 0.0)
        return self._make(_line_operator(norm.name, line.array, scale * line.scale, scale * line.shift + shift))

    def _scaling(self, operator):
        line, factor = self.lines[operator.inputs[0]], float(operator.attributes["scalar"])
        return _Line(line.array, line.scale * factor, line.shift * factor)

    def _other(self, operator):
        operator.inputs = [self._plain(name).array for name in operator.inputs]
        if operator.kind in SPLITS:
            outputs = (f"{operator.name}:{number}" for number in range(operator.attributes["num_outputs"]))
            self.lines.update({name: _Line(name) for name in outputs})
        return self._make(operator)

    def _make(self, operator, scale=1.0, shift=0.0):
        self.made[operator.name], self.ends[operator.name] = operator, operator.name
        return _Line(operator.name, scale, shift)

    def _plain(self, name):
        """The line of a value whose array is the value itself."""
        line = self.lines[name]
        if line.is_plain():
            return line
        if name not in self.plain:
            self.plain[name] = self._make(_line_operator(f"{name}_plain", line.array, line.scale, line.shift))
        return self.plain[name]


def _pads(layer):
    return any(layer.attributes.get("pad", ()))


def _is_convolution(operator):
    """Whether an operator is a convolution of images, which can end in a sum."""
    return operator.kind == "Convolution" and len(operator.attributes["kernel"]) == 2


def _scale_conv_inputs(layer, line):
    """Let a convolution take scale * x + shift of what it is given; a shift only where it does not pad."""
    if line.is_plain():
        return
    weight = layer.arrays["weight"]
    outputs, inputs = weight.shape[:2]
    groups = layer.attributes.get("num_group", 1)
    grouped = weight.reshape(groups, outputs // groups, inputs, -1)
    scale, shift = (
        np.broadcast_to(values, groups * inputs).reshape(groups, 1, inputs) for values in (line.scale, line.shift)
    )
    if np.any(line.shift):
        more = (grouped.sum(axis=3, dtype=np.float64) * shift).sum(axis=2).reshape(-1)
        layer.arrays["bias"] = (layer.arrays.get("bias", np.float64(0)) + more).astype(np.float32)
    if np.any(line.scale != 1):
        layer.arrays["weight"] = (grouped * scale.astype(np.float32)[..., None]).reshape(weight.shape)


def _line_operator(name, array, scale, shift):
    """An operator that gives scale * array + shift: a BatchNorm of mean 0 and variance 1."""
    if not np.ndim(scale) and not np.ndim(shift):
        if shift:
            raise UserError(f"{name}: a shift without channels")
        return Operator("_mul_scalar", name, [array], {"scalar": float(scale)})
    channels = max(np.size(scale), np.size(shift))
    epsilon = 1e-3
    ones = np.ones(channels, np.float32)
    arrays = {"gamma": scale * ones, "beta": shift * ones, "mean": 0 * ones, "var": (1 - epsilon) * ones}
    attributes = {"eps": epsilon, "fix_gamma": False, "use_global_stats": True}
    return Operator("BatchNorm", name, [array], attributes, {k: a.astype(np.float32) for k, a in arrays.items()})

"""Networks in a `-symbol.json`, checked before MXNet sees them: its own reader follows any number in the file.

Only what was checked goes on: operators of a list, which compute from their inputs and nothing else (no pointers,
files, foreign code or nested graphs), in an order without circles, with counts and sides within bounds.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Collection
from contextlib import redirect_stdout

import mxnet as mx

from ..errors import UserError
from ..files import read_json

_MAX_NODES = 20_000  # an IResNet-200 has 2,300
_MAX_TEXT = 10_000  # letters of a name or an attribute
_MAX_SIDE = 1 << 16  # of a kernel, stride, count of filters …
_MAX_NUMBER = 1 << 24
_MAX_VALUES = 1 << 28  # of one array between operators, for an image of 112 x 112

_NAMES = """
    null Activation BatchNorm BatchNorm_v1 BlockGrad Cast Concat Convolution Convolution_v1 Crop Deconvolution Dropout
    Flatten FullyConnected GroupNorm InstanceNorm L2Normalization LRN LayerNorm LeakyReLU LinearRegressionOutput
    LogisticRegressionOutput MAERegressionOutput MakeLoss Pad Pooling Pooling_v1 Reshape SVMOutput SliceChannel Softmax
    SoftmaxActivation SoftmaxOutput SwapAxis UpSampling
    _Div _DivScalar _Maximum _MaximumScalar _Minimum _MinimumScalar _Minus _MinusScalar _Mul _MulScalar _Plus
    _PlusScalar _Power _PowerScalar _RDivScalar _RMinusScalar _copy _div _div_scalar _maximum _maximum_scalar _minimum
    _minimum_scalar _minus _minus_scalar _mul _mul_scalar _plus _plus_scalar _power _power_scalar _rdiv_scalar
    _rminus_scalar _rpower_scalar
    abs add_n amp_cast broadcast_add broadcast_div broadcast_maximum broadcast_minimum broadcast_minus broadcast_mul
    broadcast_plus broadcast_power broadcast_sub cast clip concat elemwise_add elemwise_div elemwise_mul elemwise_sub
    erf exp expand_dims flatten hard_sigmoid identity log log_softmax make_loss max mean min negative norm pad
    relu reshape rsqrt sigmoid slice_axis slice_channel softmax softsign split sqrt square squeeze stop_gradient sum
    swapaxes tanh tile transpose
"""
_OPERATORS = frozenset(_NAMES.split())
# Outputs of operators that have more than one.
_OUTPUTS = {"BatchNorm": 3, "BatchNorm_v1": 3, "LayerNorm": 3, "GroupNorm": 3, "InstanceNorm": 3, "Dropout": 2}
_OUTPUTS.update({"LeakyReLU": 2, "L2Normalization": 2, "LRN": 2})
_SPLITS = ("SliceChannel", "slice_channel", "split")
# Numbers that MXNet divides by, or takes memory for.
_POSITIVE = (
    "kernel",
    "stride",
    "dilate",
    "num_group",
    "num_filter",
    "num_hidden",
    "num_outputs",
    "num_args",
    "scale",
    "reps",
)
_ATTRIBUTES = ("attrs", "attr", "param")  # their names in MXNet since 1.0 and before
_PARAMETER = re.compile(r".*_(weight|bias|gamma|beta|alpha|mean|var|moving_mean|moving_var|running_mean|running_var)")
_INTEGER = re.compile(r"(?<![\w.])-?\d+(?![\w.])")


def read_symbol(path: str | os.PathLike[str], parameters: Collection[str] = ()) -> mx.sym.Symbol:
    """The network of a `-symbol.json`, its image as the input `data`, in float32 throughout.

    Args:
        parameters: names of its parameters, to tell the image from them where no input is named `data`.

    Raises:
        UserError: the file cannot be read, is damaged, or asks for what no network of this kind has.
    """
    try:
        graph = _checked(read_json(path))
        _name_the_image(graph["nodes"], parameters)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = str(error) if isinstance(error, ValueError) else "its parts are not those of a network"
        raise UserError(f"{path} is not a network of MXNet ({reason}); copy or download it again") from error
    try:
        symbol = mx.sym.load_json(json.dumps(graph, ensure_ascii=False))
    except mx.MXNetError as error:
        raise UserError(f"MXNet cannot read {path} as a network: {str(error).strip().splitlines()[-1]}") from error
    _check_sizes(path, symbol)
    return symbol


def _checked(graph):
    """The parts of a graph that were looked at, and no others; a ValueError says what is wrong."""
    nodes = graph["nodes"]
    if not isinstance(nodes, list) or not 0 < len(nodes) <= _MAX_NODES:
        raise ValueError(f"it has not 1 to {_MAX_NODES:,} nodes")
    kept = []
    for number, node in enumerate(nodes):
        try:
            kept.append(_checked_node(node, kept))
        except ValueError as error:
            raise ValueError(f"node {number}: {error}") from None
    names = [node["name"] for node in kept if node["op"] == "null"]
    if len(set(names)) != len(names):
        raise ValueError("two inputs have one name")
    if not graph["heads"]:
        raise ValueError("it has no output")
    version = graph.get("attrs", {}).get("mxnet_version", ["int", 0])[1]
    return {
        "nodes": kept,
        "arg_nodes": [number for number, node in enumerate(kept) if node["op"] == "null"],
        "heads": [_checked_entry(head, kept) for head in graph["heads"]],
        **({"attrs": {"mxnet_version": ["int", version]}} if _is_count(version) and 0 < version < 100_000 else {}),
    }


def _checked_node(node, before):
    if not isinstance(node["op"], str) or node["op"] not in _OPERATORS:
        raise ValueError(f"the operator {ascii(node['op'])[:40]} is none that face networks are made of")
    if node.get("subgraphs") or node.get("control_deps"):
        raise ValueError("it has a graph inside or a dependency on the side")
    found = {"op": node["op"], "name": _checked_text(node["name"])}
    for key in _ATTRIBUTES:
        if key in node:
            found[key] = {_checked_text(name): _checked_attribute(name, text) for name, text in node[key].items()}
            _to_float32(found["op"], found[key])
    found["inputs"] = [_checked_entry(entry, before) for entry in node["inputs"]]
    if (node["op"] == "null") != (not found["inputs"]):
        raise ValueError("an operator without inputs, or an input with some")
    return found


def _to_float32(operator, attributes):
    """Let a network of float16, which most operators lack on CPUs, compute in float32."""
    if "cast" in operator.lower() and attributes.get("dtype") == "float16":
        attributes["dtype"] = "float32"
    if attributes.get("__dtype__") == "2":
        attributes["__dtype__"] = "0"


def _name_the_image(nodes, parameters):
    """Call the image `data`: the first input that is no parameter and no label."""
    inputs = [node for node in nodes if node["op"] == "null"]
    if any(node["name"] == "data" for node in inputs):
        return
    others = [node for node in inputs if node["name"] not in parameters and not node["name"].endswith("label")]
    image = next((node for node in others if not _PARAMETER.fullmatch(node["name"])), None)
    if image is None:
        raise ValueError("it has no input for images")
    image["name"] = "data"


def _checked_entry(entry, before):
    """[node, output, version] of an input or a head: of a node before, so that there are no circles."""
    if not 2 <= len(entry) <= 3 or not all(map(_is_count, entry)):
        raise ValueError("an input is not [node, output, version]")
    if entry[0] >= len(before):
        raise ValueError(f"an input is node {entry[0]}, which does not come before")
    if entry[1] >= _outputs(before[entry[0]]):
        raise ValueError(f"an input is output {entry[1]} of node {entry[0]}, which has fewer")
    return [*entry[:2], min(entry[2], 1) if len(entry) > 2 else 0]


def _outputs(node):
    if node["op"] not in _SPLITS:
        return _OUTPUTS.get(node["op"], 1)
    given = {key: text for group in _ATTRIBUTES for key, text in node.get(group, {}).items()}
    return int(given.get("num_outputs", 1))


def _checked_attribute(name, text):
    text = _checked_text(text)
    if name.startswith("__") and name != "__shape__":
        return text  # notes of other tools, which MXNet keeps and does not use
    numbers = [int(number) for number in _INTEGER.findall(text)]
    if name == "__shape__" and abs(math.prod(numbers)) > _MAX_VALUES:
        raise ValueError("a shape of too many values")
    if any(abs(number) > _MAX_NUMBER for number in numbers):
        raise ValueError(f"{name} has a number that is too large")
    if name in _POSITIVE and not all(0 < number <= _MAX_SIDE for number in numbers):
        raise ValueError(f"{name} must be from 1 to {_MAX_SIDE:,}")
    return text


def _checked_text(text):
    if not isinstance(text, str) or len(text) > _MAX_TEXT or not text.isprintable():
        raise ValueError("a name or an attribute is no text")
    return text


def _is_count(number):
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << 31


def shapes_of(symbol: mx.sym.Symbol, size: tuple[int, int]) -> tuple[list, list, list] | None:
    """Shapes of a network's arguments, outputs and auxiliary states for an RGB image (height, width) at `data`; None
    where that does not fit it."""
    try:
        with redirect_stdout(io.StringIO()):  # MXNet prints the size where it does not fit
            return symbol.infer_shape(data=(1, 3, *size))
    except mx.MXNetError:
        return None


def _check_sizes(path, symbol):
    """Refuse a network that makes giant arrays of an image of the usual size."""
    inside = symbol.get_internals()
    try:
        shapes = inside.infer_shape_partial(data=(1, 3, 112, 112))[1]
    except mx.MXNetError:
        return  # made for images of another size
    largest = max((math.prod(shape) for shape in shapes if shape), default=0)
    if largest > _MAX_VALUES or any(side < 0 for shape in shapes for side in shape or () if side != -1):
        raise UserError(f"{path}: the network makes arrays of {largest:,} values of one image; it is not run")

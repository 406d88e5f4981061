"""The reference's view of our networks: flat parameter names, exported symbols, and recognising its checkpoints.

The reference is the symbol network LResNetE-IR of the paper's MXNet code (insightface, `fresnet.py`).
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, Iterable, Mapping

import mxnet as mx

from ..errors import UserError
from .backbone import Backbone
from .iresnet import CHANNELS, OTHER_UNITS, OUTPUTS, UNITS
from .layers import BN_EPSILON
from .network_options import PIXELS
from .registry import get_model

if TYPE_CHECKING:
    from mxnet.gluon import HybridBlock

SPEC_ATTRIBUTE = "__arcface_gluon__"  # on the data node of our exports; other tools ignore it

_TO_REFERENCE = {"alpha": "gamma", "running_mean": "moving_mean", "running_var": "moving_var"}

# Operators that pass their input on at inference.
TRANSPARENT = {"_copy", "BlockGrad", "Cast", "Dropout", "amp_cast"}

# Attributes that decide what an operator computes, with their defaults.
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "Convolution": {
        "kernel": (), "stride": (1, 1), "pad": (0, 0), "dilate": (1, 1), "num_filter": 0, "num_group": 1,
        "no_bias": False,
    },
    "BatchNorm": {"eps": 1e-3, "fix_gamma": True, "use_global_stats": False, "axis": 1},
    "FullyConnected": {"num_hidden": 0, "no_bias": False, "flatten": True},
    "LeakyReLU": {"act_type": "leaky", "slope": 0.25},
    "Activation": {"act_type": ""},
    "Pooling": {"kernel": (), "pool_type": "max", "global_pool": False, "stride": (1, 1), "pad": (0, 0)},
    "_minus_scalar": {"scalar": 0.0},
    "_mul_scalar": {"scalar": 0.0},
}  # fmt: skip


def reference_name(structural: str) -> str:
    """Flat name of a parameter in the reference: `stage1.unit1.relu1.alpha` -> `stage1_unit1_relu1_gamma`."""
    *path, kind = structural.split(".")
    return "_".join([*path, _TO_REFERENCE.get(kind, kind)])


def export_symbol(net: Backbone) -> mx.sym.Symbol:
    """Symbol of a network at float32, nodes named as in the reference, `data` to `fc1_output`."""
    data = mx.sym.var("data", attr={SPEC_ATTRIBUTE: json.dumps(net.spec)})
    dtype, net._dtype = net._dtype, "float32"
    try:
        graph = json.loads(net(data).tojson())
    finally:
        net._dtype = dtype
    flat = {parameter.name: reference_name(name) for name, parameter in net._collect_params_with_prefix().items()}
    for node in graph["nodes"]:
        if node["op"] == "null":
            node["name"] = flat.get(node["name"], node["name"])
        elif node["name"] == "id":
            node.update(op="_copy", attrs={})
        else:
            node["name"] = re.sub(r"_fwd$", "", node["name"])
    return mx.sym.load_json(json.dumps(graph))


def recognise(symbol: mx.sym.Symbol, shapes: Mapping[str, tuple[int, ...]]) -> HybridBlock | None:
    """The network of this project that a reference checkpoint holds, or None.

    Args:
        symbol: its graph.
        shapes: flat parameter name -> shape.

    A network is returned only if its graph computes the same, operator by operator, from the same parameters.
    """
    spec = _spec_from_attribute(symbol) or _spec_from_names(shapes, symbol)
    if spec is None:
        return None
    try:
        net = get_model(**spec)
    except (UserError, TypeError):
        return None
    return net if _signature(symbol) == _signature(export_symbol(net)) else None


def _spec_from_attribute(symbol):
    text = symbol.attr_dict().get("data", {}).get(SPEC_ATTRIBUTE)
    try:
        spec = json.loads(text) if text else None
    except ValueError:
        return None
    return spec if isinstance(spec, dict) else None


def _spec_from_names(shapes, symbol):
    if len(shapes.get("conv_6dw7_7_conv2d_weight", ())) == 4 and len(shapes.get("pre_fc1_bias", ())) == 1:
        return _mobilefacenet_spec(shapes, _constants(symbol))
    units = units_of(shapes)
    head = "pre_fc1_weight" if "pre_fc1_weight" in shapes else "fc1_weight"
    if len(units) != 4 or len(shapes.get(head, ())) != 2 or "stage4_unit1_bn2_gamma" not in shapes:
        return None
    embedding_size, inputs = shapes[head]
    channels = shapes["stage4_unit1_bn2_gamma"][0]
    around = ("bn1_gamma" in shapes, head == "pre_fc1_weight")
    output = next(letter for letter, (before, _, after) in OUTPUTS.items() if (before, after) == around)
    options = {
        "units": units,
        "width": channels / CHANNELS[-1],
        "se": "stage1_unit1_se_conv1_weight" in shapes,
        "output": output,
        "input_size": input_size_of(inputs // channels),
        **_constants(symbol),
    }
    depths: dict[tuple[int, ...], int] = {known: depth for depth, known in {**UNITS, **OTHER_UNITS}.items()}
    return {"name": f"r{depths.get(tuple(units), 50)}", "embedding_size": embedding_size, "options": options}


def _constants(symbol):
    """Epsilon of the first BatchNorm, and what is done to the pixels before the first convolution, as options."""
    nodes = json.loads(symbol.tojson())["nodes"]
    first = next((i for i, node in enumerate(nodes) if node["op"] == "Convolution"), 0)
    scalars: dict[str, list] = {"_minus_scalar": [], "_mul_scalar": [], "slice_axis": []}
    for node in nodes[:first]:
        kind = "_mul_scalar" if node["op"] == "_div_scalar" else node["op"]
        if kind == "slice_axis":
            scalars[kind].append(attribute(node, "begin", 0))
        elif kind in scalars:
            scalars[kind] += _attributes(node)
    mean, scale, order = scalars.values()
    epsilon = next((attribute(node, "eps", 1e-3) for node in nodes if node["op"] == "BatchNorm"), BN_EPSILON)
    return {"input_mean": _one_or_three(mean, 0.0), "input_scale": _one_or_three(scale, 1.0), "bgr": order == [2, 1, 0],
            "epsilon": epsilon}  # fmt: skip


def _one_or_three(values, none):
    return values if len(values) == 3 else values[0] if values else none


def input_size_of(places: int) -> int | tuple[int, int]:
    """The option `input_size` of a network whose last map has so many places."""
    return _input_size(*_squarest(places))


def _squarest(places):
    """Height and width of a map of so many places, as near to a square as it goes; a face is higher than wide."""
    width = next((side for side in range(math.isqrt(places), 0, -1) if places % side == 0), 1)
    return places // width, width


def _input_size(height, width):
    """The option of that name, of images that leave a map of height x width places."""
    return 16 * height if height == width else (16 * height, 16 * width)


def _mobilefacenet_spec(shapes, constants):
    counts = []
    for stage in (2, 3, 4, 5):
        numbers = [int(m.group(1)) for m in (re.match(rf"res_{stage}_block(\d+)_", name) for name in shapes) if m]
        counts.append(max(numbers, default=0) + 1)
    pixels = {key: constants[key] for key in PIXELS}
    options = {"blocks": counts, "input_size": _input_size(*shapes["conv_6dw7_7_conv2d_weight"][2:]), **pixels}
    return {"name": "mobilefacenet", "embedding_size": shapes["pre_fc1_bias"][0], "options": options}


def units_of(names: Iterable[str]) -> list[int]:
    """Units of each stage that flat or structural parameter names speak of, e.g. [2, 2, 2, 2]."""
    deepest = {}
    for name in names:
        match = re.match(r"stage(\d+)[._]unit(\d+)[._]", name)
        if match:
            stage, unit = map(int, match.groups())
            deepest[stage] = max(unit, deepest.get(stage, 0))
    return [deepest[stage] for stage in sorted(deepest)]


def _signature(symbol):
    """Digest of what a graph computes: operators, the attributes that matter, parameters by name; not node names."""
    graph = json.loads(symbol.tojson())
    digests = []
    for node in graph["nodes"]:
        inputs = [(digests[source], output) for source, output, *_ in node["inputs"]]
        if node["op"] in TRANSPARENT:
            digests.append(inputs[0][0])
            continue
        name = node["name"] if node["op"] == "null" else ""
        operator = "_mul_scalar" if node["op"] == "_div_scalar" else node["op"]
        content = repr((operator, name, _attributes(node), inputs))
        digests.append(hashlib.sha256(content.encode()).hexdigest())
    return digests[graph["heads"][0][0]]


def _attributes(node):
    given = {key: _value(text) for key, text in node.get("attrs", {}).items() if not key.startswith("__")}
    known = _ATTRIBUTES.get(node["op"])
    if node["op"] == "null":
        return []
    if node["op"] == "_div_scalar":  # as the multiplication that it is
        return [1 / given["scalar"]]
    if known is None:
        return sorted(given.items())
    # An empty tuple is how MXNet writes the default.
    return [default if given.get(key, ()) == () else given[key] for key, default in known.items()]


def attribute(node: dict, name: str, default: Any) -> Any:
    """An attribute of a symbol's node as a Python value."""
    text = (node.get("attrs") or {}).get(name)
    return default if text is None else _value(text)


def _value(text):
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return tuple(value) if isinstance(value, list) else value

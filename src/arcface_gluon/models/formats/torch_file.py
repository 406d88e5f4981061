"""PyTorch files of insightface's arcface_torch: the `backbone.pth` of an iresnet, read and written.

Their iresnet is this project's IResNet with head E under other names, with another epsilon and another scale of the
input: read networks keep both, as options; written ones have them worked into the weights.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path

import mxnet as mx
import numpy as np

from ...errors import UserError
from ...files import atomic_write
from ...runtime import import_optional
from ..backbone import Backbone
from ..iresnet import CHANNELS, UNITS
from ..normalisation import PIXEL_MEAN, numbers
from ..parameters import load_parameters, parameter_values
from ..reference import input_size_of
from ..registry import model_options, network_of

EPSILON = 1e-5
INPUT_SCALE = 1 / 127.5
_R200 = (6, 26, 60, 6)  # their iresnet200, other than the paper's code's

# Their name of a layer outside the units → ours.
_LAYERS = {
    "conv1": "conv0", "bn1": "bn0", "prelu": "relu0", "bn2": "bn1", "fc": "pre_fc1", "features": "fc1",
}  # fmt: skip
# Their name of a layer of unit U of stage S, after `layerS.U.` → ours, after `stageS.unit(U+1).`
_UNIT_LAYERS = {
    "bn1": "bn1", "conv1": "conv1", "bn2": "bn2", "prelu": "relu1", "conv2": "conv2", "bn3": "bn3",
    "downsample.0": "conv1sc", "downsample.1": "sc",
}  # fmt: skip
_NORMS = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
_COUNTER = "num_batches_tracked"
# Of training checkpoints: the entry that has the weights, and what stands before each name.
_WRAPPERS = ("state_dict_backbone", "state_dict", "model_state_dict", "net_state_dict", "backbone", "model", "net")
_PREFIXES = re.compile(r"^(_orig_mod\.|module\.|backbone\.|model\.)+")


def our_name(name: str) -> str | None:
    """Structural name here of a parameter there: layer1.0.prelu.weight → stage1.unit1.relu1.alpha; None if unknown."""
    unit = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)\.(\w+)", name)
    if unit:
        stage, number, layer, kind = unit.groups()
        prefix, layer = f"stage{stage}.unit{int(number) + 1}.", _UNIT_LAYERS.get(layer)
    else:
        prefix, (layer, _, kind) = "", name.rpartition(".")
        layer = _LAYERS.get(layer)
    if layer is None:
        return None
    if layer.startswith("relu"):
        return f"{prefix}{layer}.alpha" if kind == "weight" else None
    if layer.startswith("conv") or layer == "pre_fc1":
        return f"{prefix}{layer}.{kind}" if kind in ("weight", "bias") else None
    return f"{prefix}{layer}.{_NORMS[kind]}" if kind in _NORMS else None


def their_name(name: str) -> str:
    """The inverse of `our_name`."""
    *path, layer, kind = name.split(".")
    if path:
        stage, unit = path[0][len("stage") :], int(path[1][len("unit") :]) - 1
        layer = f"layer{stage}.{unit}." + {ours: theirs for theirs, ours in _UNIT_LAYERS.items()}[layer]
    else:
        layer = {ours: theirs for theirs, ours in _LAYERS.items()}[layer]
    kinds = {"alpha": "weight", **{ours: theirs for theirs, ours in _NORMS.items()}}
    return f"{layer}.{kinds.get(kind, kind)}"


def read_torch(path: Path, contexts: list[mx.Context]) -> Backbone:
    """The network of a backbone.pth, iresnet18 to 200, on devices. Nothing in the file is executed.

    Raises:
        UserError: torch is not installed; the file cannot be read, is damaged, holds more than weights, or another
            network.
    """
    state = _state(path)
    values = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    unknown = [name for name in values if our_name(name) is None]
    if unknown or "fc.weight" not in values:
        raise UserError(f"{path} holds {_kind(unknown or values)}; of arcface_torch, iresnet18 to iresnet200 are read")
    gamma = values.get("features.weight")
    if gamma is not None and not np.all(gamma == 1):
        raise UserError(
            f"{path} scales its embedding by features.weight, which arcface_torch holds at 1 and this network cannot; "
            "divide the running variances of features by its square"
        )
    values = {str(our_name(name)): value for name, value in values.items()}
    net = network_of(_spec(path, values), path)
    load_parameters(net, values, path, contexts)
    return net


def _state(path):
    """{name: float32 array} of a file's state dict."""
    torch = import_optional("torch")
    try:
        _check_whole(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript, which is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # zip, pickle and tensor errors of many kinds
        if "weights_only" in str(error):
            reason = "it holds Python objects, which are not run; save net.state_dict() alone"
        else:
            reason = "it is damaged or no PyTorch file; copy or download it again"
        raise UserError(f"{path} cannot be read: {reason}") from None
    for key in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(_is_plain(torch, value) for value in state.values()):
        raise UserError(f"{path} is not a state dict of plain tensors; save net.state_dict() alone")
    return {_PREFIXES.sub("", str(name)): value.detach().float().numpy() for name, value in state.items()}


def _check_whole(path):
    """Refuse what is no file of torch.save, or has other bytes than were saved, which torch.load does not look for.

    Raises:
        ValueError, BadZipFile, OSError: it is so, or cannot be read.
    """
    with open(path, "rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):  # a zip archive, or before PyTorch 1.6 a pickle
            raise ValueError("no file of torch.save")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("a checksum differs")


def _is_plain(torch, value):
    """Whether a value is a tensor whose numbers are all in the file: not sparse, quantised, or one number repeated."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized or value.is_complex():
        return False
    return value.device.type == "cpu" and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _kind(names):
    if any(name.startswith(("conv_sep.", "layers.0.layers.")) for name in names):
        return "arcface_torch's MobileFaceNet, whose first layers are wider than the paper's code's"
    if any(name.startswith(("patch_embed.", "blocks.")) for name in names):
        return "a vision transformer"
    return f"another network (it has {next(iter(names))})"


def _spec(path, values):
    stage: dict[int, int] = {}
    for name in values:
        match = re.match(r"stage(\d+)\.unit(\d+)\.", name)
        if match:
            stage[int(match.group(1))] = max(int(match.group(2)), stage.get(int(match.group(1)), 0))
    depths = tuple(stage[number] for number in sorted(stage))
    fc, last = values["pre_fc1.weight"], values.get("bn1.gamma")
    if sorted(stage) != [1, 2, 3, 4] or fc.ndim != 2 or last is None or last.ndim != 1:
        raise UserError(f"{path} holds {_kind(values)}; of arcface_torch, iresnet18 to iresnet200 are read")
    names = {tuple(known): f"r{depth}" for depth, known in UNITS.items()}
    options = {
        "units": depths,
        "width": len(last) / CHANNELS[-1],
        "dropout": 0.0,
        "input_size": input_size_of(fc.shape[1] // max(1, len(last))),
        "epsilon": EPSILON,
        "input_scale": INPUT_SCALE,
    }
    name = "r200" if depths == _R200 else names.get(depths, "r50")
    return {"name": name, "embedding_size": len(fc), "options": options}


def write_torch(net: Backbone, path: Path) -> None:
    """Write a network as the backbone.pth that arcface_torch's iresnet loads, float32.

    What differs goes into the weights: the epsilon into the running variances, the scale of the input and the order of
    its channels into the first convolution. Networks read from such files, which differ in nothing, are written bit for
    bit.

    Raises:
        UserError: torch is not installed, or arcface_torch has no such network.
    """
    torch = import_optional("torch")
    options = net.spec["options"]
    wanted = {"output": "E", "se": False, "stem_stride": 1}
    other = [key for key, value in wanted.items() if options.get(key) != value]
    if other or "epsilon" not in model_options(net.spec["name"]):
        what = f"with {other[0]}={options.get(other[0])!r}" if net.spec["name"] != "mobilefacenet" else "as here"
        raise UserError(f"arcface_torch has no {net.spec['name']} {what}; export it to onnx instead")
    if numbers(options["input_mean"]) != (PIXEL_MEAN,):
        raise UserError(
            f"arcface_torch takes (x - 127.5) / 127.5, and this network input_mean={options['input_mean']}, which no "
            "weight makes up for beside zero padding; export it to onnx instead"
        )
    values = parameter_values(net)
    values["fc1.gamma"] = np.ones_like(values["fc1.gamma"])
    if options["epsilon"] != EPSILON:
        for name in values:
            if name.endswith("running_var"):
                variance = values[name].astype(np.float64) + (options["epsilon"] - EPSILON)
                values[name] = variance.astype(np.float32)
    scale = numbers(options["input_scale"])
    if scale != (INPUT_SCALE,):
        weight = values["conv0.weight"].astype(np.float64) * (np.reshape(scale, (-1, 1, 1)) / INPUT_SCALE)
        values["conv0.weight"] = weight.astype(np.float32)
    if options["bgr"]:
        values["conv0.weight"] = values["conv0.weight"][:, ::-1]
    state = {}
    for name, value in values.items():
        state[their_name(name)] = torch.from_numpy(np.ascontiguousarray(value))
        if name.endswith("running_var"):
            state[f"{their_name(name).rpartition('.')[0]}.{_COUNTER}"] = torch.tensor(0)
    whole = io.BytesIO()  # torch.save fails in its own way where the disk is full
    torch.save(state, whole)
    with atomic_write(path) as file:
        file.write(whole.getbuffer())

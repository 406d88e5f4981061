"""Models in files: run folders, checkpoints, and exports in the reference's form."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Any, Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, SymbolBlock

from .. import runtime
from ..errors import UserError
from ..files import atomic_write, read_json, sha256
from ..run_layout import CHECKPOINTS, NETWORK, PARAMETERS, STATE, checkpoint_folders
from .backbone import Backbone
from .foreign import refuse_foreign
from .params_file import read_params, write_params
from .reference import export_symbol, recognise, reference_name, units_of
from .registry import get_model
from .symbol_file import read_symbol

OTHER_FORMATS = (".npz", ".pth", ".pt", ".tflite")  # files of other tools, see `_reader`
OUTPUT_NODE = "fc1_output"  # the embedding in the reference's symbols


def load_model(path: str | os.PathLike[str], contexts: runtime.Devices = None) -> HybridBlock:
    """A network with its parameters, hybridised, ready for (B, 3, H, W) RGB 0..255 -> (B, embedding_size) float32.

    Args:
        path: a run folder (its last checkpoint: the best would be chosen on the verification sets), a checkpoint
            folder, or an exported model: the prefix, either of its files `prefix-symbol.json` and
            `prefix-0000.params`, or the folder of a single one. With several epochs the last is taken unless the
            .params file is named. Or a file that `formats` reads: an .npz of `export`, a .pth of
            arcface_torch's iresnet, a MobileFaceNet as .tflite. What other tools' files are is told (`foreign`).
        contexts: devices, as `runtime.contexts` takes them; None for every GPU there is, else the CPU.

    Published LResNetE-IR checkpoints become IResNet. A network not known here runs as its symbol stands, up to
    the output `fc1_output` where it has one; such a block has `spec` None.

    Raises:
        UserError: nothing to load at `path`, a file is missing or damaged, or it does not fit the network.
    """
    path, devices = Path(path), runtime.contexts(contexts)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    if checkpoint is not None:
        net = _load_checkpoint(checkpoint, devices)
    elif path.suffix in OTHER_FORMATS:
        net = _reader(path)(path, devices)
    else:
        net = _load_exported(*_exported_files(path), devices)
    net.hybridize()
    return net


def _reader(path):
    """What reads a file of another tool: (path, devices) -> network. Imported here, for some need optional packages."""
    from .formats import npz_file, tflite_file, torch_file

    torch = torch_file.read_torch
    return {".npz": npz_file.read_npz, ".pth": torch, ".pt": torch, ".tflite": tflite_file.read_tflite}[path.suffix]


def weights_file(path: str | Path) -> Path:
    """The file that holds the parameters of a model which `load_model` takes."""
    path = Path(path)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    if checkpoint is not None:
        return checkpoint / PARAMETERS
    return path if path.suffix in OTHER_FORMATS else _exported_files(path)[1]


def export_model(net: Backbone, prefix: str | os.PathLike[str]) -> None:
    """Write `prefix-symbol.json` and `prefix-0000.params` as the reference does, for its tools and for `load_model`.

    Float32 whatever the network's precision; parameters are the mean over its devices.

    Raises:
        UserError: `net` was not built by `get_model`, or the files cannot be written.
    """
    if not isinstance(net, Backbone):
        raise UserError("only networks built by get_model can be exported; this one already is an exported symbol")
    symbol = export_symbol(net)
    auxiliary = set(symbol.list_auxiliary_states())
    arrays = {}
    for name, value in parameter_values(net).items():
        name = reference_name(name)
        arrays[("aux:" if name in auxiliary else "arg:") + name] = value
    write_params(f"{prefix}-0000.params", arrays)
    with atomic_write(f"{prefix}-symbol.json", "w") as file:
        file.write(symbol.tojson())


def parameter_values(net: mx.gluon.Block) -> dict[str, np.ndarray]:
    """Structural name -> float32 array, the mean over the devices (whose BatchNorm statistics differ)."""
    values = {}
    for name, parameter in net._collect_params_with_prefix().items():
        copies = [copy.asnumpy() for copy in parameter.list_data()]
        # Summed in float64, so that the mean of equal copies is that copy to the last bit.
        mean = copies[0] if len(copies) == 1 else np.mean(copies, axis=0, dtype=np.float64)
        values[name] = mean.astype(np.float32, copy=False)
    return values


def load_parameters(
    net: mx.gluon.Block,
    values: Mapping[str, np.ndarray],
    source: str | os.PathLike[str],
    contexts: list[mx.Context] | None = None,
) -> None:
    """Set all parameters of a network.

    Args:
        net: a network, initialised unless `contexts` is given.
        values: structural name -> array.
        source: the file they come from, for messages.
        contexts: list of mx.Context to put an uninitialised network on.

    Raises:
        UserError: a parameter is missing, left over, or of another shape: the first is named with the likely reason.
    """
    _check(net, values, source, str)
    _assign(net, values, contexts)


def _check(net, values, source, naming):
    wanted = {naming(name): p.shape for name, p in net._collect_params_with_prefix().items()}
    problem = _mismatch(wanted, {name: value.shape for name, value in values.items()})
    if problem:
        raise UserError(f"{source} does not fit the network: {problem}")


def _assign(net, values, contexts):
    if contexts is not None:
        net.initialize(mx.init.Zero(), ctx=contexts)
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(values[name], dtype=values[name].dtype))


def _mismatch(wanted, found):
    """Why parameters of the shapes `found` cannot fill those of `wanted`; None if they can. Both: name -> shape."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        first = f"it lacks {missing[0]}" if missing else f"it has {unexpected[0]}, which the network lacks"
        more = len(missing) + len(unexpected) - 1
        return first + (f" and {more} more differ" if more else "") + _reason_names(wanted, found)
    for name, shape in wanted.items():
        if shape != found[name]:
            return f"{name} is {_sides(found[name])} in it, {_sides(shape)} in the network" + _reason_shape(name)
    return None


def _reason_names(wanted, found):
    wanted, found = set(wanted), set(found)
    deep, have = units_of(wanted), units_of(found)
    if not wanted & found:
        return "; it holds another kind of network"
    if deep != have:
        return f"; its stages have {have} units, the network's {deep}: choose the network of that depth"
    if any(re.search("[._]se[._]", name) for name in wanted ^ found):
        return "; one of the two has squeeze-and-excitation: set the option se"
    return "; the options of the network (output, se) must be those it was trained with"


def _reason_shape(name):
    if name.startswith(("pre_fc1", "fc1")):
        return "; the embedding size or the input size differs"
    return "; the width differs"


def _sides(shape):
    return "x".join(map(str, shape))


def checkpoint_of(folder: Path) -> Path | None:
    """The checkpoint folder that a folder stands for: itself, or the last of a run; None for other folders."""
    if (folder / NETWORK).exists() or (folder / PARAMETERS).exists():
        return folder
    if not (folder / CHECKPOINTS).is_dir():
        return None
    found = checkpoint_folders(folder)
    if not found:
        place = folder / CHECKPOINTS
        raise UserError(f"{folder} has no checkpoint yet: {place} is empty; train on, or name another one")
    return found[-1]


def _load_checkpoint(folder, devices):
    for name in (NETWORK, PARAMETERS):
        if not (folder / name).exists():
            raise UserError(f"{folder} is not a whole checkpoint: {name} is missing; choose another one")
    _verify_checksums(folder)
    net = network_of(read_json(folder / NETWORK), folder / NETWORK)
    load_parameters(net, read_params(folder / PARAMETERS), folder / PARAMETERS, devices)
    return net


def network_of(spec: dict, source: str | Path) -> Backbone:
    """The network, not initialised, that a file describes by the arguments of `get_model`.

    Raises:
        UserError: there is no such network; `source` names the file.
    """
    if not isinstance(spec, dict) or "name" not in spec:
        raise UserError(f"{source} does not describe a network; choose another one")
    try:
        return get_model(**spec)
    except (TypeError, UserError) as error:
        raise UserError(f"{source} does not describe a network that is known here ({error})") from error


def _verify_checksums(folder):
    """Compare the two files with the checksums in state.json, where the trainer has written one."""
    if not (folder / STATE).exists():
        return
    state = read_json(folder / STATE)
    checksums = state.get("sha256") if isinstance(state, dict) else None
    for name in (NETWORK, PARAMETERS):
        if isinstance(checksums, dict) and checksums.get(name) != sha256(folder / name):
            raise UserError(f"{folder / name} is damaged: its checksum is not that in {STATE}; choose another one")


def _exported_files(path):
    """(symbol file, params file) of an exported model; a UserError names what is missing."""
    refuse_foreign(path)
    if path.is_dir():
        symbols = sorted(path.glob("*-symbol.json"))
        if len(symbols) != 1:
            raise UserError(
                f"{path} is neither a run, a checkpoint nor an exported model: it has no checkpoints/, "
                f"no {NETWORK} and {len(symbols)} files *-symbol.json; name one of those"
            )
        path = symbols[0]
    match = re.fullmatch(r"(.+)-(symbol\.json|\d{4}\.params)", str(path))
    prefix = match.group(1) if match else str(path)
    symbol = Path(f"{prefix}-symbol.json")
    epochs = sorted(symbol.parent.glob(f"{glob.escape(Path(prefix).name)}-[0-9][0-9][0-9][0-9].params"))
    params = path if path.suffix == ".params" else epochs[-1] if epochs else Path(f"{prefix}-0000.params")
    missing = [str(file) for file in (symbol, params) if not file.is_file()]
    if missing:
        raise UserError(f"no model at {path}: {' and '.join(missing)} missing; give a run, a checkpoint or both files")
    return symbol, params


def _load_exported(symbol_file, params_file, devices):
    symbol, cut_off = _read_symbol(symbol_file)
    values = {re.sub(r"^(arg|aux):", "", name): value for name, value in read_params(params_file).items()}
    values = {name: value for name, value in values.items() if name not in cut_off}
    net = recognise(symbol, {name: value.shape for name, value in values.items()})
    if net is None:
        return SymbolNetwork(symbol, values, params_file, devices)
    _check(net, values, params_file, reference_name)
    values = {name: values[reference_name(name)] for name in net._collect_params_with_prefix()}
    if "fc1.gamma" in values:
        values["fc1.gamma"] = np.ones_like(values["fc1.gamma"])  # fixed in the reference, whatever its file holds
    _assign(net, values, devices)
    return net


def _read_symbol(path):
    """(symbol up to the embedding, names of parameters only needed after it)."""
    whole = read_symbol(path)
    outputs = whole.get_internals().list_outputs()
    if OUTPUT_NODE not in outputs:
        if len(whole.list_outputs()) != 1:
            raise UserError(f"{path}: the network has no output {OUTPUT_NODE} and several others; keep only one")
        return whole, set()
    symbol = whole.get_internals()[OUTPUT_NODE]
    return symbol, set(whole.list_inputs()) - set(symbol.list_inputs())


class SymbolNetwork(HybridBlock):
    """An exported network that is none of ours, run as its symbol stands. uint8 or floating images, float32 out.

    Raises:
        UserError: parameters that the symbol needs are missing or left over; when called, images or parameters have
            shapes that it cannot process.
    """

    spec = None

    def __init__(
        self,
        symbol: mx.sym.Symbol,
        values: Mapping[str, np.ndarray],
        source: str | os.PathLike[str],
        contexts: list[mx.Context],
    ):
        super().__init__(prefix="")
        self._source = source
        self.body = SymbolBlock(symbol, [mx.sym.var("data", dtype="float32")])
        parameters = self.body.collect_params()
        problem = _mismatch(dict.fromkeys(parameters), dict.fromkeys(values))
        if problem:
            raise UserError(f"{source} does not fit its symbol: {problem}")
        parameters.load_dict({name: mx.nd.array(value, dtype="float32") for name, value in values.items()}, contexts)

    def forward(self, x: Any, *args: Any) -> Any:
        try:
            return super().forward(x, *args)
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"{self._source} cannot process images {_sides(x.shape)}: {reason}") from error

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.body(F.cast(x, dtype="float32"))

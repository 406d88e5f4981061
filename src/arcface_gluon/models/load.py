"""Models in files: run folders, checkpoints, and exports in the reference's form."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from mxnet.gluon import HybridBlock

from .. import runtime
from ..errors import UserError
from ..files import atomic_write, read_json, sha256
from ..run_layout import CHECKPOINTS, NETWORK, PARAMETERS, STATE, checkpoint_folders
from .backbone import Backbone
from .exported import SymbolNetwork, load_exported
from .foreign import refuse_foreign
from .formats import npz_file, tflite_file, torch_file
from .graph import symbol_and_values
from .normalisation import Normalisation
from .parameters import load_parameters
from .params_file import read_params, write_params
from .registry import network_of

OTHER_FORMATS = (".npz", ".pth", ".pt", ".tflite")  # files of other tools, see `_reader`


def load_model(
    path: str | os.PathLike[str], contexts: runtime.Devices = None, normalisation: Normalisation | None = None
) -> HybridBlock:
    """A network with its parameters, hybridised, ready for (B, 3, H, W) RGB 0..255 -> (B, embedding_size) float32.

    Args:
        path: a run folder (its last checkpoint: the best would be chosen on the verification sets), a checkpoint
            folder, or an exported model: the prefix, either of its files `prefix-symbol.json` and
            `prefix-0000.params`, or the folder of a single one. With several epochs the last is taken unless the
            .params file is named. Or a file that `formats` reads: an .npz of `export`, a .pth of
            arcface_torch's iresnet, a MobileFaceNet as .tflite. What other tools' files are is told (`foreign`).
        contexts: devices, as `runtime.contexts` takes them; None for every GPU there is, else the CPU.
        normalisation: what the input of a symbol that does not normalise by itself needs.

    Published LResNetE-IR checkpoints become IResNet. A network not known here runs as its symbol stands, up to
    the output `fc1_output` where it has one; such a block has `spec` None. What else was done to a symbol is told in
    the list `notes` of the network, a line each.

    Raises:
        UserError: nothing to load at `path`, a file is missing or damaged, it does not fit the network, or it
            normalises by itself where `normalisation` is given.
    """
    path, devices = Path(path), runtime.contexts(contexts)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    if normalisation and (checkpoint is not None or path.suffix in OTHER_FORMATS):
        raise UserError(f"{path} takes RGB 0 to 255 and normalises by itself; leave out --mean, --std and --bgr")
    if checkpoint is not None:
        net = _load_checkpoint(checkpoint, devices)
    elif path.suffix in OTHER_FORMATS:
        net = _reader(path)(path, devices)
    else:
        net = load_exported(*_exported_files(path), devices, normalisation)
    net.hybridize()
    return net


def _reader(path):
    """What reads a file of another tool: (path, devices) -> network."""
    torch = torch_file.read_torch
    return {".npz": npz_file.read_npz, ".pth": torch, ".pt": torch, ".tflite": tflite_file.read_tflite}[path.suffix]


def weights_file(path: str | Path) -> Path:
    """The file that holds the parameters of a model which `load_model` takes."""
    path = Path(path)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    if checkpoint is not None:
        return checkpoint / PARAMETERS
    return path if path.suffix in OTHER_FORMATS else _exported_files(path)[1]


def export_model(net: Backbone | SymbolNetwork, prefix: str | os.PathLike[str]) -> None:
    """Write `prefix-symbol.json` and `prefix-0000.params` as the reference does, for its tools and for `load_model`.

    Float32 whatever the network's precision; parameters are the mean over its devices. A symbol that is run as it
    stands is written with what was asked for before it, such as a normalisation.

    Raises:
        UserError: `net` is neither of `get_model` nor of `load_model`, or the files cannot be written.
    """
    symbol, values = symbol_and_values(net)
    auxiliary = set(symbol.list_auxiliary_states())
    arrays = {("aux:" if name in auxiliary else "arg:") + name: value for name, value in values.items()}
    write_params(f"{prefix}-0000.params", arrays)
    with atomic_write(f"{prefix}-symbol.json", "w") as file:
        file.write(symbol.tojson())


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


def _verify_checksums(folder):
    """Compare the two files with the checksums in state.json, where the trainer has written one."""
    if not (folder / STATE).exists():
        return
    state = read_json(folder / STATE)
    checksums = state.get("sha256") if isinstance(state, dict) else None
    for name in (NETWORK, PARAMETERS):
        if isinstance(checksums, dict) and checksums.get(name) != sha256(folder / name):
            raise UserError(f"{folder / name} is damaged: its checksum is not that in {STATE}; choose another one")


def _exported_files(path: Path) -> tuple[Path, Path]:
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
    if missing and path.is_file() and not match:
        raise UserError(
            f"{path} is no model by its name, which must end in -symbol.json, .params, {', '.join(OTHER_FORMATS)} (in "
            "small letters); rename it"
        )
    if missing:
        raise UserError(f"no model at {path}: {' and '.join(missing)} missing; give a run, a checkpoint or both files")
    return symbol, params

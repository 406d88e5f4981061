"""NumPy archives: a network's parameters by structural name, and under `network` how to build it, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import mxnet as mx
import numpy as np

from ... import files
from ...arrays import load_npz
from ...errors import UserError
from ..backbone import Backbone
from ..parameters import load_parameters, parameter_values
from ..registry import network_of

SPEC_KEY = "network"
_CURE, _WHAT = "export it again", "a network that `export --to npz` wrote, whole"


def write_npz(net: Backbone, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a network and {name: text} about it; `numpy.load(path)` reads it without this package."""
    texts = {SPEC_KEY: json.dumps(net.spec), **(metadata or {})}
    files.write_npz(path, **{name: np.array(text) for name, text in texts.items()}, **parameter_values(net))


def read_npz(path: Path, contexts: list[mx.Context]) -> Backbone:
    """The network of a file that `write_npz` wrote, on devices.

    Raises:
        UserError: the file cannot be read, is damaged or something else, or does not fit its network.
    """
    entry = load_npz(path, [SPEC_KEY], _CURE, _WHAT)[SPEC_KEY]
    try:
        spec = json.loads(str(entry))
    except ValueError:
        raise UserError(f"{path} does not say which network it holds; {_CURE}") from None
    net = network_of(spec, path)
    values = load_npz(path, net._collect_params_with_prefix(), _CURE, _WHAT)
    other = next((name for name, value in values.items() if value.dtype.kind != "f"), None)
    if other:
        raise UserError(f"{path}: {other} is of {values[other].dtype}, not of real numbers; {_CURE}")
    load_parameters(net, {name: value.astype(np.float32) for name, value in values.items()}, path, contexts)
    return net

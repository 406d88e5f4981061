"""NumPy archives: a network's parameters by structural name, and under `network` how to build it, as JSON."""

from __future__ import annotations

import json
import zipfile

import numpy as np

from ... import files
from ...errors import UserError
from ..load import load_parameters, parameter_values
from ..registry import get_model

SPEC_KEY = "network"


def write_npz(net, path, metadata=None):
    """Write a network and {name: text} about it; `numpy.load(path)` reads it without this package."""
    texts = {SPEC_KEY: json.dumps(net.spec), **(metadata or {})}
    files.write_npz(path, **{name: np.array(text) for name, text in texts.items()}, **parameter_values(net))


def read_npz(path, contexts):
    """The network of a file that `write_npz` wrote, on devices.

    Raises:
        UserError: the file cannot be read, is damaged or something else, or does not fit its network.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if SPEC_KEY not in archive:
                raise UserError(f"{path} does not say which network it holds: no entry {SPEC_KEY!r}; export it again")
            spec = json.loads(str(archive[SPEC_KEY]))
            values = {name: archive[name] for name in archive.files if archive[name].dtype.kind == "f"}
        net = get_model(**spec)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged or not an exported network ({error}); export it again") from error
    load_parameters(net, values, path, contexts)
    return net

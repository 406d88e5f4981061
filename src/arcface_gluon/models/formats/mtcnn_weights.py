"""MTCNN's weights as the PyPI package mtcnn 1.0.0 carries them: LZ4 frames around a joblib pickle, read as data.

Nothing is unpickled and the package is not imported: `pickletools.genops` only splits the pickle into operations, and
those that joblib writes for a list of arrays are followed here. The package's code is under the MIT licence; its author
allows the weights for non-commercial use only (github.com/ipazc/mtcnn, issue 53).
"""

from __future__ import annotations

import importlib.util
import io
import math
import os
import pickletools
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from ...errors import UserError
from ...runtime import import_optional
from ..mtcnn import ONet, PNet, RNet

LICENCE = "MTCNN's weights (package mtcnn) are for non-commercial use only"
FILES = {"pnet.lz4": PNet, "rnet.lz4": RNet, "onet.lz4": ONet}
_MAX_BYTES = 1 << 24  # of a file, unpacked; the largest has 1.6 MB
_MARK = object()


def package_folder() -> Path:
    """Where the installed package mtcnn keeps its weights; it is looked for, not imported.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "MTCNN's weights are in the package mtcnn, which is not installed; run: pip install mtcnn==1.0.0"
            " (Python 3.10 or later), or give a folder that has pnet.lz4, rnet.lz4 and onet.lz4"
        )
    return Path(spec.submodule_search_locations[0]) / "assets" / "weights"


def read_mtcnn(folder: str | os.PathLike[str], context: mx.Context) -> tuple[PNet, RNet, ONet]:
    """The three networks with the weights of a folder, on a device.

    Raises:
        UserError: a file is missing, damaged or something else.
    """
    networks: list[Any] = []
    for name, kind in FILES.items():
        path = Path(folder) / name
        arrays, net = read_arrays(path), kind()
        net.initialize(ctx=context)
        parameters = [p for layer in net.layers() for p in layer.params.values()]
        if len(arrays) != len(parameters):
            raise UserError(f"{path} has {len(arrays)} arrays, but {kind.__name__} has {len(parameters)} parameters")
        for array, parameter in zip(arrays, parameters):
            value = _as_here(array, parameter.shape)
            if value is None:
                raise UserError(f"{path}: an array of shape {array.shape} does not fit {kind.__name__}")
            parameter.set_data(value)
        net.hybridize()
        networks.append(net)
    proposals, refinement, output = networks
    return proposals, refinement, output


def _as_here(array, shape):
    """An array of Keras in MXNet's order, or None where it does not fit."""
    if array.size != math.prod(shape):
        return None
    if array.ndim == 4:  # kernels are (height, width, in, out)
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2 and array.shape[0] % 9 == 0:
        # The first fully connected layer takes (width, height, channels), here (channels, height, width).
        array = array.reshape(3, 3, -1, array.shape[1]).transpose(3, 2, 1, 0).reshape(array.shape[::-1])
    elif array.ndim == 2:
        array = array.T
    else:
        array = array.reshape(-1)
    return array if array.shape == tuple(shape) else None


def read_arrays(path: Path) -> list[np.ndarray]:
    """The float32 arrays of an LZ4 frame around a joblib pickle of a list, in their order.

    Raises:
        UserError: the file is missing, damaged, or holds something else than a list of float32 arrays.
    """
    frame = import_optional("lz4.frame")
    try:
        data = frame.LZ4FrameDecompressor().decompress(Path(path).read_bytes(), max_length=_MAX_BYTES)
        return _arrays(io.BytesIO(data))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; it is a part of the package mtcnn 1.0.0") from None
    except (RuntimeError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a file of weights of mtcnn 1.0.0, or is damaged ({error})") from None


def _arrays(file):
    """Follow the pickle; after each array wrapper's BUILD its bytes lie in the stream, then the pickle goes on."""
    stack, memo, found, going = [], [], [], True
    while going:
        going = False
        for operation, argument, _ in pickletools.genops(file):
            _step(operation.name, argument, stack, memo)
            state = stack[-1] if stack else None
            if operation.name == "BUILD" and isinstance(state, dict) and "allow_mmap" in state:
                found.append(_array(file, state))
                going = True  # a new generator: the first has read no further than the operation
                break
    return found


def _array(file, state):
    shape = state["shape"]
    if state["dtype"] != ["f4", "<"] or state["order"] != "C" or not all(isinstance(n, int) for n in shape):
        raise ValueError("an array that is not float32")
    file.read(file.read(1)[0])  # so many bytes align the array
    data = file.read(4 * math.prod(shape))
    return np.frombuffer(data, "<f4").reshape(shape)


def _step(name, argument, stack, memo):
    """One operation of a pickle on plain values: objects are the dictionaries of their states, types their names."""
    if name in ("PROTO", "FRAME", "STOP"):
        pass
    elif name == "MEMOIZE":
        memo.append(stack[-1])
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
        stack.append({"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}[name]())
    elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
        stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
    elif name in ("SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2"):
        stack.append(argument)
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_pop(stack, int(name[-1]))))
    elif name in ("TUPLE", "APPENDS", "SETITEMS"):
        values = _after_mark(stack)
        if name == "TUPLE":
            stack.append(tuple(values))
        elif name == "SETITEMS":
            stack[-1].update(zip(values[::2], values[1::2]))
    elif name in ("STACK_GLOBAL", "NEWOBJ", "REDUCE"):
        head, values = _pop(stack, 2)
        stack.append(values if name == "STACK_GLOBAL" else head if name == "NEWOBJ" else [values[0]])
    elif name == "BUILD":
        # A wrapper's state is a dictionary; a dtype's is (3, "<", …), of which the byte order is kept in the list that
        # REDUCE made, since later arrays name the same one.
        made, state = _pop(stack, 2)
        if not isinstance(state, dict):
            made.append(state[1])
        stack.append(state if isinstance(state, dict) else made)
    else:
        raise ValueError(f"operation {name}")


def _pop(stack, count):
    values = stack[-count:]
    del stack[-count:]
    return values


def _after_mark(stack):
    place = len(stack) - 1 - next(i for i, value in enumerate(reversed(stack)) if value is _MARK)
    values = stack[place + 1 :]
    del stack[place:]
    return values

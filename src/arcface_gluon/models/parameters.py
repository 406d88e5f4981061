"""Parameters of networks, in and out: all of them, of the right shapes, or a line that says which is not."""

from __future__ import annotations

import re
from typing import Any, Callable, Mapping

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError
from .reference import units_of


def parameter_values(net: HybridBlock) -> dict[str, np.ndarray]:
    """Structural name -> float32 array, the mean over the devices (whose BatchNorm statistics differ)."""
    values = {}
    for name, parameter in net._collect_params_with_prefix().items():
        copies = [copy.asnumpy() for copy in parameter.list_data()]
        # Summed in float64, so that the mean of equal copies is that copy to the last bit.
        mean = copies[0] if len(copies) == 1 else np.mean(copies, axis=0, dtype=np.float64)
        values[name] = mean.astype(np.float32, copy=False)
    return values


def load_parameters(
    net: HybridBlock, values: Mapping[str, np.ndarray], source: object, contexts: list[mx.Context] | None = None
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
    check_names(net, values, source, str)
    assign(net, values, contexts)


def check_names(
    net: HybridBlock, values: Mapping[str, np.ndarray], source: object, naming: Callable[[str], str]
) -> None:
    """Refuse parameters that do not fill a network; `naming` gives the name in `values` of a structural one.

    Raises:
        UserError: names the file `source`, and the first parameter that is missing, left over, or of another shape.
    """
    wanted = {naming(name): p.shape for name, p in net._collect_params_with_prefix().items()}
    problem = mismatch(wanted, {name: value.shape for name, value in values.items()})
    if problem:
        raise UserError(f"{source} does not fit the network: {problem}")


def assign(net: HybridBlock, values: Mapping[str, np.ndarray], contexts: list[mx.Context] | None) -> None:
    """Set all parameters, structural name -> array, known to fit; `contexts` are those of an uninitialised network."""
    if contexts is not None:
        net.initialize(mx.init.Zero(), ctx=contexts)
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(values[name], dtype=values[name].dtype))


def mismatch(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Why parameters of the shapes `found` cannot fill those of `wanted`; None if they can. Both: name -> shape."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        first = f"it lacks {missing[0]}" if missing else f"it has {unexpected[0]}, which the network lacks"
        more = len(missing) + len(unexpected) - 1
        return first + (f" and {more} more differ" if more else "") + _reason_names(wanted, found)
    for name, shape in wanted.items():
        if shape != found[name]:
            return f"{name} is {shown(found[name])} in it, {shown(shape)} in the network" + _reason_shape(name)
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


def shown(shape: tuple[int, ...]) -> str:
    """A shape as text: 512x3x3."""
    return "x".join(map(str, shape)) or "a single number"

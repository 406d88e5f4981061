"""That all processes train one model: weights are given out by the first, and compared by their digest."""

from __future__ import annotations

import hashlib
from typing import Mapping

import mxnet as mx

from ..parallel.processes import Processes


def share_weights(parameters: Mapping[str, mx.gluon.Parameter], context: mx.Context, processes: Processes) -> None:
    """Give the trained parameters the values that process 0 has, on every device of every process.

    Raises:
        UserError: they differ still.
    """
    if processes.size == 1:
        return
    trained = {name: p for name, p in parameters.items() if p.grad_req != "null"}
    values = {name: p.data(context).copyto(mx.cpu()) for name, p in trained.items()}
    processes.broadcast(values)
    for name, parameter in trained.items():
        parameter.set_data(values[name])
    must_have_equal_weights(parameters, context, processes, "at the start")


def must_have_equal_weights(
    parameters: Mapping[str, mx.gluon.Parameter], context: mx.Context, processes: Processes, when: str
) -> None:
    """Refuse to go on where a process has other weights than process 0, for one bit.

    Running statistics are left out: each device has its own.

    Raises:
        UserError: on every process.
    """
    if processes.size == 1:
        return
    digest = hashlib.sha256()
    for _, parameter in sorted(parameters.items()):
        if parameter.grad_req != "null":
            digest.update(parameter.data(context).asnumpy().data)
    processes.must_agree(digest.hexdigest(), f"value of the weights {when}")

"""BatchNorm's running statistics, which differ from device to device, and their average, which is the model's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Mapping

import mxnet as mx

from ..parallel.processes import Processes


class RunningStatistics:
    """The running statistics of a network on several devices.

    Each device keeps statistics of its own part of the batches, as in the paper.

    Args:
        net: initialised on the devices.
        processes: those that train together; averages are over the devices of all.
    """

    def __init__(self, net: mx.gluon.Block, processes: Processes):
        parameters = net._collect_params_with_prefix()
        self._parameters = {name: p for name, p in parameters.items() if p.grad_req == "null"}
        self._processes = processes

    def by_device(self) -> dict[str, list[mx.nd.NDArray]]:
        """{name: one array a device of this process}, the arrays themselves."""
        # BatchNorm writes its running statistics during the backward pass, and MXNet's engine does not know that it
        # does: reading them without waiting gave those of an earlier iteration on some devices.
        mx.nd.waitall()
        return {name: parameter.list_data() for name, parameter in self._parameters.items()}

    def averages(self) -> dict[str, mx.nd.NDArray]:
        """{name: mean over the devices of all processes, on the CPU}."""
        on_cpu = {name: [a.as_in_context(mx.cpu()) for a in arrays] for name, arrays in self.by_device().items()}
        means = {name: mx.nd.mean(mx.nd.stack(*arrays), axis=0) for name, arrays in on_cpu.items()}
        if self._processes.size > 1:
            self._processes.allreduce(list(means.values()), "statistics")
            means = {name: total / self._processes.size for name, total in means.items()}
        return means

    def put_back(self, values: Mapping[str, list[mx.nd.NDArray]]) -> None:
        """Give each device the statistics that `by_device` gave earlier, copied."""
        mx.nd.waitall()
        for name, arrays in values.items():
            _write(self._parameters[name], arrays)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, every device has the averages: the model that is saved."""
        with holding(self._parameters, self.averages()):
            yield


@contextmanager
def holding(parameters: Mapping[str, mx.gluon.Parameter], values: Mapping[str, mx.nd.NDArray]) -> Iterator[None]:
    """Within it, each parameter of whose name there is a value has that, on every device; afterwards its own again."""
    mx.nd.waitall()  # see `RunningStatistics.by_device`
    own = {name: [array.copy() for array in parameters[name].list_data()] for name in values}
    for name, value in values.items():
        _write(parameters[name], [value] * len(own[name]))
    try:
        yield
    finally:
        for name, arrays in own.items():
            _write(parameters[name], arrays)


def _write(parameter, values):
    for array, value in zip(parameter.list_data(), values):
        value.astype(array.dtype, copy=False).copyto(array)

"""BatchNorm's running statistics, which differ from device to device, and their average, which is the model's."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

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

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, every device has the averages: the model that is saved."""
        own = {name: [a.copy() for a in arrays] for name, arrays in self.by_device().items()}
        for name, average in self.averages().items():
            self._write(name, [average] * len(own[name]))
        try:
            yield
        finally:
            for name, arrays in own.items():
                self._write(name, arrays)

    def _write(self, name, values):
        for array, value in zip(self._parameters[name].list_data(), values):
            value.copyto(array)

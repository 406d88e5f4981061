"""The exponential moving average of a network's weights, which is what is evaluated where one is kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import mxnet as mx
from mxnet.gluon import HybridBlock

from .statistics import RunningStatistics, holding


class WeightAverage:
    """average = decay * average + (1 - decay) * weights after each iteration, from the first one's weights on.

    BatchNorm's running statistics, averaged over the devices, are followed in the same way. Polyak and Juditsky, 1992;
    with constant decay as in Tarvainen and Valpola, Mean Teachers, NeurIPS 2017.

    Args:
        net: initialised on several devices.
        statistics: its running statistics.
        decay: in (0, 1).

    Attributes:
        values: {structural name: float32 array on the CPU}; empty before the first iteration.
    """

    def __init__(self, net: HybridBlock, statistics: RunningStatistics, decay: float):
        self.values: dict[str, mx.nd.NDArray] = {}
        self._parameters = net._collect_params_with_prefix()
        self._statistics, self._decay = statistics, decay

    def update(self) -> None:
        """Count an iteration's weights. All processes call it."""
        averages = self._statistics.averages()
        for name, parameter in self._parameters.items():
            now = averages.get(name, parameter.list_data()[0]).as_in_context(mx.cpu()).astype("float32")
            value = self.values.setdefault(name, now)
            if value is not now:
                value *= self._decay
                value += (1 - self._decay) * now

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it, the network has the averages on every device."""
        with holding(self._parameters, self.values):
            yield

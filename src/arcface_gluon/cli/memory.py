"""Memory of a training before it begins, and what to say where it ends: the settings that `plan` knows to help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..parallel.cost import Machine, Setting, advise, cost
from ..runtime import available_memory, out_of_memory

if TYPE_CHECKING:
    from types import TracebackType

    from easydict import EasyDict

_GIB = 2**30


class MemoryAdvice:
    """`with MemoryAdvice(values, identities, devices) as advice`: says in one line that memory has ended, and the cure.

    Args:
        values: the recipe.
        identities: of the training set.
        devices: contexts of this process, on which `processes` as many train.

    Attributes:
        needed: bytes that the training needs on this machine's CPU, or on each GPU, by the estimate of `plan`.
        there: bytes that are free there; None where that cannot be known.
    """

    def __init__(self, values: EasyDict, identities: int, devices: list, processes: int = 1):
        from ..models import network_cost

        network, head, train = values.network, values.head, values.train
        self._values = values
        shared = len(devices) if devices[0].device_type == "cpu" else 1  # CPU contexts have one memory
        setting = Setting(
            identities,
            len(devices) * processes,
            train.batch_size,
            network.embedding_size,
            head.block_rows,
            head.sample_rate,
            train.accumulate,
            processes,
        )
        found = network_cost(network.name, network.embedding_size, **network.options)
        self.there = available_memory(devices[0])
        self.needed = shared * cost(setting, found, Machine(0, 1, 1)).memory
        options = advise(setting, found, Machine((self.there or 0) / shared, 1, 1))
        parts = [changed.accumulate for _, changed, _ in options if changed.accumulate > train.accumulate]
        self._accumulate = min(parts, default=2 * train.accumulate)

    def warning(self) -> str | None:
        """A line, where the estimate is more than is there; None where it is not."""
        if self.there is None or self.needed <= self.there:
            return None
        return f"warning: {self._facts()}; {self._cure()}"

    def _facts(self):
        there = "" if self.there is None else f", and {self.there / _GIB:.1f} GiB are free"
        train, name = self._values.train, self._values.network.name
        return f"train.batch_size={train.batch_size} of {name} needs about {self.needed / _GIB:.1f} GiB{there}"

    def _cure(self):
        return (
            f"these need less: train.accumulate={self._accumulate} (the batch in parts), head.block_rows=16384 (the "
            "softmax in blocks), head.sample_rate=0.1 (a sample of the centres), or a smaller train.batch_size; "
            "`arcface-gluon plan` says how much"
        )

    def __enter__(self) -> MemoryAdvice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if out_of_memory(error):
            raise UserError(f"out of memory: {self._facts()}; {self._cure()}") from error

"""What travels in a step of the head when its shards lie on several processes."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np

from .collectives import ContextGroup
from .processes import Processes


class ProcessGroup(ContextGroup):
    """The devices of all processes, one shard each; this process holds those of its own.

    Shards and slices of the batch are numbered through: all of process 0's devices, then those of process 1 … What
    crosses the network for a global batch of B: features (B, d) once to every process, four numbers a sample, and the
    sum of the features' gradients (B, d).

    Args:
        contexts: this process's devices; every process must have as many.
        processes: parallel.processes.Processes.
    """

    def __init__(self, contexts: Sequence[mx.Context], processes: Processes):
        super().__init__(contexts)
        self.shards = processes.size * len(self.contexts)
        self.first = processes.rank * len(self.contexts)
        self._processes = processes

    def gather(self, parts: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        here = [self._copy(part, self.contexts[0]) for part in parts]
        local = here[0] if len(here) == 1 else mx.nd.concat(*here, dim=0)
        features = self._counted(self._processes.gather, local, "features")
        return [self._copy(features, context) for context in self.contexts]

    def gather_labels(self, parts: list[np.ndarray]) -> np.ndarray:
        local = super().gather_labels(parts)
        counts = self._allgather(np.array([len(local)], np.float64), "batch").astype(np.int64)
        self._start = int(counts[: self._processes.rank].sum())  # of this process's slice in the global batch
        # Horovod has no int64 for MXNet; float64 holds every label exactly.
        return self._allgather(local.astype(np.float64), "labels")

    def log_sum_exp(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.logaddexp.reduce(self._rows(super().log_sum_exp(parts), "log_sum_exp"), axis=0)

    def maximum(self, parts: list[np.ndarray]) -> np.ndarray:
        return self._rows(super().maximum(parts), "maximum").max(axis=0)

    def collect(self, indices: list[np.ndarray], parts: list[np.ndarray], length: int) -> np.ndarray:
        # Each sample's class is on one shard only; the other processes have a zero there.
        return self._rows(super().collect(indices, parts, length), "collect").sum(axis=0)

    def reduce_scatter(self, parts: Sequence[mx.nd.NDArray], sizes: list[int]) -> list[mx.nd.NDArray]:
        local = super().reduce_scatter(parts, [parts[0].shape[0]])[0]
        self._counted(self._processes.allreduce, [local], "pulls")
        stops = self._start + np.cumsum(sizes)
        return [
            self._copy(local[stop - size : stop], context) for context, stop, size in zip(self.contexts, stops, sizes)
        ]

    def own_slices(self, whole: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
        return super().own_slices(whole[self._start : self._start + sum(sizes)], sizes)

    def all_reduce(self, parts: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        total = super().all_reduce(parts)[0]
        self._counted(self._processes.allreduce, [total], "centres")
        return [self._copy(total, context) for context in self.contexts]

    def _rows(self, values, name):
        """One (B,) array a process, stacked in the order of the ranks."""
        return self._allgather(np.asarray(values, np.float64)[None], name)

    def _allgather(self, array, name):
        return self._counted(self._processes.allgather, array, name)

    def _counted(self, transfer, what, name):
        """What the head sends to other processes counts with what it copies between the devices of this one."""
        before = self._processes.bytes_sent
        result = transfer(what, name)
        self.bytes_sent += self._processes.bytes_sent - before
        return result

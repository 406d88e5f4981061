"""What travels between the devices of one process in a step of the head.

A group of several processes needs the same methods: with B the global batch, features (B, d) go to every shard, a
few numbers a sample come back, and the features' gradient (B, d) is summed over the shards.
"""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np


class ContextGroup:
    """The devices of this process, one shard each.

    Attributes:
        contexts: list of mx.Context.
        shards: shards of the group; `first` is the number of the one on contexts[0].
        bytes_sent: bytes copied from one device to another, or between a device and the host, since the group was made.
    """

    def __init__(self, contexts: Sequence[mx.Context]):
        self.contexts = list(contexts)
        self.shards, self.first = len(self.contexts), 0
        self.bytes_sent = 0

    def gather(self, parts: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """Concatenate one (b_i, d) array a device along axis 0, on every device."""
        gathered = []
        for context in self.contexts:
            here = [self._copy(part, context) for part in parts]
            gathered.append(here[0] if len(here) == 1 else mx.nd.concat(*here, dim=0))
        return gathered

    def gather_labels(self, parts: list[np.ndarray]) -> np.ndarray:
        """Concatenate one (b_i,) host array a device."""
        return np.concatenate(parts)

    def log_sum_exp(self, parts: list[np.ndarray]) -> np.ndarray:
        """Reduce one (B,) host array of log-sum-exps a shard (max, then sum of exponentials) over all shards."""
        self.bytes_sent += sum(part.nbytes for part in parts)
        return np.logaddexp.reduce(np.stack(parts), axis=0)

    def maximum(self, parts: list[np.ndarray]) -> np.ndarray:
        """Largest of one (B,) host array a shard."""
        self.bytes_sent += sum(part.nbytes for part in parts)
        return np.stack(parts).max(axis=0)

    def collect(self, indices: list[np.ndarray], parts: list[np.ndarray], length: int) -> np.ndarray:
        """Assemble a (length,) host array from the values of each shard and their positions."""
        whole = np.zeros(length)
        for index, part in zip(indices, parts):
            whole[index] = part
            self.bytes_sent += part.nbytes
        return whole

    def reduce_scatter(self, parts: Sequence[mx.nd.NDArray], sizes: list[int]) -> list[mx.nd.NDArray]:
        """Sum one (B, d) array a shard; device i gets the rows of its own slice of the batch, (sizes[i], d)."""
        stops = np.cumsum(sizes)
        slices = []
        for context, stop, size in zip(self.contexts, stops, sizes):
            # Always in the order of the shards, so that a run repeats bit for bit.
            total = self._copy(parts[0][stop - size : stop], context)
            for part in parts[1:]:
                total = total + self._copy(part[stop - size : stop], context)
            slices.append(total)
        return slices

    def own_slices(self, whole: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
        """The parts of a host array (B, …) that belong to this process's devices."""
        return np.split(whole, np.cumsum(sizes)[:-1])

    def all_reduce(self, parts: Sequence[mx.nd.NDArray]) -> list[mx.nd.NDArray]:
        """Sum one array of the same shape a shard; every device gets the sum."""
        total = self._copy(parts[0], self.contexts[0])
        for part in parts[1:]:
            # Always in the order of the shards, so that a run repeats bit for bit.
            total = total + self._copy(part, self.contexts[0])
        return [self._copy(total, context) for context in self.contexts]

    def _copy(self, array, context):
        if array.context != context:
            self.bytes_sent += array.size * np.dtype(array.dtype).itemsize
        return array.as_in_context(context)

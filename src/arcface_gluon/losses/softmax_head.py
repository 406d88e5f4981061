"""Plain softmax (Eq. 1) over identities that are split over devices: bias, nothing normalised."""

from __future__ import annotations

from typing import Any, Iterator

import mxnet as mx
import numpy as np

from .shard import Shard
from .shard_step import Own
from .sharded_head import ShardedMarginHead
from .targets import Target

nd = mx.nd


class _PlainShard(Shard):
    """Centres and biases of one device; the last of the columns is the bias. The length of a centre counts."""

    unit = False

    @staticmethod
    def place(name: str, weight: mx.nd.NDArray, momentum: mx.nd.NDArray) -> tuple[mx.nd.NDArray, slice]:
        size = weight.shape[1] - 1
        columns = slice(size, size + 1) if name.startswith("bias") else slice(0, size)
        return momentum if name.endswith("momentum") else weight, columns

    def own_values(self, own: Own) -> np.ndarray:
        """(t,) logits of the own classes."""
        return own.products()


class SoftmaxHead(ShardedMarginHead):
    """Classification layer and loss: cross entropy of the logits W_j . x + b_j (Eq. 1), mean over the global batch.

    Sharding, blocks, collectives, updates and checkpoints are those of `ShardedMarginHead`; a checkpoint has the arrays
    "bias" and "bias_momentum", (n, 1), too. Inside, the bias is a last column of the centres, and the features get a
    last column of ones. There is no angle in this loss: `target_angles` stays empty.

    Args:
        num_classes, embedding_size, contexts, seed, block_rows, group: as there. Biases begin at 0.
    """

    kind = _PlainShard
    extra_columns = 1
    arrays: tuple[str, ...] = ("weight", "momentum", "bias", "bias_momentum")

    def __init__(self, num_classes: int, embedding_size: int, contexts: list[mx.Context], **others: Any):
        super().__init__(num_classes, embedding_size, contexts, scale=1.0, **others)

    def centres(self) -> np.ndarray:
        """W without the biases, (num_classes, d) float32 NumPy."""
        return np.concatenate([arrays["weight"].asnumpy() for _, _, arrays in self.shards()])

    def biases(self) -> np.ndarray:
        """b, (num_classes,) float32 NumPy."""
        return np.concatenate([arrays["bias"].asnumpy()[:, 0] for _, _, arrays in self.shards()])

    def shards(self) -> Iterator[tuple[int, int, dict]]:
        """For checkpoints: yields (start, stop, {"weight", "momentum": (n, d), "bias", "bias_momentum": (n, 1)})."""
        size = self.embedding_size
        for start, stop, arrays in super().shards():
            weight, momentum = arrays["weight"], arrays["momentum"]
            parts = {"weight": weight[:, :size], "momentum": momentum[:, :size]}
            yield start, stop, {**parts, "bias": weight[:, size:], "bias_momentum": momentum[:, size:]}

    def _width(self, name):
        return 1 if name.startswith("bias") else self.embedding_size

    def _features(self, embedding):
        ones = nd.ones((embedding.shape[0], 1), embedding.context)
        return nd.concat(embedding.astype("float32", copy=False), ones, dim=1), None

    def _target(self, values, inverses):
        # The shards tell the logits of the own classes.
        return Target(values, values, np.zeros_like(values), np.full_like(values, -1))

    def _through(self, pull, feature, inverse, dtype, by_length):
        return pull[:, : self.embedding_size].astype(dtype)

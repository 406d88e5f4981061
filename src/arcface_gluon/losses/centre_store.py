"""The class centres of all shards of a head: initial values, reading and writing, and rows of checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import numpy as np

if TYPE_CHECKING:
    import mxnet as mx

# Initial centres are drawn in blocks of this many classes, so that they do not depend on the sharding.
INITIAL_BLOCK = 256
INITIAL_SIGMA = 0.01
# Rows copied to a device at a time: those of a checkpoint stay in its file till then.
LOADED_BLOCK = 65_536
# What random numbers are for.
INITIAL, SAMPLING = 0, 1


class CentreStore:
    """What a sharded head has of its centres beside the step.

    Args:
        num_classes: identities.
        embedding_size: d.

    Attributes:
        rows_per_class: centres an identity.
        arrays: names of a checkpoint's arrays (class attribute).
    """

    rows_per_class = 1
    arrays: tuple[str, ...] = ("weight", "momentum")

    def __init__(self, num_classes: int, embedding_size: int, shards: list):
        self.num_classes, self.embedding_size = num_classes, embedding_size
        self._shards = shards

    def centres(self) -> np.ndarray:
        """Class centres W, (num_classes, d) float32 NumPy."""
        return np.concatenate([shard.weight.asnumpy() for shard in self._shards])

    def set_centres(self, centres: np.ndarray | mx.nd.NDArray) -> None:
        """Replace the class centres.

        Args:
            centres: (num_classes, d) array, of any length a row.

        Raises:
            ValueError: another shape.
        """
        shape = (self.num_classes * self.rows_per_class, self.embedding_size)
        if tuple(centres.shape) != shape:
            raise ValueError(f"centres must have shape {shape}, not {tuple(centres.shape)}")
        self.load_rows(0, {"weight": centres})

    def shards(self) -> Iterator[tuple[int, int, dict]]:
        """For checkpoints: yields (start, stop, {"weight": (n, d), "momentum": (n, d)}), the NDArrays themselves."""
        for shard in self._shards:
            yield shard.start, shard.stop, {"weight": shard.weight, "momentum": shard.momentum}

    def layout(self) -> dict:
        """{array's name: (rows, columns)} of a whole checkpoint, all shards together."""
        rows = self.num_classes * self.rows_per_class
        return {name: (rows, self._width(name)) for name in self.arrays}

    def load_rows(self, start: int, arrays: dict) -> None:
        """Copy rows of any sharding's checkpoint into the shards that own them.

        Args:
            start: class of the first row.
            arrays: {"weight": (n, d), "momentum": (n, d)} or one of them; NDArray or NumPy.

        Raises:
            ValueError: rows that are not there, or of another embedding size.
        """
        self._load_rows(start * self.rows_per_class, arrays)

    def _load_rows(self, start, arrays):
        for name, rows in arrays.items():
            if name not in self.arrays:
                raise ValueError(f"the head has no array {name!r}; it has {', '.join(self.arrays)}")
            stop = start + rows.shape[0]
            if rows.shape[1:] != (self._width(name),) or start < 0 or stop > self.num_classes * self.rows_per_class:
                raise ValueError(
                    f"{name} of rows {start} to {stop - 1} and shape {tuple(rows.shape)} does not fit a head of "
                    f"{self.num_classes} classes and embedding size {self.embedding_size}"
                )
            for shard in self._shards:
                begin, end = shard.start * self.rows_per_class, shard.stop * self.rows_per_class
                first, last = max(start, begin), min(stop, end)
                for at in range(first, last, LOADED_BLOCK):
                    shard.load(name, at - begin, rows[at - start : min(at + LOADED_BLOCK, last) - start])

    def _width(self, name):
        """Columns of a checkpoint's array."""
        return self.embedding_size

    def _initialise(self, seed):
        first, last = self._shards[0].start * self.rows_per_class, self._shards[-1].stop * self.rows_per_class
        for start in range(first - first % INITIAL_BLOCK, last, INITIAL_BLOCK):
            rows = min(INITIAL_BLOCK, self.num_classes * self.rows_per_class - start)
            random = generator(seed, 0, INITIAL, start)
            centres = random.standard_normal((rows, self.embedding_size), dtype=np.float32) * np.float32(INITIAL_SIGMA)
            self._load_rows(start, {"weight": centres})


def generator(seed: int, iteration: int, use: int, start: int) -> np.random.Generator:
    """Random numbers that depend on what they are for, and on nothing drawn before."""
    return np.random.Generator(np.random.Philox(key=[seed, iteration], counter=[0, 0, use, start]))

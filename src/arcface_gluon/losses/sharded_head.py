"""Margin softmax over identities that are split over devices."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.collectives import ContextGroup
from ..parallel.shards import shard_ranges
from .margins import Margin
from .shard import SMALLEST_SQUARE, Shard

# Initial centres are drawn in blocks of this many classes, so that they do not depend on the sharding.
INITIAL_BLOCK = 1024
INITIAL_SIGMA = 0.01
# sin(theta) below which the direction of the margin's gradient is rounding noise; 1 - cos(theta) is then 1e-7.
SMALLEST_SINE = 4.5e-4


class LabelError(UserError, ValueError):
    """A label that no shard owns: the data and the head disagree on the number of identities."""


class ShardedMarginHead:
    """Classification layer and loss: -log softmax with the target logit s psi(theta_y), all others s cos(theta_j).

    cos(theta_j) = W_j . x / (|W_j| |x|) (Eq. 2 to 4 of the paper, mean over the global batch). The centres W are split
    over the contexts by identity; each context computes the logits of its own and updates its own. Only embeddings,
    three numbers a sample and the embeddings' gradient travel.

    The gradient is that of the formula as printed, margin included (`Margin`): autograd is not used.

    Args:
        num_classes: identities.
        embedding_size: d.
        contexts: devices, one shard each (list of mx.Context).
        margin: psi: angles -> (psi, dpsi/dtheta).
        scale: s.
        seed: of the initial centres, Normal(0, 0.01), the same for every number of contexts.

    Attributes:
        accuracy: share of the last batch whose own centre, margin aside, is nearer than any other.
        target_angles: (B,) NumPy, theta_y in radians of the last batch.

    Raises:
        UserError: fewer identities than contexts, or a shard too large for one MXNet array.
    """

    def __init__(self, num_classes, embedding_size, contexts, margin=None, scale=64.0, seed=0):
        self.num_classes, self.embedding_size = int(num_classes), int(embedding_size)
        self.margin = Margin(1.0, 0.5, 0.0) if margin is None else margin
        self.scale = float(scale)
        self.accuracy, self.target_angles = float("nan"), np.zeros(0)
        self._group = ContextGroup(contexts)
        try:
            ranges = shard_ranges(self.num_classes, len(self._group.contexts))
        except ValueError as error:
            raise UserError(str(error)) from error
        self._shards = [
            Shard(start, stop, self.embedding_size, context)
            for (start, stop), context in zip(ranges, self._group.contexts)
        ]
        self._pending = False
        self._initialise(seed)

    @property
    def contexts(self):
        """Devices, one shard each."""
        return self._group.contexts

    @property
    def bytes_sent(self):
        """Bytes that travelled between devices, or devices and host, since the head was made."""
        return self._group.bytes_sent

    def forward_backward(self, embeddings, labels):
        """Loss of a batch and its gradient with respect to the embeddings.

        Args:
            embeddings: one (b_i, d) NDArray a context, of any lengths.
            labels: one (b_i,) array a context (NDArray or NumPy) of identities 0 … num_classes-1.

        Returns:
            float, the mean loss over the global batch; list of NDArrays, dloss/dembedding, like `embeddings`.

        Raises:
            ValueError: shapes that do not fit.
            LabelError: a label that no shard owns (a UserError and a ValueError).
        """
        labels = self._check(embeddings, labels)
        with mx.autograd.pause():
            return self._step(embeddings, labels)

    def _step(self, embeddings, labels):
        sizes = [part.shape[0] for part in embeddings]
        batch = sum(sizes)
        units, lengths = zip(*[_normalise(part) for part in embeddings])
        owned = [self._owned(labels, shard) for shard in self._shards]
        features = self._group.gather(units)
        for shard, x, own in zip(self._shards, features, owned):
            shard.forward(x, self.scale, own, labels[own] - shard.start)
        # From here to the gradients' scale factors all arrays are (B,) and on the host, in double precision.
        log_sums, largest, angles = zip(*[shard.sums() for shard in self._shards])
        theta = self._group.collect(owned, angles, batch)
        others = self._group.log_sum_exp(log_sums)
        largest = self._group.maximum(largest)
        value, slope = self.margin(theta)
        target = self.scale * value
        total = np.logaddexp(others, target)
        # 1 - p_y as a share of the others: no digits are lost where p_y is close to 1.
        wrong = np.exp(others - total)
        step = self.scale / batch
        coefficients = -wrong * slope * step / np.maximum(np.sin(theta), SMALLEST_SINE)
        cosines = np.cos(theta)
        parts = [
            shard.backward(total, step, cosines[own], coefficients[own]) for shard, own in zip(self._shards, owned)
        ]
        pulls = self._group.reduce_scatter(parts, sizes)
        gradients = [
            _through_normalisation(pull, unit, length, part.dtype)
            for pull, unit, length, part in zip(pulls, units, lengths, embeddings)
        ]
        self._pending = True
        self.target_angles = theta
        self.accuracy = float(np.mean(self.scale * cosines > largest))
        return float(np.mean(np.logaddexp(0, others - target))), gradients

    def update(self, lr, momentum=0.9, wd=0.0):
        """SGD on the centres with the gradient of the last `forward_backward`, as MXNet's.

        mom = momentum * mom - lr * (gradient + wd * w); w = w + mom.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        self._need_gradient("update")
        for shard in self._shards:
            shard.update(lr, momentum, wd)
        self._pending = False

    def centres(self):
        """Class centres W, (num_classes, d) float32 NumPy."""
        return np.concatenate([shard.weight.asnumpy() for shard in self._shards])

    def set_centres(self, centres):
        """Replace the class centres.

        Args:
            centres: (num_classes, d) array, of any length a row.

        Raises:
            ValueError: another shape.
        """
        if tuple(centres.shape) != (self.num_classes, self.embedding_size):
            raise ValueError(
                f"centres must have shape {(self.num_classes, self.embedding_size)}, not {tuple(centres.shape)}"
            )
        self.load_rows(0, {"weight": centres})

    def centre_gradients(self):
        """dloss/dW of the last `forward_backward`, (num_classes, d) float32 NumPy. Made for tests: W's size again.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        self._need_gradient("centre_gradients")
        return np.concatenate([block.asnumpy() for shard in self._shards for block in shard.gradients()])

    def shards(self):
        """For checkpoints: yields (start, stop, {"weight": (n, d), "momentum": (n, d)}), the NDArrays themselves."""
        for shard in self._shards:
            yield shard.start, shard.stop, {"weight": shard.weight, "momentum": shard.momentum}

    def load_rows(self, start, arrays):
        """Copy rows of any sharding's checkpoint into the shards that own them.

        Args:
            start: class of the first row.
            arrays: {"weight": (n, d), "momentum": (n, d)} or one of them; NDArray or NumPy.

        Raises:
            ValueError: rows that are not there, or of another embedding size.
        """
        for name, rows in arrays.items():
            if name not in ("weight", "momentum"):
                raise ValueError(f'the head has no array {name!r}; it has "weight" and "momentum"')
            stop = start + rows.shape[0]
            if rows.shape[1:] != (self.embedding_size,) or start < 0 or stop > self.num_classes:
                raise ValueError(
                    f"{name} of classes {start} to {stop - 1} and shape {tuple(rows.shape)} does not fit a head of "
                    f"{self.num_classes} classes and embedding size {self.embedding_size}"
                )
            for shard in self._shards:
                first, last = max(start, shard.start), min(stop, shard.stop)
                if first < last:
                    shard.load(name, first - shard.start, rows[first - start : last - start])
        self._pending = False

    def _initialise(self, seed):
        for start in range(0, self.num_classes, INITIAL_BLOCK):
            rows = min(INITIAL_BLOCK, self.num_classes - start)
            random = np.random.Generator(np.random.Philox(key=[seed, start]))
            centres = random.standard_normal((rows, self.embedding_size), dtype=np.float32) * np.float32(INITIAL_SIGMA)
            self.load_rows(start, {"weight": centres})

    def _owned(self, labels, shard):
        """Positions in the batch of the samples whose class the shard owns, in the order of their classes."""
        samples = np.flatnonzero((labels >= shard.start) & (labels < shard.stop))
        return samples[np.argsort(labels[samples], kind="stable")]

    def _check(self, embeddings, labels):
        devices = len(self._group.contexts)
        if len(embeddings) != devices or len(labels) != devices:
            raise ValueError(
                f"one array a context is needed: {devices} contexts, {len(embeddings)} embeddings, {len(labels)} labels"
            )
        labels = [label.asnumpy() if isinstance(label, mx.nd.NDArray) else np.asarray(label) for label in labels]
        for embedding, label in zip(embeddings, labels):
            if embedding.shape[1:] != (self.embedding_size,) or label.shape != (embedding.shape[0],):
                raise ValueError(
                    f"embeddings {embedding.shape} and labels {label.shape} must be (b, {self.embedding_size}) and (b,)"
                )
        labels = self._group.gather_labels(labels)
        bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= self.num_classes)
        if bad.any():
            raise LabelError(
                f"a label no shard owns: {labels[bad][0]:g}; the head has classes 0 to {self.num_classes - 1}"
            )
        return labels.astype(np.int64)

    def _need_gradient(self, name):
        if not self._pending:
            raise RuntimeError(f"{name}() needs a forward_backward() since the last update")


def _normalise(embedding):
    """Unit rows and 1 / length (b, 1), in float32."""
    embedding = embedding.astype("float32", copy=False)
    square = mx.nd.sum(mx.nd.square(embedding), axis=1, keepdims=True)
    inverse = mx.nd.rsqrt(mx.nd.maximum(square, SMALLEST_SQUARE))
    return mx.nd.broadcast_mul(embedding, inverse), inverse


def _through_normalisation(gradient, unit, inverse_length, dtype):
    """(I - x x') g / |x|: the gradient with respect to the embedding from that of its unit vector x."""
    radial = mx.nd.sum(gradient * unit, axis=1, keepdims=True)
    return ((gradient - radial * unit) * inverse_length).astype(dtype)


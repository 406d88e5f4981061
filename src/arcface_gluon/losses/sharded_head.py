"""Margin softmax over identities that are split over devices."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.collectives import ContextGroup
from ..parallel.shards import shard_ranges
from .margins import Margin
from .sampling import SampledShard
from .shard import SMALLEST_SQUARE, Shard, row_sums
from .targets import angular_target

# Initial centres are drawn in blocks of this many classes, so that they do not depend on the sharding.
INITIAL_BLOCK = 256
INITIAL_SIGMA = 0.01
# What random numbers are for.
INITIAL, SAMPLING = 0, 1


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
        margin: psi: angles -> (psi, dpsi/dtheta); or one of losses/adaptive.py, which takes lengths too.
        scale: s.
        seed: of the initial centres, Normal(0, 0.01), the same for every number of contexts, and of the sampling.
        intra: `Intra`, the term of Eq. 5, or None.
        inter: `Inter`, the term of Eq. 6, or None.
        block_rows: 0, or the classes a block where a shard's logits (B, num_classes / shards) do not fit: only one
            block of them is kept then, for one more matrix product. The gradients are the same.
        sample_rate: share of its centres that each shard takes into a step: those of the batch's classes, the rest at
            random (Partial FC, An et al. 2021). 1 is the full softmax.
        dtype: "float32", or "float16": then the three products are of arrays rounded to that, about twice as fast on
            GPUs with logits of three digits; softmax, centres and momenta stay in float32.
        group: devices of several processes (parallel/process_group.py); None: the contexts alone.

    Attributes:
        iteration: number of `forward_backward` calls so far; with `seed` it fixes what is sampled.
        accuracy: share of the last batch whose own centre, margin aside, is nearer than any other.
        target_angles: (B,) NumPy, theta_y in radians of the last batch.

    Raises:
        UserError: fewer identities than contexts, or a shard too large for one MXNet array.
    """

    rows_per_class = 1
    _arrays = ("weight", "momentum")  # of a checkpoint

    def __init__(
        self,
        num_classes,
        embedding_size,
        contexts,
        margin=None,
        scale=64.0,
        seed=0,
        intra=None,
        inter=None,
        block_rows=0,
        sample_rate=1.0,
        dtype="float32",
        group=None,
    ):
        self.num_classes, self.embedding_size = int(num_classes), int(embedding_size)
        self.intra, self.inter = intra, inter
        self.margin = Margin(1.0, 0.5, 0.0) if margin is None else margin
        self.scale = float(scale)
        self.accuracy, self.target_angles = float("nan"), np.zeros(0)
        self.iteration, self._seed, self._pending = 0, int(seed), False
        self._block_rows, self._sample_rate = int(block_rows), float(sample_rate)
        self._group = ContextGroup(contexts) if group is None else group
        self._shards = self._make_shards()
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype={dtype!r} must be float32 or float16")
        for shard in self._shards:
            shard.half = dtype == "float16"
        self._initialise()

    def _make_shards(self):
        if self._block_rows < 0:
            raise UserError(f"block_rows={self._block_rows} must be 0 (all at once) or the number of classes a block")
        if not 0 < self._sample_rate <= 1:
            raise UserError(f"sample_rate={self._sample_rate:g} must be above 0 and at most 1")
        changed = type(self)._make_shard is not ShardedMarginHead._make_shard
        if self._sample_rate < 1 and (changed or self.inter is not None):
            raise UserError(f"sample_rate={self._sample_rate:g} goes with the margin loss alone; set it to 1")
        try:
            ranges = shard_ranges(self.num_classes, self._group.shards)[self._group.first :]
        except ValueError as error:
            raise UserError(str(error)) from error
        return [self._make_shard(start, stop, c) for (start, stop), c in zip(ranges, self._group.contexts)]

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
        # A diverged batch shows in the loss, which the caller sees; NumPy need not warn on the way.
        with mx.autograd.pause(), np.errstate(invalid="ignore"):
            return self._step(embeddings, labels)

    def _step(self, embeddings, labels):
        sizes = [part.shape[0] for part in embeddings]
        batch = len(labels)
        units, inverses = zip(*[self._features(part) for part in embeddings])
        owned = [self._owned(labels, shard) for shard in self._shards]
        inputs = [
            (x, self.scale, own, labels[own] - shard.start)
            for x, own, shard in zip(self._group.gather(units), owned, self._shards)
        ]
        self._prepare(inputs)
        for shard, arguments in zip(self._shards, inputs):
            shard.forward(*arguments)
        # From here to the gradients' scale factors all arrays are (B,) and on the host, in double precision.
        log_sums, largest, angles = zip(*[shard.sums() for shard in self._shards])
        target = self._target(self._group.collect(owned, angles, batch), inverses)
        others = self._group.log_sum_exp(log_sums)
        largest = self._group.maximum(largest)
        total = np.logaddexp(others, target.logit)
        # 1 - p_y as a share of the others: no digits are lost where p_y is close to 1.
        wrong = np.exp(others - total)
        coefficients = (target.term_slope - wrong * target.slope) / batch
        loss = float(np.mean(np.logaddexp(0, others - target.logit) + target.term))
        if self.inter is not None:
            loss += self.inter(self._shards, self._group, labels, self.num_classes)
        parts = [
            shard.backward(total, self.scale / batch, target.cosine[own], coefficients[own])
            for shard, own in zip(self._shards, owned)
        ]
        pulls, by_length = self._group.reduce_scatter(parts, sizes), [None] * len(sizes)
        if target.by_length is not None:
            by_length = (target.term_by_length - wrong * target.by_length) / batch
            by_length = self._group.own_slices(by_length, sizes)
        gradients = [
            self._through(pull, unit, inverse, part.dtype, radial)
            for pull, unit, inverse, part, radial in zip(pulls, units, inverses, embeddings, by_length)
        ]
        self.iteration += 1
        self._pending = True
        self.accuracy = float(np.mean(target.bare > largest))
        return loss, gradients

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
        shape = (self.num_classes * self.rows_per_class, self.embedding_size)
        if tuple(centres.shape) != shape:
            raise ValueError(f"centres must have shape {shape}, not {tuple(centres.shape)}")
        self.load_rows(0, {"weight": centres})

    def centre_gradients(self):
        """dloss/dW of the last `forward_backward`, (num_classes, d) float32 NumPy. Made for tests: W's size again.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        return np.concatenate([block.asnumpy() for block in self.centre_gradient_blocks()])

    def centre_gradient_blocks(self):
        """The same a few rows at a time, as NDArrays; each is valid until the next is asked for."""
        self._need_gradient("centre_gradients")
        for shard in self._shards:
            yield from shard.gradients()

    def shards(self):
        """For checkpoints: yields (start, stop, {"weight": (n, d), "momentum": (n, d)}), the NDArrays themselves."""
        for shard in self._shards:
            yield shard.start, shard.stop, {"weight": shard.weight, "momentum": shard.momentum}

    def layout(self) -> dict:
        """{array's name: (rows, columns)} of a whole checkpoint, all shards together."""
        rows = self.num_classes * self.rows_per_class
        return {name: (rows, self._width(name)) for name in self._arrays}

    def load_rows(self, start, arrays):
        """Copy rows of any sharding's checkpoint into the shards that own them.

        Args:
            start: class of the first row.
            arrays: {"weight": (n, d), "momentum": (n, d)} or one of them; NDArray or NumPy.

        Raises:
            ValueError: rows that are not there, or of another embedding size.
        """
        self._load_rows(start * self.rows_per_class, arrays)
        self._pending = False

    def _load_rows(self, start, arrays):
        for name, rows in arrays.items():
            if name not in self._arrays:
                raise ValueError(f"the head has no array {name!r}; it has {', '.join(self._arrays)}")
            stop = start + rows.shape[0]
            if rows.shape[1:] != (self._width(name),) or start < 0 or stop > self.num_classes * self.rows_per_class:
                raise ValueError(
                    f"{name} of rows {start} to {stop - 1} and shape {tuple(rows.shape)} does not fit a head of "
                    f"{self.num_classes} classes and embedding size {self.embedding_size}"
                )
            for shard in self._shards:
                begin, end = shard.start * self.rows_per_class, shard.stop * self.rows_per_class
                first, last = max(start, begin), min(stop, end)
                if first < last:
                    shard.load(name, first - begin, rows[first - start : last - start])

    def state(self) -> dict:
        """What a checkpoint must hold besides the shards (JSON): moving averages of a margin, place in the sampling."""
        sampling = {"iteration": self.iteration} if self._sample_rate < 1 else {}
        return {**sampling, **(self.margin.state() if hasattr(self.margin, "state") else {})}

    def load_state(self, state):
        """Go on from a checkpoint's `state`."""
        self.iteration = int(state.get("iteration", self.iteration))
        if hasattr(self.margin, "load_state"):
            self.margin.load_state(state)

    # What kinds of heads differ in.

    def _make_shard(self, start, stop, context):
        if self._sample_rate < 1:
            return SampledShard(start, stop, self.embedding_size, context, self._block_rows, self._sample_rate)
        return Shard(start, stop, self.embedding_size, context, block_rows=self._block_rows)

    def _width(self, name):
        """Columns of a checkpoint's array."""
        return self.embedding_size

    def _features(self, embedding):
        """What the shards see of embeddings (b, d): their unit vectors; and 1 / length (b, 1)."""
        return _normalise(embedding)

    def _prepare(self, inputs):
        """Called with each shard's arguments of `forward`, before it."""
        if self._sample_rate < 1:
            for shard, (_, _, _, classes) in zip(self._shards, inputs):
                shard.sample(classes, _generator(self._seed, self.iteration, SAMPLING, shard.start))

    def _target(self, theta, inverses):
        self.target_angles, lengths = theta, None
        if getattr(self.margin, "by_length", False):
            inverses = [inverse.asnumpy()[:, 0].astype(np.float64) for inverse in inverses]
            lengths = 1 / self._group.gather_labels(inverses)
        return angular_target(theta, self.scale, self.margin, self.intra, lengths)

    def _through(self, pull, unit, inverse, dtype, by_length):
        """dL/d(embedding) from that by the shards' features and that by the embedding's length, or None."""
        return _through_normalisation(pull, unit, inverse, dtype, by_length)

    def _initialise(self):
        first, last = self._shards[0].start * self.rows_per_class, self._shards[-1].stop * self.rows_per_class
        for start in range(first - first % INITIAL_BLOCK, last, INITIAL_BLOCK):
            rows = min(INITIAL_BLOCK, self.num_classes * self.rows_per_class - start)
            random = _generator(self._seed, 0, INITIAL, start)
            centres = random.standard_normal((rows, self.embedding_size), dtype=np.float32) * np.float32(INITIAL_SIGMA)
            self._load_rows(start, {"weight": centres})

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


def _generator(seed, iteration, use, start):
    """Random numbers that depend on what they are for, and on nothing drawn before."""
    return np.random.Generator(np.random.Philox(key=[seed, iteration], counter=[0, 0, use, start]))


def _normalise(embedding):
    """Unit rows and 1 / length (b, 1), in float32."""
    embedding = embedding.astype("float32", copy=False)
    square = row_sums(mx.nd.square(embedding), mx.nd.ones((1, embedding.shape[1]), embedding.context))
    inverse = mx.nd.rsqrt(mx.nd.maximum(square, SMALLEST_SQUARE))
    return mx.nd.broadcast_mul(embedding, inverse), inverse


def _through_normalisation(gradient, unit, inverse_length, dtype, by_length=None):
    """(I - x x') g / |x| + h x: the gradient by the embedding from g by its unit vector x and h by its length."""
    radial = row_sums(gradient * unit, mx.nd.ones((1, unit.shape[1]), unit.context))
    gradient = (gradient - radial * unit) * inverse_length
    if by_length is not None:
        gradient = gradient + mx.nd.array(by_length.reshape(-1, 1), unit.context, dtype=unit.dtype) * unit
    return gradient.astype(dtype)

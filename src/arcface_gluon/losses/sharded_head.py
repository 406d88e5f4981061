"""Margin softmax over identities that are split over devices."""

from __future__ import annotations

from typing import Any, Iterator, Sequence, cast

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.collectives import ContextGroup
from ..parallel.shards import shard_ranges
from . import interfaces
from .centre_store import SAMPLING, CentreStore, generator
from .labels import gather_labels
from .margins import Margin
from .normalise import through_unit_rows, unit_rows
from .regularisers import Inter, Intra
from .sampling import SampledShard
from .shard import Shard
from .smoothing import LabelSmoothing
from .targets import angular_target


class ShardedMarginHead(CentreStore):
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
        label_smoothing: share of each label that is spread over all classes (`LabelSmoothing`); of the sampled ones
            where `sample_rate` is below 1.
        group: devices of several processes (parallel/process_group.py); None: the contexts alone.

    Attributes:
        iteration: number of `forward_backward` calls so far; with `seed` it fixes what is sampled.
        accuracy: share of the last batch whose own centre, margin aside, is nearer than any other.
        target_angles: (B,) NumPy, theta_y in radians of the last batch.
        labels: (B,) int64 NumPy, of the last batch.

    Raises:
        UserError: fewer identities than contexts, or a shard too large for one MXNet array.
    """

    kind: type[Shard] = Shard  # of its shards
    extra_columns = 0  # of a shard's arrays, beside the centres
    # Whether `label_smoothing` does: the sum of the logits must be a product with the sum of the centres.
    can_smooth = True

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        contexts: list[mx.Context],
        margin: interfaces.Margin | interfaces.LengthMargin | None = None,
        scale: float = 64.0,
        seed: int = 0,
        intra: Intra | None = None,
        inter: Inter | None = None,
        block_rows: int = 0,
        sample_rate: float = 1.0,
        dtype: str = "float32",
        label_smoothing: float = 0.0,
        group: ContextGroup | None = None,
    ):
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype={dtype!r} must be float32 or float16")
        self.intra, self.inter = intra, inter
        self.smoothing = self._make_smoothing(label_smoothing)
        self.margin = Margin(1.0, 0.5, 0.0) if margin is None else margin
        self.scale = float(scale)
        self.accuracy, self.target_angles = float("nan"), np.zeros(0)
        self.labels = np.zeros(0, np.int64)
        self.iteration, self._seed = 0, int(seed)
        self._sample_rate, self._group = float(sample_rate), ContextGroup(contexts) if group is None else group
        # What the last step leaves for the update: a CentreGradient a shard.
        self._gradients: Sequence[Any] | None = None
        super().__init__(int(num_classes), int(embedding_size), [])
        self._shards = self._make_shards(int(block_rows), half=dtype == "float16")
        self._initialise(self._seed)

    def _make_smoothing(self, share):
        if not 0 <= share < 1:
            raise UserError(f"label_smoothing={share:g} must be at least 0 and below 1")
        if share and not self.can_smooth:
            raise UserError(
                f"label_smoothing={share:g} goes with a softmax of plain logits, which {type(self).__name__} has not; "
                "set it to 0"
            )
        return LabelSmoothing(share) if share else None

    def _make_shards(self, block_rows, half):
        if block_rows < 0:
            raise UserError(f"block_rows={block_rows} must be 0 (all at once) or the number of classes a block")
        if not 0 < self._sample_rate <= 1:
            raise UserError(f"sample_rate={self._sample_rate:g} must be above 0 and at most 1")
        if self._sample_rate < 1 and self.inter is not None:
            raise UserError(
                f"sample_rate={self._sample_rate:g} does not go with Inter-Loss, which needs all; set it to 1"
            )
        try:
            ranges = shard_ranges(self.num_classes, self._group.shards)[self._group.first :]
        except ValueError as error:
            raise UserError(str(error)) from error
        options = {"block_rows": block_rows, "half": half}
        return [self._make_shard(*part, context, **options) for part, context in zip(ranges, self._group.contexts)]

    @property
    def contexts(self) -> list[mx.Context]:
        """Devices, one shard each."""
        return self._group.contexts

    @property
    def bytes_sent(self) -> int:
        """Bytes that travelled between devices, or devices and host, since the head was made."""
        return self._group.bytes_sent

    def forward_backward(
        self, embeddings: list[mx.nd.NDArray], labels: list[np.ndarray]
    ) -> tuple[float, list[mx.nd.NDArray]]:
        """Loss of a batch and its gradient with respect to the embeddings.

        Args:
            embeddings: one (b_i, d) NDArray a context, of any lengths.
            labels: one (b_i,) NumPy array a context of identities 0 … num_classes-1.

        Returns:
            float, the mean loss over the global batch; list of NDArrays, dloss/dembedding, like `embeddings`.

        Raises:
            ValueError: arrays that do not fit, or labels on a device.
            LabelError: a label that no shard owns (a UserError and a ValueError).
        """
        self.labels = gather_labels(self._group, embeddings, labels, self.embedding_size, self.num_classes)
        # A diverged batch shows in the loss, which the caller sees; NumPy need not warn on the way.
        with mx.autograd.pause(), np.errstate(invalid="ignore"):
            return self._step(embeddings, self.labels)

    def _step(self, embeddings, labels):
        sizes = [part.shape[0] for part in embeddings]
        batch = len(labels)
        units, inverses = zip(*[self._features(part) for part in embeddings])
        features = self._group.gather(units)
        owns = [self._pick(shard, x, labels) for shard, x in zip(self._shards, features)]
        parts = zip(self._shards, features, owns, self._modulations(owns))
        forwards = [shard.forward(x, self.scale, own, modulate) for shard, x, own, modulate in parts]
        # From here to the gradients' scale factors all arrays are (B,) and on the host, in double precision.
        target = self._target(self._collect(owns), inverses)
        others = self._group.log_sum_exp([forward.log_sums for forward in forwards])
        largest = self._group.maximum([forward.largest for forward in forwards])
        total = np.logaddexp(others, target.logit)
        loss, smooth, distances = 0.0, [], []
        if self.smoothing is not None:
            parts = [own.shard for own in owns], features, self._group, target, self.scale
            target, loss, smooth = self.smoothing(*parts)
        # 1 - p_y as a share of the others: no digits are lost where p_y is close to 1.
        wrong = np.exp(others - total)
        coefficients = (target.term_slope - wrong * target.slope) / batch
        loss += float(np.mean(np.logaddexp(0, others - target.logit) + target.term))
        if self.inter is not None:
            value, distances = self.inter(self._shards, self._group, labels, self.num_classes)
            loss += value
        extras = list(zip(*filter(None, (smooth, distances)))) or [()] * len(forwards)
        pulls, self._gradients = zip(
            *[
                forward.backward(
                    total, self.scale / batch, target.cosine[own.samples], coefficients[own.samples], extra
                )
                for forward, own, extra in zip(forwards, owns, extras)
            ]
        )
        pulls = [mx.nd.broadcast_add(pull, part.pull()) for pull, part in zip(pulls, smooth)] or pulls
        pulls, by_length = self._group.reduce_scatter(pulls, sizes), [None] * len(sizes)
        if target.by_length is not None:
            by_length = (target.term_by_length - wrong * target.by_length) / batch
            by_length = self._group.own_slices(by_length, sizes)
        gradients = [
            self._through(pull, unit, inverse, part.dtype, radial)
            for pull, unit, inverse, part, radial in zip(pulls, units, inverses, embeddings, by_length)
        ]
        self.iteration += 1
        self.accuracy = float(np.mean(target.bare > largest))
        return loss, gradients

    def update(self, lr: float, momentum: float = 0.9, wd: float = 0.0, nesterov: bool = False) -> None:
        """SGD on the centres with the gradient of the last `forward_backward`, as MXNet's.

        step = -lr * (gradient + wd * w); mom = momentum * mom + step; w = w + mom, or, as MXNet's NAG, if `nesterov`:
        w = w + momentum * mom + step.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        for gradient in self._last_gradients("update"):
            gradient.apply(interfaces.SGD(lr, momentum, wd, nesterov))
        self._gradients = None

    def gradient_square(self) -> float:
        """Sum of squares of dloss/dW of the last `forward_backward`, over this process's shards.

        It takes the product that gives the gradient, which `update` then takes again where a shard has several blocks.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        return sum(gradient.square() for gradient in self._last_gradients("gradient_square"))

    def centre_gradients(self) -> np.ndarray:
        """dloss/dW of the last `forward_backward`, (num_classes, d) float32 NumPy. Made for tests: W's size again.

        Raises:
            RuntimeError: there was no `forward_backward` since the last update.
        """
        return np.concatenate([block.asnumpy() for block in self.centre_gradient_blocks()])

    def centre_gradient_blocks(self) -> Iterator[mx.nd.NDArray]:
        """The same a few rows at a time, as NDArrays; each is valid until the next is asked for."""
        for gradient in self._last_gradients("centre_gradients"):
            yield from gradient.blocks()

    def load_rows(self, start: int, arrays: dict) -> None:
        """See `CentreStore.load_rows`; an update then needs another `forward_backward`."""
        super().load_rows(start, arrays)
        self._gradients = None

    def state(self) -> dict:
        """What a checkpoint must hold besides the shards (JSON): moving averages of a margin, place in the sampling."""
        sampling = {"iteration": self.iteration} if self._sample_rate < 1 else {}
        return {**sampling, **(cast(interfaces.LengthMargin, self.margin).state() if self._by_length else {})}

    def load_state(self, state: dict) -> None:
        """Go on from a checkpoint's `state`."""
        self.iteration = int(state.get("iteration", self.iteration))
        if self._by_length:
            cast(interfaces.LengthMargin, self.margin).load_state(state)

    @property
    def _by_length(self):
        return isinstance(self.margin, interfaces.LengthMargin)

    # What kinds of heads differ in.

    def _make_shard(self, start, stop, context, **options):
        place = start, stop, self.embedding_size + self.extra_columns, context
        options["rows_per_class"] = self.rows_per_class
        if self._sample_rate < 1:
            return SampledShard(*place, self._sample_rate, self.kind, **options)
        return self.kind(*place, **options)

    def _features(self, embedding):
        """What the shards see of embeddings (b, d): their unit vectors; and 1 / length (b, 1)."""
        return unit_rows(embedding)

    def _modulations(self, owns):
        """What changes each shard's logits (`interfaces.Modulation`), or None."""
        return [None] * len(owns)

    def _target(self, theta, inverses):
        self.target_angles, lengths = theta, None
        if self._by_length:
            inverses = [inverse.asnumpy()[:, 0].astype(np.float64) for inverse in inverses]
            lengths = 1 / self._group.gather_labels(inverses)
        return angular_target(theta, self.scale, self.margin, self.intra, lengths)

    def _through(self, pull, unit, inverse, dtype, by_length):
        """dL/d(embedding) from that by the shards' features and that by the embedding's length, or None."""
        return through_unit_rows(pull, unit, inverse, dtype, by_length)

    # What all have in common.

    def _pick(self, shard, features, labels):
        """The own centres of the samples whose class the shard has, in the order of their classes."""
        samples = np.flatnonzero((labels >= shard.start) & (labels < shard.stop))
        samples = samples[np.argsort(labels[samples], kind="stable")]
        classes = labels[samples] - shard.start
        if self._sample_rate < 1:
            shard.sample(classes, generator(self._seed, self.iteration, SAMPLING, shard.start))
        return shard.pick(features, samples, classes)

    def _collect(self, owns):
        """(B,) what all shards tell of the own centres: angles."""
        values = [own.values() for own in owns]
        return self._group.collect([own.samples for own in owns], values, owns[0].batch)

    def _last_gradients(self, name):
        if self._gradients is None:
            raise RuntimeError(f"{name}() needs a forward_backward() since the last update")
        return self._gradients

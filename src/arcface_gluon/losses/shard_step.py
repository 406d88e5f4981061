"""One step of a shard: own centres, then logits and sums, then gradients; each object is made by the one before.

Shapes as in shard.py. The softmax here runs over the non-target classes only. The target's logit, which alone carries
the margin, joins it on the host (`ShardedMarginHead`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Sequence

import mxnet as mx
import numpy as np

if TYPE_CHECKING:
    from .interfaces import SGD, CentreTerm, Modulation
    from .shard import Shard

# Logit that takes a target out of the softmax of the others: exp(MASKED - anything) is 0, also times 1e12, the inverse
# norm of a zero vector.
MASKED = -1e24


class Own:
    """The own centres of the samples whose class is on a shard, made by `Shard.pick`.

    Attributes:
        shard: whose. batch: B.
        samples: (t,) positions in the batch. rows: (t,) of their centres, ascending.
        features, units: (t, d) the samples' features, and their centres at length 1, as the kernels' arrays.
        inverse_norms: (t, 1).
    """

    def __init__(self, shard: Shard, features: mx.nd.NDArray, samples: np.ndarray, rows: np.ndarray):
        kernels = self._kernels = shard.kernels
        self.shard, self.samples, self.rows = shard, samples, rows
        self.batch = features.shape[0]
        self.features = self.units = self.inverse_norms = self.index = None
        if len(samples):
            index, self.index = kernels.index(rows), kernels.index(samples)
            self.inverse_norms = kernels.take(kernels.wrap(shard.inverse_norms).get(), index)
            self.units = kernels.take(kernels.wrap(shard.weight).get(), index) * self.inverse_norms
            self.features = kernels.take(kernels.wrap(features).get(), self.index)

    def angles(self) -> np.ndarray:
        """(t,) from the distances to the centre and to the point opposite: accurate to a few float32 ulps over [0, pi].

        The arccos of a rounded cosine is not, near 0 and pi, or is NaN.
        """
        return 2 * np.arctan2(*(np.sqrt(self._squares(sign)) for sign in (-1, 1))) if len(self.samples) else np.zeros(0)

    def values(self) -> np.ndarray:
        """(t,) what the loss is told of them: angles, or what the kind of shard has instead."""
        return self.shard.own_values(self)

    def products(self) -> np.ndarray:
        """(t,) inner products of features and centres."""
        return self._dots(self.features, self.units) if len(self.samples) else np.zeros(0)

    def _squares(self, sign):
        difference = self.features + sign * self.units
        return self._dots(difference, difference)

    def _dots(self, a, b):
        return self._kernels.to_host(self._kernels.row_dots(a, b))[:, 0]


class Forward:
    """Logits of a batch, made by `Shard.forward`; on GPUs they are only issued, and the first question waits.

    Attributes:
        own: the samples whose class is here.
    """

    def __init__(self, shard: Shard, features: mx.nd.NDArray, scale: float, own: Own, modulate: Modulation | None):
        self.own, self._shard, self._modulate = own, shard, modulate
        self._kernels, self._space, self._turn = shard.kernels, shard.workspace, shard.turn
        self._features = self._kernels.wrap(features)
        self._masks = self._place_masks()
        column = self._kernels.column(np.full(features.shape[0], scale))
        self._kernels.scale(self._features.get(), column, self._space.features.get())
        self._pull: Any = None
        self._reference: Any = None
        self._answers: list[tuple] = []
        self._sums: tuple | None = None
        self._run()

    @property
    def log_sums(self) -> np.ndarray:
        """(B,) log-sum-exp over the shard's non-target classes."""
        return np.logaddexp.reduce(self._block_sums()[1], axis=1)

    @property
    def largest(self) -> np.ndarray:
        """(B,) the largest of their logits."""
        return self._block_sums()[0].max(axis=1)

    def backward(
        self,
        log_total: np.ndarray,
        step: float,
        cosines: np.ndarray,
        coefficients: np.ndarray,
        extras: Sequence[CentreTerm] = (),
    ) -> tuple[mx.nd.NDArray, CentreGradient]:
        """The shard's part of dL/d(unit embedding), (B, d), still with its radial component; and the centres' gradient.

        Args:
            log_total: (B,) log-sum-exp over all classes of all shards.
            step: dL/dlogit of a class with probability 1.
            cosines: (t,) cos(theta) of this shard's samples.
            coefficients: (t,) dL/dtheta / sin(theta) of these samples.
            extras: what adds to the centres' gradient.
        """
        kernels, own = self._kernels, self.own
        tops, log_sums = self._block_sums()
        # Weight of each block's softmax in the whole, (B, K): of probabilities, or of exp(logit - top).
        references = log_sums if kernels.normalised else tops
        shares = np.exp(references - log_total[:, None]) * step
        whole = np.exp(kernels.to_host(self._reference)[:, 0] - log_total) * step
        pull = self._pull * kernels.column(whole)
        rows = None
        if len(own.samples):
            cosines, coefficients = kernels.column(cosines), kernels.column(coefficients)
            # dtheta/dx and dtheta/dw are minus the unit tangents. Written as differences that vanish with sin(theta),
            # they keep the digits near 0 and pi that a large multiple of w, projected later, would lose.
            at_sample = own.units - cosines * own.features
            at_centre = own.features - cosines * own.units
            kernels.add_rows(pull, own.index, -coefficients * at_sample)
            rows = kernels.to_host(-coefficients * at_centre * own.inverse_norms)
        return kernels.to_ndarray(pull), CentreGradient(self, shares, rows, extras)

    def softmax(self, k: int) -> tuple:
        """Block k's logits, turned into the weights of its softmax in place: top and total, (B, 1) each."""
        self.check_turn()
        self._space.products[k].to_logits()
        return self._finish(k)

    def check_turn(self) -> None:
        """Refuse to go on with logits that a later step overwrote."""
        if self._turn != self._shard.turn:
            raise RuntimeError("a later forward() overwrote this step; finish a step before the next")

    def weigh(self, share: np.ndarray) -> None:
        """Features times one number a sample (B,) into the workspace's `weighted`."""
        self._kernels.scale(self._features.get(), self._kernels.column(share), self._space.weighted.get())

    def _finish(self, k):
        logits = self._space.logits[k].get()
        if self._masks[k] is not None:
            self._kernels.mask(logits, self._masks[k], MASKED)
        return self._kernels.softmax(logits, self._shard.blocks[k].inverse_norms.get(), self._modulate)

    def _run(self):
        products, count = self._space.products, len(self._shard.blocks)
        products[0].to_logits()
        for k in range(count):
            top, total = self._finish(k)
            products[k].to_pull()
            if k + 1 < count:
                products[k + 1].to_logits()  # issued before this block's pull is waited for
            self._answers.append((top, total))
            self._add_pull(top, total)

    def _add_pull(self, top, total):
        """Add up the blocks' pulls, each as exp(logit - reference); the reference is the largest logit so far."""
        xp = self._kernels.xp
        own = top + xp.log(total) if self._kernels.normalised else top
        part = self._space.pull.get()
        if self._pull is None:
            self._pull, self._reference = part * 1, own
            return
        reference = xp.maximum(self._reference, own)
        self._kernels.blend(self._pull, xp.exp(self._reference - reference), part, xp.exp(own - reference))
        self._reference = reference

    def _block_sums(self):
        """(B, K) largest logit of each block, and its log-sum-exp."""
        if self._sums is None:
            tops, totals = (
                np.concatenate([self._kernels.to_host(a) for a in answers], axis=1) for answers in zip(*self._answers)
            )
            self._sums = tops, tops + np.log(totals)
        return self._sums

    def _place_masks(self):
        """Places of each block's targets in its flat logits; None where there is none."""
        samples, rows = self._shard.masked(self.own)
        masks = []
        for a, b in self._shard.ranges:
            first, last = np.searchsorted(rows, [a, b])
            here = slice(first, last)
            masks.append(self._kernels.index(samples[here] * (b - a) + rows[here] - a) if last > first else None)
        return masks


class CentreGradient:
    """dL/dW of a shard, a block at a time, made by `Forward.backward`: the third product runs when it is asked for.

    All blocks have the same memory. What lies there is not made again, so a shard of one block multiplies once, though
    it is asked for the length of its gradient first.
    """

    def __init__(self, forward: Forward, shares: np.ndarray, rows: np.ndarray | None, extras: Sequence[CentreTerm]):
        self._forward, self._shard, self._shares, self._extras = forward, forward._shard, shares, extras
        # The rows of samples with the same centre, added up.
        order = np.argsort(forward.own.rows, kind="stable")
        self._places, starts = np.unique(forward.own.rows[order], return_index=True)
        self._rows: Any = None if rows is None else np.add.reduceat(rows[order], starts, axis=0)
        self._made: int | None = None  # the block whose gradient lies in the memory of all

    def blocks(self) -> Iterator[mx.nd.NDArray]:
        """In the order of the classes: (c, d) NDArrays, each valid until the next is asked for."""
        shard = self._shard
        for k, block in enumerate(shard.blocks):
            gradient, self._made = self._block(k), None  # which is changed here
            self._project(block, gradient)
            yield block.gradient.array

    def square(self) -> float:
        """Sum of the gradient's squares."""
        total = 0.0
        for k, block in enumerate(self._shard.blocks):
            self._block(k)
            # Of a copy, so that an update makes of the gradient what it would without the question.
            copy = self._shard.kernels.wrap(block.gradient.array.copy())
            self._project(block, copy.get())
            total += float(mx.nd.square(copy.array).sum().asscalar())
        return total

    def apply(self, rule: SGD) -> None:
        """Update the centres, a block at a time."""
        shard = self._shard
        for k, block in enumerate(shard.blocks):
            gradient, self._made = self._block(k), None  # which the update destroys
            arrays = block.weight.get(), gradient, block.momentum.get(), block.inverse_norms.get()
            shard.kernels.sgd(*arrays, rule, shard.unit)

    def _project(self, block, gradient):
        if self._shard.unit:
            self._shard.kernels.remove_radial_part(block.weight.get(), gradient, block.inverse_norms.get())

    def _block(self, k):
        """dL/dW of block k, (c, d), as if the centres' lengths counted."""
        forward, shard, kernels = self._forward, self._shard, self._shard.kernels
        forward.check_turn()
        if self._made == k:
            return shard.blocks[k].gradient.get()
        self._made = k
        if shard.workspace.recompute:
            forward.softmax(k)
        forward.weigh(self._shares[:, k])
        shard.workspace.products[k].to_gradient()
        gradient = shard.blocks[k].gradient.get()
        a, b = shard.ranges[k]
        first, last = np.searchsorted(self._places, [a, b])
        if last > first:
            rows = kernels.column(self._rows[first:last]).reshape((last - first, -1))
            kernels.add_rows(gradient, kernels.index(self._places[first:last] - a), rows)
        for extra in self._extras:
            extra.add_to(k, shard.blocks[k].gradient.array)
        return shard.blocks[k].gradient.get()

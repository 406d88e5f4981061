"""One device's share of the classification layer: its class centres and its part of the softmax.

Shapes: B batch over all devices, d embedding size, n classes of the shard, c classes of a block, K blocks, t samples of
the batch whose class is here. Classes are worked through in blocks, so that a block's logits (B, c) and centres (c, d)
stay in cache from one operation to the next, and nothing of size (n, d) is kept but centres and momenta.
"""

from __future__ import annotations

from typing import NamedTuple

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.products import dot, half_dot
from ..parallel.shards import shard_ranges

nd = mx.nd

# Logit that takes a target out of the softmax of the others: exp(MASKED - anything) is 0.
MASKED = -1e30
# Of a zero vector, whose direction is undefined, all cosines are 0.
SMALLEST_SQUARE = 1e-24
# Classes a block, and rows of it for which there is scratch: a CPU wants them in its caches, a GPU wants few calls.
BLOCK_CLASSES = {"cpu": 3072, "gpu": 65536}
PIECE_ROWS = {"cpu": 1024, "gpu": 65536}
# Logits looked at for one large enough to tell the log-sum-exp, and the probability below which it is not.
CANDIDATES, UNDERFLOW = 16, 1e-30
# exp of more than this overflows float32.
LARGEST_EXPONENT = 80
# What the softmax is multiplied by before it is rounded to float16, as of a million classes most are below 1e-6. More
# would overflow in the gradient of a centre that many samples are near to.
HALF_GAIN = 64.0
MAX_ELEMENTS = 2**31 - 1


class Piece(NamedTuple):
    """Views of some rows of a block: centres, their gradient, scratch of the same shape, and one number a row."""

    weight: mx.nd.NDArray
    gradient: mx.nd.NDArray
    scratch: mx.nd.NDArray
    sums: mx.nd.NDArray


class Block(NamedTuple):
    """Views of rows start … stop-1 of a shard, made once: making them takes as long as starting an operation.

    `gradient` (c, d), `sums` (c, 1) and the pieces' scratch are the same memory in all blocks.
    """

    start: int
    stop: int
    weight: mx.nd.NDArray
    momentum: mx.nd.NDArray
    inverse_norms: mx.nd.NDArray
    gradient: mx.nd.NDArray
    sums: mx.nd.NDArray
    pieces: list


class Shard:
    """Classes start … stop-1 on one context.

    The softmax here runs over the non-target classes only. The target's logit, which alone carries the margin, joins
    it on the host (`ShardedMarginHead`). A step calls `forward`, `sums`, `backward`, then `update` or `gradients`.

    Args:
        start, stop: its classes.
        embedding_size: d.
        context: its device.
        rows_per_class: centres a class, one after the other.
        block_rows: if not 0, classes a block; then only one block's logits are kept, and computed again for the
            gradient of the centres: a fourth product in place of a (B, n) buffer.

    Attributes:
        half: whether the three products are of arrays rounded to float16; all the rest stays in float32.
        weight, momentum: (n, d) class centres, of any length (only their direction enters the logits), and momenta.
        inverse_norms: (n, 1), 1 / norm of each centre; up to date after `forward`.
        blocks: (first, last + 1) row of each block.
        extra: None, or what adds to the centres' gradient: `extra.add_to(k, gradient)` for block k (`Inter` is one).
    """

    def __init__(self, start, stop, embedding_size, context, rows_per_class=1, block_rows=0):
        rows = (stop - start) * rows_per_class
        self.start, self.stop, self.context = start, stop, context
        self.rows_per_class, self.extra, self.half = rows_per_class, None, False
        self.weight = class_array(rows, embedding_size, context)
        self.momentum = class_array(rows, embedding_size, context)
        self.inverse_norms = nd.zeros((rows, 1), context)
        self._stale = True
        # All the centres of a class lie in one block.
        self._recompute = block_rows > 0
        classes = block_rows or max(1, BLOCK_CLASSES[context.device_type] // rows_per_class)
        count = -(-(stop - start) // classes)
        self.blocks = [(a * rows_per_class, b * rows_per_class) for a, b in shard_ranges(stop - start, count)]
        self._views = self._make_views()
        self._ones = nd.ones((1, embedding_size), context)
        self._minus_ones = -self._ones
        self._smallest = nd.full((1,), SMALLEST_SQUARE, context)
        self._capacity = self._batch = 0

    def _make_views(self):
        widest, size = max(b - a for a, b in self.blocks), self.weight.shape[1]
        step = min(widest, PIECE_ROWS[self.context.device_type])
        gradient, scratch = nd.empty((widest, size), self.context), nd.empty((step, size), self.context)
        sums = nd.empty((widest, 1), self.context)
        views = []
        for start, stop in self.blocks:
            weight = self.weight[start:stop]
            pieces = []
            for a in range(0, stop - start, step):
                b = min(a + step, stop - start)
                pieces.append(Piece(weight[a:b], gradient[a:b], scratch[: b - a], sums[a:b]))
            whole = (gradient[: stop - start], sums[: stop - start])
            views.append(
                Block(start, stop, weight, self.momentum[start:stop], self.inverse_norms[start:stop], *whole, pieces)
            )
        return views

    def load(self, name, first, rows):
        """Write rows of the array `name`, from the shard's row `first` on."""
        getattr(self, name)[first : first + rows.shape[0]] = rows
        self.changed()

    def changed(self):
        """The centres were written to: measure them again in the next step."""
        self._stale = True

    def forward(self, features, scale, samples, classes):
        """The first two products: logits, and the pull of all non-target classes on the embeddings. Does not wait.

        Args:
            features: (B, d) unit embeddings on this context.
            scale: s.
            samples: (t,) positions in the batch of the samples whose class is here, in the order of their classes.
            classes: (t,) these classes, counted from the shard's first.
        """
        self._measure_stale_norms()
        self._features, self._scaled = features, features * scale
        self._samples, self._classes = samples, classes
        self._reserve(features.shape[0])
        self._place_masks()
        if len(classes):
            self._pick_targets()
        self._pass(reference=None)

    def sums(self):
        """What the other shards need to know; waits for `forward`.

        Returns:
            (B,) log-sum-exp over the shard's non-target classes; (B,) the largest of their logits; (t,) target angles.
        """
        self._read_sums()
        # The log-sum-exp was lost where all candidates underflowed, the pull where a block's weight overflowed.
        # Both need cosines at opposite ends of the range. Then take the largest logits as reference and search all.
        lost = (self._probabilities < UNDERFLOW).any() or (self._log_sums - self._reference > LARGEST_EXPONENT).any()
        if lost and np.isfinite(self._tops).all():
            reference = self._tops.max(axis=1)
            self._pass(self._upload(reference))
            self._read_sums()
        return np.logaddexp.reduce(self._log_sums, axis=1), self._tops.max(axis=1), self._target_angles()

    def backward(self, log_total, step, cosines, coefficients):
        """The shard's part of dL/d(unit embedding), still with its radial component.

        Args:
            log_total: (B,) log-sum-exp over all classes of all shards.
            step: dL/dlogit of a class with probability 1.
            cosines: (t,) cos(theta) of this shard's samples.
            coefficients: (t,) dL/dtheta / sin(theta) of these samples.

        Returns:
            (B, d) NDArray.
        """
        nd.broadcast_mul(self._pull, self._upload(np.exp(self._reference[:, 0] - log_total) * step), out=self._pull)
        # Weight of each block's softmax in the whole, (K, B, 1).
        shares = np.exp(self._log_sums - log_total[:, None]) * step
        self._shares = nd.array(shares.T[:, :, None], self.context, dtype="float32")
        self._target_bounds = [0] * (len(self.blocks) + 1)
        if len(self._classes):
            cosines, coefficients = self._upload(cosines), self._upload(coefficients)
            # dtheta/dx and dtheta/dw are minus the unit tangents. Written as differences that vanish with sin(theta),
            # they keep the digits near 0 and pi that a large multiple of w, projected later, would lose.
            at_sample = self._unit_targets - cosines * self._target_features
            at_centre = self._target_features - cosines * self._unit_targets
            self._add_rows(self._pull, self._target_samples, -coefficients * at_sample)
            self._collect_target_rows(-coefficients * at_centre)
            self._unit_targets = self._target_features = None
        pull, self._pull = self._pull, None
        return pull

    def update(self, lr, momentum, wd):
        """Third product and SGD, a block at a time: momentum = momentum*mom - lr*(gradient + wd*w); w += mom."""
        for k, block in enumerate(self._views):
            self._block_gradient(k)
            nd.sgd_mom_update(
                block.weight, block.gradient, block.momentum, lr=lr, momentum=momentum, wd=wd, out=block.weight
            )
            self._measure_norms(block)

    def gradients(self):
        """dL/dW in the order of the classes: yields (c, d) NDArrays, each valid until the next is asked for."""
        for k in range(len(self.blocks)):
            yield self._block_gradient(k)

    def _pass(self, reference):
        """Softmax and pull of every block; the blocks' pulls are added up weighted by exp(log-sum-exp - reference)."""
        self._pull, answers = None, []
        self._exact = reference is not None  # search all the logits for one to tell the log-sum-exp
        for k, block in enumerate(self._views):
            p, *answer = self._softmax(k)
            answers.append(answer)
            logit, probability, _ = answer
            reference = logit - nd.log(probability) if reference is None else reference
            pull = self._product(p, block.weight, gain=HALF_GAIN)
            nd.broadcast_mul(pull, nd.exp(logit - reference) / probability, out=pull)
            self._pull = pull if self._pull is None else nd.elemwise_add(self._pull, pull, out=self._pull)
        self._answers = [nd.concat(*answer, dim=1) for answer in zip(*answers)] + [reference]

    def _softmax(self, k):
        """Softmax over block k's non-target classes, each column then divided by the norm of its centre.

        Returns:
            (B, c), in the block's buffer; then (B, 1) each: a logit, its probability, and the largest logit. Any logit
            with its probability tells the log-sum-exp, without a pass over the logits; best is one near the largest.
        """
        block, (z, flat) = self._views[k], self._logit_views[k]
        inverse = block.inverse_norms.reshape((1, -1))
        self._product(self._scaled, block.weight, transpose_b=True, out=z)
        nd.broadcast_mul(z, inverse, out=z)
        first, last = self._bounds[k], self._bounds[k + 1]
        if last > first:
            where = self._masks[first:last].reshape((1, last - first))
            nd._internal._scatter_set_nd(flat, self._masked[first:last], where, shape=flat.shape, out=flat)
        top = _largest(z)
        derivative = self._modulate(z)
        seen = z if self._exact else nd.slice_axis(z, axis=1, begin=0, end=min(CANDIDATES, block.stop - block.start))
        column = nd.argmax(seen, axis=1)
        logit = nd.pick(z, column, axis=1, keepdims=True)
        nd.softmax(z, out=z)
        probability = nd.pick(z, column, axis=1, keepdims=True)
        if derivative is not None:
            nd.elemwise_mul(z, derivative, out=z)
        nd.broadcast_mul(z, inverse, out=z)
        return z, logit, probability, top

    def _modulate(self, logits):
        """Change a block's logits (B, c) in place, before the softmax; gives the derivative (B, c), or None for 1.

        Here nothing is changed. The targets' logits are masked already.
        """

    def _read_sums(self):
        logits, self._probabilities, self._tops, self._reference = (
            array.asnumpy().astype(np.float64) for array in self._answers
        )
        with np.errstate(divide="ignore"):
            self._log_sums = logits - np.log(self._probabilities)

    def _reserve(self, batch):
        widths = [b - a for a, b in self.blocks]
        if batch > self._capacity:
            size = batch * (max(widths) if self._recompute else sum(widths))
            if size > MAX_ELEMENTS:
                raise UserError(f"{size:,} logits on {self.context} exceed an MXNet array; set a smaller block_rows")
            # One array for all blocks: MXNet then works on one block after the other, while it is in cache, and not on
            # all their first products, then all their second …
            self._logits = self._weighted = self._logit_views = None  # freed before the larger ones are asked for
            self._logits = nd.empty((size,), self.context)
            self._weighted = nd.empty((batch, self.weight.shape[1]), self.context)
            self._capacity, self._batch = batch, 0
        if batch != self._batch:
            self._batch, self._logit_views = batch, []
            for (start, _), width in zip(self.blocks, widths):
                first = 0 if self._recompute else start * batch
                flat = self._logits[first : first + batch * width]
                self._logit_views.append((flat.reshape((batch, width)), flat))

    def _place_masks(self):
        """Where each block's targets lie in its flat logits: one upload for all the blocks."""
        starts = np.array([a for a, _ in self.blocks])
        self._bounds = np.append(np.searchsorted(self._classes, starts), len(self._classes))
        if len(self._classes):
            widths = np.diff(np.append(starts, self.weight.shape[0]))
            block = np.searchsorted(starts, self._classes, side="right") - 1
            flat = self._samples * widths[block] + self._classes - starts[block]
            self._masks = self._indices(flat)
            self._masked = nd.full((len(flat),), MASKED, self.context)

    def _pick_targets(self):
        classes, self._target_samples = self._indices(self._classes), self._indices(self._samples)
        self._target_inverse_norms = nd.take(self.inverse_norms, classes)
        self._unit_targets = nd.take(self.weight, classes) * self._target_inverse_norms
        self._target_features = nd.take(self._features, self._target_samples)
        self._near = row_sums(nd.square(self._target_features - self._unit_targets), self._ones)
        self._far = row_sums(nd.square(self._target_features + self._unit_targets), self._ones)

    def _target_angles(self):
        """From the distances to the centre and to the point opposite: accurate to a few float32 ulps over [0, pi].

        The arccos of a rounded cosine is not, near 0 and pi, or is NaN.
        """
        if not len(self._classes):
            return np.zeros(0)
        near, far = (distance.asnumpy()[:, 0].astype(np.float64) for distance in (self._near, self._far))
        return 2 * np.arctan2(np.sqrt(near), np.sqrt(far))

    def _collect_target_rows(self, rows):
        """Add up the rows (t, d) of samples of the same class, divided by the norm of their centre."""
        classes, position = np.unique(self._classes, return_inverse=True)
        together = np.zeros((len(classes), len(position)), dtype=np.float32)
        together[position, np.arange(len(position))] = 1
        self._target_rows = dot(nd.array(together, self.context), rows * self._target_inverse_norms)
        starts = np.array([a for a, _ in self.blocks])
        self._target_bounds = np.append(np.searchsorted(classes, starts), len(classes))
        self._target_index = self._indices(classes - np.repeat(starts, np.diff(self._target_bounds)))

    def _block_gradient(self, k):
        """dL/dW of block k, (c, d)."""
        block, weighted = self._views[k], self._weighted[: self._batch]
        p = self._softmax(k)[0] if self._recompute else self._logit_views[k][0]
        nd.broadcast_mul(self._features, self._shares[k], out=weighted)
        self._product(p, weighted, gain=HALF_GAIN, transpose_a=True, out=block.gradient)
        first, last = self._target_bounds[k], self._target_bounds[k + 1]
        if last > first:
            self._add_rows(block.gradient, self._target_index[first:last], self._target_rows[first:last])
        if self.extra is not None:
            self.extra.add_to(k, block.gradient)
        self._remove_radial_part(block)
        return block.gradient

    def _remove_radial_part(self, block):
        """Only the direction of a centre enters the logits: its gradient has no radial part."""
        for weight, gradient, scratch, sums in block.pieces:
            nd.elemwise_mul(weight, gradient, out=scratch)
            nd.FullyConnected(scratch, self._minus_ones, num_hidden=1, no_bias=True, out=sums)
        nd.elemwise_mul(block.sums, nd.square(block.inverse_norms), out=block.sums)
        for weight, gradient, scratch, sums in block.pieces:
            nd.broadcast_mul(weight, sums, out=scratch)
            nd.elemwise_add(gradient, scratch, out=gradient)

    def _measure_stale_norms(self):
        if self._stale:
            for block in self._views:
                self._measure_norms(block)
            self._stale = False

    def _measure_norms(self, block):
        """1 / norm of the block's centres."""
        for weight, _, scratch, sums in block.pieces:
            nd.square(weight, out=scratch)
            nd.FullyConnected(scratch, self._ones, self._smallest, num_hidden=1, out=sums)
        nd.rsqrt(block.sums, out=block.inverse_norms)

    def _product(self, left, right, gain=1.0, **options):
        return half_dot(left, right, gain=gain, **options) if self.half else dot(left, right, **options)

    def _add_rows(self, array, rows, values):
        summed = nd.take(array, rows) + values
        nd._internal._scatter_set_nd(array, summed, rows.reshape((1, -1)), shape=array.shape, out=array)

    def _indices(self, values):
        return nd.array(values, self.context, dtype="int32")

    def _upload(self, column):
        return nd.array(column.reshape(-1, 1), self.context, dtype="float32")


def row_sums(array, ones):
    """(rows, 1) from (rows, d), with ones (1, d): a product, since MXNet's own sum takes many times as long."""
    return nd.FullyConnected(array, ones, num_hidden=1, no_bias=True)


def class_array(rows, embedding_size, context):
    """(rows, d) zeros on a context.

    Raises:
        UserError: too large for an MXNet array.
    """
    if rows * embedding_size > MAX_ELEMENTS:
        raise UserError(
            f"{rows} identities x {embedding_size} on {context} exceed the 2^31 elements of an MXNet array; "
            f"use at least {-(-rows * embedding_size // MAX_ELEMENTS)} times as many contexts"
        )
    return nd.zeros((rows, embedding_size), context)


def _largest(z):
    """(B, 1) largest of each row of (B, c)."""
    if z.context.device_type != "cpu":
        return nd.max(z, axis=1, keepdims=True)
    # oneDNN's pooling takes a sixth of the time of MXNet's max.
    batch, width = z.shape
    return nd.Pooling(z.reshape((1, batch, 1, width)), kernel=(1, width), pool_type="max").reshape((batch, 1))

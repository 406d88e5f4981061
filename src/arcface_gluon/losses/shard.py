"""One device's share of the classification layer: its class centres and its part of the softmax.

Shapes: B batch over all devices, d embedding size, n classes of the shard, c classes of a block, t samples of the batch
whose class is here. The classes are worked through in blocks, so that a block's logits (B, c), centres, gradient and
momenta (c, d) stay in cache from one operation to the next, and nothing of size (n, d) is kept but centres and momenta.
"""

from __future__ import annotations

import mxnet as mx
import numpy as np

from ..errors import UserError
from ..parallel.shards import shard_ranges

nd = mx.nd

# Logit that takes a target out of the softmax of the others: exp(MASKED - anything) is 0.
MASKED = -1e30
# Of a zero vector, whose direction is undefined, all cosines are 0.
SMALLEST_SQUARE = 1e-24
# A CPU block must fit its caches; a GPU wants few and large calls.
BLOCK_CLASSES = {"cpu": 4096, "gpu": 65536}
MAX_ELEMENTS = 2**31 - 1


class Shard:
    """Classes start … stop-1 on one context.

    The softmax here runs over the non-target classes only. The target's logit, which alone carries the margin, joins
    it on the host (`ShardedMarginHead`). A step calls `forward`, then `backward`, then `update` or `gradients`.

    Attributes:
        weight, momentum: (n, d) class centres, of any length (only their direction enters the logits), and momenta.
    """

    def __init__(self, start, stop, embedding_size, context):
        rows = stop - start
        if rows * embedding_size > MAX_ELEMENTS:
            raise UserError(
                f"{rows} identities x {embedding_size} on {context} exceed the 2^31 elements of an MXNet array; "
                f"use at least {-(-rows * embedding_size // MAX_ELEMENTS)} times as many contexts"
            )
        self.start, self.stop, self.context = start, stop, context
        self.weight = nd.zeros((rows, embedding_size), context)
        self.momentum = nd.zeros((rows, embedding_size), context)
        self._inverse_norms = nd.zeros((rows, 1), context)
        self._blocks = shard_ranges(rows, -(-rows // BLOCK_CLASSES[context.device_type]))
        widest = max(b - a for a, b in self._blocks)
        self._gradient = nd.empty((widest, embedding_size), context)
        self._scratch = nd.empty((widest, embedding_size), context)
        self._ones = nd.ones((embedding_size, 1), context)
        self._buffers, self._capacity = [], 0
        self._stale = True

    def load(self, name, first, rows):
        """Write rows of the array `name`, from the shard's row `first` on."""
        getattr(self, name)[first : first + rows.shape[0]] = rows
        self._stale = True

    def forward(self, features, scale, samples, classes):
        """The first two products: logits, and the pull of all non-target classes on the embeddings. Does not wait.

        Args:
            features: (B, d) unit embeddings on this context.
            scale: s.
            samples: (t,) positions in the batch of the samples whose class is here, in the order of their classes.
            classes: (t,) these classes, counted from the shard's first.

        Returns:
            (B, 3) NDArray: reference r and sum of exp(logit - r) over all non-target classes, and their largest logit;
            (t, 2) NDArray, or None if t is 0: squared distance of those samples from their unit centre and from the
            point opposite to it.
        """
        if self._stale:
            for a, b in self._blocks:
                self._measure_norms(a, b)
            self._stale = False
        self._features, self._scale = features, scale
        self._samples, self._classes = samples, classes
        batch = features.shape[0]
        self._reserve(batch)
        self._place_masks(batch)
        scaled = features * scale
        self._log_sums = []
        for k, (a, b) in enumerate(self._blocks):
            p, log_sum, top = self._softmax(k, scaled)
            pull = nd.dot(p, self.weight[a:b])
            self._log_sums.append(log_sum)
            if k == 0:
                self._pull, reference, total, largest = pull, log_sum, nd.ones_like(log_sum), top
                continue
            # Running softmax: rescale what is there to the larger reference, so that no exponential overflows.
            higher = nd.maximum(reference, log_sum)
            keep, add = nd.exp(reference - higher), nd.exp(log_sum - higher)
            nd.broadcast_mul(pull, add, out=pull)
            nd.broadcast_mul(self._pull, keep, out=self._pull)
            nd.elemwise_add(self._pull, pull, out=self._pull)
            reference, total, largest = higher, total * keep + add, nd.maximum(largest, top)
        return nd.concat(reference, total, largest, dim=1), self._target_distances()

    def backward(self, factors, log_total, cosines, coefficients):
        """The shard's part of dL/d(unit embedding), still with its radial component.

        Args:
            factors: (B,) by which the pull of the non-target classes found in `forward` is to be multiplied.
            log_total: (B,) log-sum-exp over all classes of all shards.
            cosines: (t,) cos(theta) of this shard's samples.
            coefficients: (t,) dL/dtheta / sin(theta) of these samples.

        Returns:
            (B, d) NDArray.
        """
        nd.broadcast_mul(self._pull, self._upload(factors), out=self._pull)
        self._log_total = self._upload(log_total)
        self._target_classes = np.zeros(0, dtype=np.int64)
        if len(self._samples):
            cosines, coefficients = self._upload(cosines), self._upload(coefficients)
            # dtheta/dx and dtheta/dw are minus the unit tangents; written as differences that vanish with theta they
            # lose no digits near 0 and pi, where the products and the projection alone would.
            at_sample = self._unit_targets - cosines * self._target_features
            at_centre = self._target_features - cosines * self._unit_targets
            self._add_rows(self._pull, self._samples, -coefficients * at_sample)
            self._collect_target_rows(-coefficients * at_centre)
        return self._pull

    def update(self, lr, momentum, wd):
        """Third product and SGD, a block at a time: momentum = momentum*mom - lr*(gradient + wd*w); w += mom."""
        for k, (a, b) in enumerate(self._blocks):
            weight, gradient = self.weight[a:b], self._block_gradient(k)
            nd.sgd_mom_update(
                weight, gradient, self.momentum[a:b], lr=lr, momentum=momentum, wd=wd, out=weight
            )
            self._measure_norms(a, b)

    def gradients(self):
        """dL/dW of each block in turn: yields (c, d) NDArrays, each valid until the next is asked for."""
        for k in range(len(self._blocks)):
            yield self._block_gradient(k)

    def _reserve(self, batch):
        if batch > self._capacity:
            self._buffers = []  # freed before the larger ones are asked for
            self._buffers = [nd.empty((batch * (b - a),), self.context) for a, b in self._blocks]
            self._capacity = batch

    def _place_masks(self, batch):
        """Where each block's targets lie in its flat logits: one upload for all blocks."""
        self._bounds = np.searchsorted(self._classes, [a for a, _ in self._blocks] + [self.stop - self.start])
        self._masks = None
        if len(self._classes):
            widths = np.array([b - a for a, b in self._blocks])
            starts = np.array([a for a, _ in self._blocks])
            block = np.searchsorted(starts, self._classes, side="right") - 1
            flat = self._samples * widths[block] + self._classes - starts[block]
            self._masks = nd.array(flat, self.context, dtype="int32")
            self._masked = nd.full((len(flat),), MASKED, self.context)

    def _softmax(self, k, scaled):
        """Softmax over block k's non-target classes, each column divided by its centre's norm.

        Returns:
            (B, c), in the block's buffer; (B, 1) log-sum-exp of its logits; (B, 1) the largest of them.
        """
        (a, b), batch = self._blocks[k], scaled.shape[0]
        flat = self._buffers[k][: batch * (b - a)]
        z = flat.reshape((batch, b - a))
        inverse = self._inverse_norms[a:b].reshape((1, b - a))
        nd.dot(scaled, self.weight[a:b], transpose_b=True, out=z)
        nd.broadcast_mul(z, inverse, out=z)
        first, last = self._bounds[k], self._bounds[k + 1]
        if last > first:
            where = self._masks[first:last].reshape((1, last - first))
            nd._internal._scatter_set_nd(flat, self._masked[first:last], where, shape=flat.shape, out=flat)
        column = nd.argmax(z, axis=1)
        top = nd.pick(z, column, axis=1, keepdims=True)
        nd.softmax(z, out=z)
        # The largest probability is 1 / sum exp(z - top): the log-sum-exp costs no pass over the logits.
        log_sum = top - nd.log(nd.pick(z, column, axis=1, keepdims=True))
        nd.broadcast_mul(z, inverse, out=z)
        return z, log_sum, top

    def _target_distances(self):
        if not len(self._classes):
            return None
        classes = nd.array(self._classes, self.context, dtype="int32")
        inverse = nd.take(self._inverse_norms, classes)
        self._unit_targets = nd.take(self.weight, classes) * inverse
        self._target_inverse_norms = inverse
        self._target_features = nd.take(self._features, nd.array(self._samples, self.context, dtype="int32"))
        near = nd.square(self._target_features - self._unit_targets)
        far = nd.square(self._target_features + self._unit_targets)
        return nd.concat(nd.sum(near, axis=1, keepdims=True), nd.sum(far, axis=1, keepdims=True), dim=1)

    def _collect_target_rows(self, rows):
        """Add up the rows (t, d) of samples of the same class, divided by their centre's norm."""
        self._target_classes, position = np.unique(self._classes, return_inverse=True)
        together = np.zeros((len(self._target_classes), len(position)), dtype=np.float32)
        together[position, np.arange(len(position))] = 1
        self._target_rows = nd.dot(nd.array(together, self.context), rows * self._target_inverse_norms)

    def _block_gradient(self, k):
        (a, b), weight = self._blocks[k], self.weight[self._blocks[k][0] : self._blocks[k][1]]
        gradient, scratch = self._gradient[: b - a], self._scratch[: b - a]
        batch = self._features.shape[0]
        p = self._buffers[k][: batch * (b - a)].reshape((batch, b - a))
        share = nd.exp(self._log_sums[k] - self._log_total) * (self._scale / batch)
        nd.dot(p, self._features * share, transpose_a=True, out=gradient)
        first, last = np.searchsorted(self._target_classes, [a, b])
        if last > first:
            self._add_rows(gradient, self._target_classes[first:last] - a, self._target_rows[first:last])
        # Only the direction of a centre enters the logits: take the radial part off.
        inverse = self._inverse_norms[a:b]
        nd.elemwise_mul(weight, gradient, out=scratch)
        radial = nd.dot(scratch, self._ones) * nd.square(inverse)
        nd.broadcast_mul(weight, radial, out=scratch)
        return nd.elemwise_sub(gradient, scratch, out=gradient)

    def _measure_norms(self, a, b):
        weight, scratch = self.weight[a:b], self._scratch[: b - a]
        nd.square(weight, out=scratch)
        squares = nd.maximum(nd.dot(scratch, self._ones), SMALLEST_SQUARE)
        nd.rsqrt(squares, out=self._inverse_norms[a:b])

    def _add_rows(self, array, rows, values):
        index = nd.array(rows, self.context, dtype="int32")
        summed = nd.take(array, index) + values
        nd._internal._scatter_set_nd(array, summed, index.reshape((1, -1)), shape=array.shape, out=array)

    def _upload(self, column):
        return nd.array(column.reshape(-1, 1), self.context, dtype="float32")

"""The classifier on video features that the paper adds for iQIYI-VID (Table 9, "+ MLP"): three fully connected layers.

Input: one feature a video, the centre of its frames' embeddings, of length 1. Output: a score for each person. The
paper prints no widths; here both hidden layers have 1,024 units, each with batch normalisation, ReLU and dropout.
"""

from __future__ import annotations

import logging
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from .. import runtime
from ..errors import UserError
from ..progress import progress

_log = logging.getLogger(__name__)


class VideoMLP(nn.HybridBlock):
    """(B, d) video features → (B, persons) logits."""

    def __init__(self, features: int, persons: int, hidden: int = 1024, dropout: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        self.persons = persons
        with self.name_scope():
            self.body = nn.HybridSequential()
            for inputs in (features, hidden):
                self.body.add(
                    nn.Dense(hidden, in_units=inputs, use_bias=False, weight_initializer=mx.init.Xavier()),
                    nn.BatchNorm(in_channels=hidden),
                    nn.Activation("relu"),
                    nn.Dropout(dropout),
                )
            self.output = nn.Dense(persons, in_units=hidden, weight_initializer=mx.init.Normal(0.01))

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803 - Gluon's own name
        return self.output(self.body(x))

    def retrieval_parts(self, features: np.ndarray, batch_size: int = 4096) -> tuple[np.ndarray, np.ndarray]:
        """The log-probabilities as inner products, for `protocols.retrieval`: log p(person | video) = query . video.

        Args:
            features: (n, d) of videos.

        Returns:
            (queries, videos): (persons, hidden + 2) and (n, hidden + 2) float32.
        """
        device = self.output.weight.list_ctx()[0]
        weight, bias = (value.data(device).asnumpy() for value in (self.output.weight, self.output.bias))
        queries = np.concatenate([weight, bias[:, None], np.ones((len(weight), 1), np.float32)], axis=1)
        videos = np.empty((len(features), queries.shape[1]), np.float32)
        for start in range(0, len(features), batch_size):
            batch = mx.nd.array(features[start : start + batch_size], device, "float32")
            hidden = self.body(batch)
            logits = self.output(hidden)
            # log p = logit - log sum exp: the constant of a video is one more coordinate, which every query has as 1.
            largest = logits.max(axis=1, keepdims=True)
            constant = -(largest + (logits - largest).exp().sum(axis=1, keepdims=True).log())
            part = mx.nd.concat(hidden, mx.nd.ones_like(constant), constant, dim=1)
            videos[start : start + batch_size] = part.asnumpy()
        return queries, videos


def train_video_mlp(
    features: np.ndarray,
    labels: np.ndarray,
    persons: int | None = None,
    hidden: int = 1024,
    dropout: float = 0.5,
    epochs: int = 20,
    batch_size: int = 512,
    lr: float = 0.05,
    momentum: float = 0.9,
    wd: float = 5e-4,
    seed: int = 0,
    contexts: runtime.Devices = None,
) -> tuple[VideoMLP, list[float]]:
    """Train a VideoMLP by softmax cross-entropy, the learning rate falling to 0 on a cosine.

    Args:
        features: (n, d) float32 of the training videos. labels: (n,) persons 0 … persons - 1.

    Returns:
        (network, losses): the network on the given devices, and the mean loss of each epoch.

    Raises:
        UserError: NaN features (numbered), sizes that do not fit, or a label out of range.
    """
    features, labels = np.asarray(features, np.float32), np.asarray(labels)
    if len(features) != len(labels) or not len(labels):
        raise UserError(f"{len(features)} video features and {len(labels)} labels; there must be one label a video")
    persons = int(labels.max()) + 1 if persons is None else persons
    if labels.min() < 0 or labels.max() >= persons:
        raise UserError(f"labels go from {labels.min()} to {labels.max()}; they must be persons 0 to {persons - 1}")
    for i in np.flatnonzero(~np.isfinite(features).all(axis=1))[:1]:
        raise UserError(f"video {i} has NaN or infinite values; extract it again or leave it out")
    devices = runtime.contexts(contexts)
    random = np.random.RandomState(seed)
    mx.random.seed(seed)
    network = VideoMLP(features.shape[1], persons, hidden, dropout)
    network.initialize(ctx=devices)
    network.hybridize(static_alloc=True)
    trainer = gluon.Trainer(network.collect_params(), "sgd", {"learning_rate": lr, "momentum": momentum, "wd": wd})
    cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
    batch_size = min(batch_size, len(features))
    # The last, incomplete batch of an epoch is left out: batch normalisation cannot use a batch of one.
    steps = len(features) // batch_size
    losses = []
    for epoch in progress(range(epochs), unit="epoch", desc="video MLP"):
        order, total = random.permutation(len(features)), 0.0
        for step in range(steps):
            trainer.set_learning_rate(lr * 0.5 * (1 + np.cos(np.pi * (epoch * steps + step) / (epochs * steps))))
            chosen = order[step * batch_size : (step + 1) * batch_size]
            parts = gluon.utils.split_and_load(mx.nd.array(features[chosen]), devices, even_split=False)
            targets = gluon.utils.split_and_load(mx.nd.array(labels[chosen]), devices, even_split=False)
            with autograd.record():
                batch_losses = [cross_entropy(network(x), y) for x, y in zip(parts, targets)]
            autograd.backward(batch_losses)
            trainer.step(batch_size)
            total += sum(float(loss.sum().asscalar()) for loss in batch_losses)
        losses.append(total / (steps * batch_size))
        _log.info("video MLP, epoch %d: loss %.4f", epoch + 1, losses[-1])
    return network, losses

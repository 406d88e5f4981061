"""The labels of a global batch, checked: what every loss begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import mxnet as mx
import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from ..parallel.collectives import ContextGroup


class LabelError(UserError, ValueError):
    """A label that no shard owns: the data and the head disagree on the number of identities."""


def gather_labels(
    group: ContextGroup,
    embeddings: Sequence[mx.nd.NDArray],
    labels: Sequence[np.ndarray],
    embedding_size: int,
    num_classes: int,
) -> np.ndarray:
    """(B,) int64 identities of the global batch.

    Args:
        group: the devices.
        embeddings: one (b_i, d) NDArray a device of this process.
        labels: one (b_i,) NumPy array a device; labels are looked at on the host, so they stay there.
        embedding_size, num_classes: d, and how many identities there are.

    Raises:
        ValueError: arrays that do not fit, or labels on a device.
        LabelError: a label that is no identity.
    """
    devices = len(group.contexts)
    if len(embeddings) != devices or len(labels) != devices:
        raise ValueError(
            f"one array a context is needed: {devices} contexts, {len(embeddings)} embeddings, {len(labels)} labels"
        )
    if any(isinstance(label, mx.nd.NDArray) for label in labels):
        raise ValueError("labels are looked at on the host: give them as NumPy arrays (label.asnumpy())")
    labels = [np.asarray(label) for label in labels]
    for embedding, label in zip(embeddings, labels):
        if embedding.shape[1:] != (embedding_size,) or label.shape != (embedding.shape[0],):
            raise ValueError(
                f"embeddings {embedding.shape} and labels {label.shape} must be (b, {embedding_size}) and (b,)"
            )
    gathered = group.gather_labels(labels)
    bad = (gathered != np.floor(gathered)) | (gathered < 0) | (gathered >= num_classes)
    if bad.any():
        raise LabelError(f"a label no shard owns: {gathered[bad][0]:g}; the head has classes 0 to {num_classes - 1}")
    return gathered.astype(np.int64)

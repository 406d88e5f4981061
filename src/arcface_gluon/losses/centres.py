"""Class centres of a checkpoint."""

from __future__ import annotations

import os

import mxnet as mx
import numpy as np

from ..run_layout import head_files


def read_centres(checkpoint: str | os.PathLike[str]) -> np.ndarray | None:
    """Class centres W of a checkpoint folder, (classes, d) float32, or None where the loss has none (Triplet)."""
    parts = [mx.nd.load(str(path))["weight"].asnumpy() for path in head_files(checkpoint)]
    return np.concatenate(parts) if parts else None

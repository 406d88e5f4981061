"""Embedding networks: RGB 0..255 images to embeddings. Built by name, saved, exported and loaded."""

from __future__ import annotations

from .layers import reference_init
from .registry import get_model, model_names

__all__ = ["get_model", "model_names", "reference_init"]

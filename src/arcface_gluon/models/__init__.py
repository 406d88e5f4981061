"""Embedding networks: RGB 0..255 images to embeddings. Built by name, saved, exported and loaded."""

from __future__ import annotations

from .layers import reference_init
from .load import export_model, load_model, load_parameters, parameter_values, save_backbone
from .params_file import read_params, write_params
from .registry import get_model, model_names

__all__ = [
    "export_model",
    "get_model",
    "load_model",
    "load_parameters",
    "model_names",
    "parameter_values",
    "read_params",
    "reference_init",
    "save_backbone",
    "write_params",
]

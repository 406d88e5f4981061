"""Embedding networks: RGB 0..255 images to embeddings. Built by name, saved, exported and loaded."""

from __future__ import annotations

from .cost import multiply_additions, network_cost
from .layers import reference_init
from .load import export_model, load_model
from .normalisation import Normalisation
from .parameters import load_parameters
from .params_file import read_params, write_params
from .registry import get_model, model_names, model_options

__all__ = [
    "Normalisation",
    "export_model",
    "get_model",
    "load_model",
    "load_parameters",
    "model_names",
    "model_options",
    "multiply_additions",
    "network_cost",
    "read_params",
    "reference_init",
    "write_params",
]

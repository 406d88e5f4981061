"""Networks in the file formats of other tools, each read or written in a module of its own; `export` is the way out."""

from __future__ import annotations

from .exporting import FORMATS, export
from .metadata import metadata_of

__all__ = ["FORMATS", "export", "metadata_of"]

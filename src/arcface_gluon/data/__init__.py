"""Training records, verification sets, batches and alignment."""

from .pairs import read_bin, write_bin

__all__ = ["read_bin", "write_bin"]

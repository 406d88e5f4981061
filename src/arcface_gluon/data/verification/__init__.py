"""Verification sets: pair lists as their owners give them out, and the .bin files of encoded image pairs."""

__all__ = ["bin_file", "bin_pickle", "check", "packing", "pair_lists", "sets"]

"""Verification sets: pair lists as their owners give them out, and the .bin files of encoded image pairs."""

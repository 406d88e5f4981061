"""`python -m arcface_gluon`."""

from .cli import entry

entry()

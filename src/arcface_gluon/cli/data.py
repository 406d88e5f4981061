"""`arcface-gluon data NAME`: the data sets, one a file of datasets/."""

from __future__ import annotations

from .modules import command_of

EXAMPLE = "arcface-gluon data lfw --list pairs.txt --images lfw_aligned --out datasets/casia"

add_arguments, run = command_of("datasets")

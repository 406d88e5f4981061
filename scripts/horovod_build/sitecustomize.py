"""Run at the start of every Python process of Horovod's build: lets them import MXNet."""

import arcface_gluon  # noqa: F401 (importing it gives NumPy the names that MXNet needs)

"""The package prepares the runtime, so it comes before any test module that imports MXNet itself."""

import arcface_gluon  # noqa: F401

"""ArcFace (CVPR 2019) on MXNet/Gluon. Importing the package prepares the runtime, before MXNet is imported."""

from __future__ import annotations

import importlib

from . import runtime

__version__ = "0.1.0"

runtime.prepare()

# Resolved on first use, so that commands which need no MXNet start at once.
_EXPORTS = {
    "export": "models.formats",
    "get_model": "models",
    "load_model": "models",
    "Margin": "losses",
    "ShardedMarginHead": "losses",
}
_PACKAGES = ("data", "losses", "models", "protocols")
__all__ = ["__version__", *_EXPORTS]


def __dir__():
    return [*globals(), *_EXPORTS, *_PACKAGES]


def __getattr__(name):
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)

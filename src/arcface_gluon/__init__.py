"""ArcFace (CVPR 2019) on MXNet/Gluon. Importing the package prepares the runtime, before MXNet is imported."""

from __future__ import annotations

from . import runtime
from .lazy import lazily

__version__ = "0.1.0"

runtime.prepare()

_EXPORTS = {
    "export": "models.formats.exporting",
    "get_model": "models",
    "load_model": "models",
    "Margin": "losses",
    "ShardedMarginHead": "losses",
    **dict.fromkeys(("data", "embed", "losses", "models", "protocols", "recognition", "training"), ""),
}
__all__ = ["__version__", *_EXPORTS]
__getattr__, __dir__ = lazily(__name__, _EXPORTS)

"""A web page and a JSON service on one machine: photographs in, answers out, nothing kept."""

from ..lazy import lazily

_NAMES = {"Answers": "answers", "Limits": "answers", "create_app": "app", "serve": "serving"}
__all__ = [*_NAMES]
__getattr__, __dir__ = lazily(__name__, _NAMES)

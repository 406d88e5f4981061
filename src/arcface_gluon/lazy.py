"""Public names of a package that are resolved on first use, so that what needs no MXNet starts without it."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Mapping


def lazily(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its `__name__`.
        names: {public name: module below the package that has it}; "" for a module of the package itself.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not names[name]:
            return importlib.import_module(f".{name}", package)
        return getattr(importlib.import_module(f".{names[name]}", package), name)

    def listed() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *names})

    return get, listed

"""What a recipe names as "module:object": a network, a loss or a schedule of the user's own."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from .errors import UserError


def is_named(value: Any) -> bool:
    """Whether a text names an object of a module, such as "recipes.mine:Margin"."""
    module, colon, name = str(value).partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), name])


def load_named(option: str, value: str) -> Any:
    """The object; its module is looked for in the working folder first.

    What uses it checks that it is of the right kind before it is called: a recipe.json may come from elsewhere.

    Args:
        option: the option's name, for the message.

    Raises:
        UserError: there is no such module or object, or the module fails.
    """
    module, _, name = value.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{option}={value}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)

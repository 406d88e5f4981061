"""Values of recipes: each keeps the type of its option. Text stays text: run.name=1.10 is not 1.1."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from easydict import EasyDict

from ..errors import UserError
from .option import Option

# MXNet and file formats count in 32 bits.
_LARGEST = (1 << 31) - 1
# No option needs more; Python's parser takes time and stack for each.
_LONGEST, _DEEPEST = 10_000, 20


def parse(key: str, text: str, option: Option | None) -> Any:
    """The value that `text`, the right side of an override, has for an option.

    Args:
        key: the option's dotted name.
        option: None for a name inside a dictionary of the user's own.

    Raises:
        UserError: the text is no such value; says what is wanted.
    """
    if len(text) > _LONGEST:
        raise UserError(f"{key} has {len(text):,} letters; an option has at most {_LONGEST:,}")
    if option is None:
        return coerce(key, _literal(text), None)
    if option.types and text.lower() in ("none", ""):
        return coerce(key, None if text else "", option)
    if option.kinds() == (str,):
        return coerce(key, _unquoted(text), option)
    value = _literal(text)
    if option.kinds() == (list,) and not isinstance(value, (list, tuple)):
        parts = [part.strip() for part in text.strip("[]()").split(",") if part.strip()]
        value = [_unquoted(part) if option.items == (str,) else _literal(part) for part in parts]
    return coerce(key, value, option)


def coerce(key: str, value: Any, option: Option | None) -> Any:
    """`value` as the option holds it: a whole number becomes a float, a tuple a list.

    Raises:
        UserError: it has another type, or is out of every range.
    """
    _check(key, value)
    if option is None or (option.types and value is None):
        return value
    kinds = option.kinds()
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, int) and not isinstance(value, bool) and kinds == (float,):
        value = float(value)
    if isinstance(value, dict) and option.own_names:
        return EasyDict(value)
    if not _is_one(value, kinds):
        raise UserError(f"{key}={_shown(value)} must be {_names(kinds)}, such as {_shown(option.default)}")
    for item in value if isinstance(value, list) and option.items else ():
        if not _is_one(item, option.items):
            raise UserError(f"{key}: {_shown(item)} must be {_names(option.items)}, as every item of the list")
    return value


def _is_one(value, kinds):
    # True and False are of type int to Python.
    return isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


def _check(key, value, depth=0):
    """Refuse, anywhere in the value, numbers that are none or that nothing counts to, and what no JSON holds."""
    if depth > _DEEPEST:
        raise UserError(f"{key} is nested more than {_DEEPEST} deep")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} must be a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise UserError(f"{key} must be a number from {-_LARGEST:,} to {_LARGEST:,}")
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or hasattr(dict, name):  # EasyDict would lose its own `items`
                raise UserError(f"{key}: {name!a:.60} cannot be the name of an option")
            _check(key, item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(key, item, depth + 1)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise UserError(f"{key}: {type(value).__name__} is no value of an option")


def _literal(text):
    """The Python literal that a text is, or itself; true, false and none in any case."""
    if sum(text.count(bracket) for bracket in "([{-+~") > 1000:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _unquoted(text):
    """Text, or what is between its quotes if it is one string of Python."""
    if re.fullmatch(r"'[^'\\]*'|\"[^\"\\]*\"", text):
        return text[1:-1]
    return text


def _names(kinds):
    return "/".join({"str": "text", "dict": "a dictionary"}.get(kind.__name__, kind.__name__) for kind in kinds)


def _shown(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"

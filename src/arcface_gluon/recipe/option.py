"""What an option of a recipe is: its default, meaning, range and type, declared together in recipes/base.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

from ..named import is_named


class Range(NamedTuple):
    """Which values an option may have: a test, how it is listed, and how another value is refused."""

    test: Callable[[Any], bool]
    text: str
    refusal: str


POSITIVE = Range(lambda value: value > 0, "above 0", "must be above 0")
NOT_NEGATIVE = Range(lambda value: value >= 0, "0 or more", "must not be negative")
PROBABILITY = Range(lambda value: 0 <= value <= 1, "0 to 1", "must be a probability, from 0 to 1")
BELOW_ONE = Range(lambda value: 0 <= value < 1, "0 to below 1", "must be at least 0 and below 1")
REDUCTIONS = 1, 2, 4, 8  # times smaller than it is that a JPEG can be decoded
REDUCTION = Range(lambda value: value in REDUCTIONS, "1, 2, 4 or 8", "must be 1, 2, 4 or 8")
SHARE = Range(lambda value: 0 < value <= 1, "above 0, up to 1", "must be above 0 and at most 1")


def one_of(*choices: str, own: bool = False) -> Range:
    """The range of an option that is one of some words or, if `own`, names an object of the user's as module:object."""
    words = ", ".join([*choices, *["module:object"] * own])
    return Range(lambda value: value in choices or (own and is_named(value)), words, f"choose one of {words}")


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        default: its value where nothing else is said; it fixes the type.
        meaning: what it is, with the unit.
        allowed: its Range; None: every value of the type.
        types: what it may hold besides None, where the default is None.
        items: what a list holds.
        own_names: whether it is a dictionary whose names are the user's own.
    """

    default: Any
    meaning: str = ""
    allowed: Range | None = None
    types: tuple = ()
    items: tuple = ()
    own_names: bool = False

    def kinds(self) -> tuple:
        """Types that a value may have."""
        return self.types or ((list,) if isinstance(self.default, (list, tuple)) else (type(self.default),))

    def describe(self) -> str:
        """Meaning and range in a line."""
        return self.meaning + (f" [{self.allowed.text}]" if self.allowed else "")


def declared(tree: dict, prefix: str = "") -> dict[str, Option]:
    """Dotted name → Option of a tree of options, as recipes/base.py has it; other leaves are options without a text."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(declared(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value if isinstance(value, Option) else Option(value)
    return flat

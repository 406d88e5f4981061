"""Options that several networks have, and the ranges that theirs are made of."""

from __future__ import annotations

from typing import Any, Callable

from ..recipe.option import Option, Range
from .normalisation import INPUT_SCALE, PIXEL_MEAN


def is_number(value: Any) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def must_be(text: str, test: Callable[[Any], bool]) -> Range:
    """The range of values that pass the test, in words."""
    return Range(test, text, f"must be {text}")


def between(low: float, high: float) -> Range:
    """The range of numbers from `low` to `high`, both included."""
    return must_be(f"between {low:g} and {high:g}", lambda value: is_number(value) and low <= value <= high)


def numbers_between(low: float, high: float) -> Range:
    """The range of a number from `low` to `high`, or of three of them."""

    def test(value):
        items = value if isinstance(value, (list, tuple)) else [value]
        return len(items) in (1, 3) and all(is_number(item) and low <= item <= high for item in items)

    return must_be(f"a number between {low:g} and {high:g}, or three, one a channel", test)


def _four_counts(value):
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(is_count(n) and n <= 100 for n in value)


def _sides(value):
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    return len(pair) == 2 and all(is_count(side) and 16 <= side <= 4096 for side in pair)


FOUR_COUNTS = must_be("four counts, 1 to 100", _four_counts)
FLAG = must_be("True or False", lambda value: isinstance(value, bool))
EMBEDDING_SIZE = Option(512, "values of an embedding", must_be("a count above 0", is_count))
INPUT_SIZE = Option(
    112, "pixels", must_be("a side in pixels, or height and width (such as 112,96), of 16 to 4096", _sides)
)
# The normalisation in the network, as `Backbone` takes it.
PIXELS = {
    "input_scale": Option(INPUT_SCALE, "what (x - input_mean) is multiplied by, 1 / std", numbers_between(1e-5, 1000)),
    "input_mean": Option(
        PIXEL_MEAN, "what is taken off RGB 0..255, a number or one a channel", numbers_between(-1000, 1000)
    ),
    "bgr": Option(False, "the network takes blue, green, red", FLAG),
}

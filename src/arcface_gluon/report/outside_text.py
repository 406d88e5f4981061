"""Names from outside (of sets, runs, people) as labels of figures and as Markdown; HTML escapes by `html.element`."""

from __future__ import annotations

import re

_LONGEST = 40  # letters of a label


def figure_label(name: object) -> str:
    r"""A name as matplotlib shows it letter by letter: `$` is no mathematics, and a leading `_` hides nothing."""
    text = _one_line(name)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def markdown_text(text: object) -> str:
    """A text as Markdown that shows it letter by letter, in a cell of a table, too."""
    text = re.sub(r"([\\`*<>|$\[\]~])", r"\\\1", _one_line(text))
    # Within a word an underscore is only itself.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _one_line(text):
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else " " for letter in str(text)).strip()

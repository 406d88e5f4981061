"""Self-contained HTML pages, built from elements that escape their text."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Iterable, Sequence

_EMPTY = ("img", "link", "meta")  # elements without an end tag
# First bytes of the image formats that every browser shows.
_IMAGE_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif", b"BM": "image/bmp"}


class Markup(str):
    """Text that is HTML already. Every other string is escaped when it is put into an element."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """`<name attributes>children</name>`; text children and attribute values are escaped, None children left out.

    A trailing underscore of an attribute name is dropped (`class_`), others become hyphens (`aria_label`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    end = "" if name in _EMPTY else f"</{name}>"
    return Markup(f"<{name}{written}>{join(*children)}{end}")


def join(*parts: object) -> Markup:
    """Markup and escaped text, one after the other."""
    known = (part for part in parts if part is not None)
    return Markup("".join(part if isinstance(part, Markup) else escape(str(part)) for part in known))


def table(
    heads: Sequence[str],
    rows: Iterable[Iterable[object]],
    caption: str | None = None,
    texts: Sequence[str] = (),
    kind: str | None = None,
) -> Markup:
    """A table that scrolls sideways where it is too wide.

    Args:
        rows: lists of cells; the first cell of each is its head.
        texts: heads of the columns to align left, besides the first; the others hold numbers.
        kind: CSS class.
    """
    sides = ["text" if index == 0 or head in texts else "number" for index, head in enumerate(heads)]
    titles = (element("th", head, scope="col", class_=side) for head, side in zip(heads, sides))
    body = []
    for first, *rest in rows:
        cells = (element("td", cell, class_=side) for cell, side in zip(rest, sides[1:]))
        body.append(element("tr", element("th", first, scope="row", class_="text"), *cells))
    head = element("thead", element("tr", *titles))
    content = element("table", head, element("tbody", *body), **({"class_": kind} if kind else {}))
    # Not a <caption>, which would be squeezed to the width of a narrow table.
    note = element("p", caption, class_="note") if caption else None
    return join(note, element("div", content, class_="scroll"))


def section(title: str, *children: object) -> Markup:
    """A heading with what belongs to it."""
    return element("section", element("h2", title), *children)


def fold(title: str, *children: object) -> Markup:
    """Content that a click opens, and that is open in print."""
    return element("details", element("summary", title), *children)


def picture(data: bytes, alt: str) -> Markup:
    """An encoded image as a data URI, or its description where no browser shows its format."""
    for start, kind in _IMAGE_TYPES.items():
        if data.startswith(start):
            source = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
            return element("img", src=source, alt=alt)
    return element("span", f"{alt}: no preview of its format", class_="noimage")


def page(title: str, *children: object) -> str:
    """A whole document that needs nothing beside itself: style inside, no scripts, no requests."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href="data:,"),  # else browsers ask the server for one
        element("style", Markup(style)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{element("body", element("main", *children))}\n</html>\n'

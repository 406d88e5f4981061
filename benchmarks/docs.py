"""The tables of a run in docs/benchmarks.md: one section a machine, one part a benchmark; other machines' stay.

A machine's first part is its table of goals, made anew of all its parts.
"""

from __future__ import annotations

import re
from pathlib import Path

from arcface_gluon.files import atomic_write

from .tables import goal_table

GOALS = "Goals"
END = "<!-- end of this machine -->"


def write(path: Path, machine: str, header: str, tables: dict[str, str]) -> None:
    """Put tables into the page's section for a machine, in the place of those of the same benchmarks.

    Args:
        path: a Markdown page; a new machine's section comes before all other machines'.
        machine: names the section. header: a sentence under each table's title: when and with what it was measured.
        tables: {benchmark: its part, as `tables.part` makes it}.
    """
    text = path.read_text(encoding="utf-8")
    begin = f"<!-- machine: {machine} -->"
    start = text.find(begin)
    if start < 0:
        first = re.search(r"^<!-- machine: ", text, re.MULTILINE)
        start = stop = first.start() if first else len(text)
        parts = {}
    else:
        stop = text.index(END, start) + len(END) + 2
        parts = dict(re.findall(r"^### (.*)\n\n((?:(?!### |<!-- ).*\n)*)", text[start:stop], re.MULTILINE))
    parts.pop(GOALS, None)
    parts.update({name: f"{header}\n\n{table}\n\n" for name, table in tables.items()})
    goals = goal_table(parts)
    parts = {**({GOALS: f"{goals}\n\n"} if goals else {}), **parts}
    body = "".join(f"### {name}\n\n{part}" for name, part in parts.items())
    with atomic_write(path, "w") as file:
        file.write(f"{text[:start]}{begin}\n\n## {machine}\n\n{body}{END}\n\n{text[stop:]}")

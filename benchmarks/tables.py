"""Rows of the benchmarks as Markdown, and the table of goals that is made of these tables."""

from __future__ import annotations

import re
from typing import Mapping, Sequence

from .goals import judged, unmeasured

COLUMNS = ("value", "unit", "floor", "by", "ratio", "spread", "goal", "verdict")
_GOALS = ("ratio", "spread", "goal", "verdict")


def part(benchmark: str, rows: Sequence[dict], quick: bool = False) -> str:
    """The table of a benchmark, what its rows are made of where that is known, and the goals that were not measured."""
    made = [f"- {row['what']}, made of: {row['profile']}" for row in rows if row.get("profile")]
    left = (
        [] if quick else [f"- not measured in this run: `{goal.row}`, {goal}" for goal in unmeasured(benchmark, rows)]
    )
    return "\n\n".join(filter(None, (table(rows), "\n".join(made), "\n".join(left))))


def table(rows: Sequence[dict]) -> str:
    """Rows as a Markdown table; columns that are empty in all rows are left out."""
    columns = [column for column in COLUMNS if any(row.get(column) is not None for row in rows)]
    lines = [f"| what | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for row in rows:
        lines.append(f"| {row['what']} | {' | '.join(_cell(row.get(column)) for column in columns)} |")
    return "\n".join(lines)


def goal_table(parts: Mapping[str, str]) -> str:
    """A table of all rows with a goal, from the parts of the benchmarks as `part` makes them; "" where there is none.

    It is made of what stands in the tables, so that it says the same as they do, whichever runs these are of.
    """
    lines = []
    for benchmark, text in parts.items():
        made = dict(re.findall(r"^- (.*), made of: (.*)$", text, re.MULTILINE))
        for row in judged(benchmark, _rows(text)):
            if "goal" in row:
                why = made.get(row["what"], "see the remarks") if row["verdict"].startswith("missed") else ""
                cells = [benchmark, row["what"], *(_cell(row.get(key)) for key in _GOALS), why]
                lines.append(f"| {' | '.join(cells)} |")
    head = f"| benchmark | what | {' | '.join(_GOALS)} | made of |", "| --- | --- | ---: | ---: | --- | --- | --- |"
    return "\n".join([*head, *lines]) if lines else ""


def _rows(text):
    """What, ratio and spread of the rows of a table that `table` made."""
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    names = [name.strip() for name in cells[0]] if cells else []
    for row in cells[2:]:
        found = {name: cell.strip() for name, cell in zip(names, row)}
        numbers = {key: float(found[key].replace(",", "")) for key in ("ratio", "spread") if found.get(key)}
        yield {"what": found["what"], **numbers}


def _cell(value):
    if value is None:
        return ""
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, (int, float))
        else str(value)
    )

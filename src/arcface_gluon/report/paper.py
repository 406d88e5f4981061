"""The paper's printed numbers (paper_tables.json) and which of a run's numbers stand beside them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Mapping

from ..data.catalogue.table1 import TRAINING_SIZES, is_whole_training_set


@functools.lru_cache(maxsize=None)
def paper_tables() -> dict:
    """{table key: table} in the paper's order.

    A table has `number`, `title`, `unit`, `decimals`, `columns`, `rows` ({row: values in the columns' order, null where
    the paper prints a dash}) and `cited`, the rows that the paper took from other works; some have a `setting`.
    """
    text = (Path(__file__).parent / "paper_tables.json").read_text(encoding="utf-8")
    return json.loads(text)["tables"]


def paper_rows(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(table key, row) pairs that stand beside a run: the one that its recipe names, then its namesakes.

    The recipe's `paper` is {"table": key, "row": row}, or empty. The paper prints one trained model in several tables
    under one name ("MS1MV2, R100, ArcFace" in Tables 4 to 7; "MS1MV2" in Table 8), but
    the ArcFace of Table 2, which is "CASIA, R50, ArcFace" in Table 6.
    """
    named = recipe.get("paper") or {}
    key, row = named.get("table"), named.get("row")
    tables = paper_tables()
    if key not in tables or row not in tables[key]["rows"]:
        return []
    model = _model(key, row)
    same = [(other, name) for other, table in tables.items() for name in table["rows"] if _model(other, name) == model]
    return [(key, row), *(pair for pair in same if pair != (key, row))]


def _model(key, row):
    # Table 2 names the loss only, of its "CASIA, ResNet50"; Table 8 the training set, of "ResNet100, ArcFace".
    if (key, row) == ("table2_losses", "ArcFace (0.5)"):
        return "CASIA, R50, ArcFace"
    return f"{row}, R100, ArcFace" if key == "table8_trillion_pairs" else row


def paper_value(key: str, row: str, column: str) -> float | None:
    """The paper's cell, None where it has none."""
    table = paper_tables()[key]
    return dict(zip(table["columns"], table["rows"].get(row, ()))).get(column)


def is_papers_training_set(key: str, row: str, data: object) -> bool:
    """Whether a run was trained on the set that a row of the paper names, judged by its size.

    Args:
        data: the summary's `data`, with `identities` and `images`; Table 1 rounds them to one or two digits.
    """
    text = f"{paper_tables()[key].get('setting', '')} {row}"
    name = next((name for name in TRAINING_SIZES if name in text), None)
    if name is None or not isinstance(data, dict):
        return False
    return is_whole_training_set(name, data.get("identities"), data.get("images"))

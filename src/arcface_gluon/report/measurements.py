"""Everything measured under runs/ that has a place in the paper's Tables 2 to 9.

Two sources. A run whose recipe names a row of the paper (`paper`) gives its verification accuracies from summary.json.
Every other protocol writes runs/<name>/results/<any name>.json, a list of measurements:

    [{"table": "table6_megaface", "row": "MS1MV2, R100, ArcFace, R", "column": "Ver: TAR at FAR 1e-6",
      "value": 98.31, "data": "MegaFace, refined", "model": "runs/ms1mv2_r100", "date": "2026-11-24",
      "command": "make eval-megaface RECIPE=ms1mv2_r100 DATA=/data/megaface", "paper_data": true,
      "mode": {"flip": true, "norm_weight": false, "detector_score": false, "rule": "a tie is a success"}}]

    table, column   a key and a column of paper_tables.json
    row             a row of it, or a name of one's own, which is added below the paper's
    value           a number in the table's unit (per cent, degrees or fraction)
    data, model     what it was measured on and with; measurements that agree in both are averaged (seeds)
    date            YYYY-MM-DD
    command         what was run
    paper_data      true only where training and test data are the paper's own, measured in its mode: only then is a
                    difference printed, and only then does the measurement fill the paper's cell; false where left out
    mode            how it was measured (`report.mode`); "not noted" where left out
    demo            true for a demo set, whose numbers enter no table of the paper; false where left out
    checksum        of the entry, so that a later change is told; may be left out
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Mapping

from ..data.verification.sets import SET_COLUMNS, SETS, known_set
from ..errors import UserError
from ..files import read_json, unseal
from ..protocols.verification import one_kind
from ..run_layout import RECIPE, SUMMARY
from .mode import Mode, papers_mode, papers_mode_of_set
from .paper import is_papers_training_set, paper_rows, paper_tables
from .verification_store import load_verification


@dataclass(frozen=True)
class Measurement:
    """One measured number and where it belongs."""

    table: str
    row: str
    column: str
    value: float
    data: str
    model: str
    date: str
    command: str
    paper_data: bool = False
    mode: Mode | None = None
    demo: bool = False


def collect(runs_dir: str | os.PathLike[str], demos: bool = False) -> tuple[list[Measurement], list[str]]:
    """(measurements, problems): all that is measured under a folder of runs, and a line for what cannot be used.

    Args:
        runs_dir: the folder, or that of one run.
        demos: take those of demo sets too.

    Raises:
        UserError: there is no such folder.
    """
    runs_dir = Path(runs_dir)
    if not runs_dir.is_dir():
        raise UserError(f"{runs_dir} is not there: train something first, or name the folder of the runs")
    found, problems = [], []
    for path in sorted(runs_dir.rglob(SUMMARY)):
        _attempt(_from_summary, path, found, problems)
    for path in sorted(runs_dir.rglob("results/*.json")):
        _attempt(_from_results, path, found, problems)
    return [one for one in found if demos or not one.demo], problems


def _attempt(read, path, found, problems):
    try:
        found += read(path)
    except UserError as error:
        problems.append(str(error))


def _from_summary(path):
    recipe_path = path.with_name(RECIPE)
    if not recipe_path.exists():
        return []  # of something that is not a training run
    summary, recipe = read_json(path), read_json(recipe_path)
    try:
        model = run_title(path.parent.name, recipe["network"]["name"], summary["iterations"])
        command = f"arcface-gluon train {summary.get('recipe', path.parent.name)}"
        found = []
        for name, measures in summary.get("verification", {}).items():
            told = {"model": model, "date": summary.get("date", ""), "command": command}
            told["mode"] = papers_mode_of_set(name)
            found += of_verification(recipe, summary.get("data"), name, _with_set(path, name, measures), **told)
        return found
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} or the recipe beside it is not a run's ({type(error).__name__}: {error})") from error


def run_title(name: str, network: str, iterations: int) -> str:
    """What a run is called in the tables."""
    return f"{name}: {network}, {iterations:,} iterations"


def of_verification(
    recipe: Mapping,
    trained: dict | None,
    set_name: str,
    measures: dict,
    row: str | None = None,
    otherwise: str | None = None,
    **told: Any,
) -> list[Measurement]:
    """What a verification gives the tables of the paper; nothing where they have no column for its set.

    Args:
        recipe: of the run that trained the model; empty for others. trained: what its summary says of the data.
        measures: `VerificationResult.to_json` with `whole_set`.
        row: row of the tables that the model reproduces; None: those that the recipe names.
        otherwise: row of a model whose recipe names none; None: it has none.
        told: model, date, command and mode.
    """
    known = known_set(set_name)
    if known not in SET_COLUMNS or one_kind(measures):
        return []
    tables, column = paper_tables(), SET_COLUMNS[known]
    if row is not None:
        rows = [(key, row) for key, table in tables.items() if row in table["rows"]]
    else:
        rows = paper_rows(recipe) or [(key, otherwise) for key in SETS[known].tables if otherwise is not None]
    alike = measures["whole_set"] and told["mode"] == papers_mode_of_set(set_name)
    return [
        Measurement(
            table=key,
            row=name,
            column=column,
            value=100 * measures["accuracy"],
            data=tested_on(recipe.get("data", {}).get("path") or "not trained here", set_name, measures),
            paper_data=bool(alike and (row is not None or is_papers_training_set(key, name, trained))),
            **told,
        )
        for key, name in rows
        if column in tables[key]["columns"]
    ]


def _with_set(path, name, measures):
    """Measures of a summary, with `whole_set`: summaries of earlier versions have not looked at the pairs' order."""
    stored = path.parent / "verification" / f"{name}.npz"
    if "whole_set" in measures or not stored.is_file():
        return {"whole_set": False, **measures}
    return {**measures, "whole_set": load_verification(stored).measures["whole_set"]}


def tested_on(trained_on: str, set_name: str, measures: dict) -> str:
    """The data that a verification is of: those trained on, and what its set is where it is not the whole one."""
    if measures["whole_set"]:
        return trained_on
    known = known_set(set_name)
    pairs, wanted = measures.get("pairs"), SETS[known].pairs if known else None
    what = "not its list of pairs" if pairs in (None, wanted) else f"{pairs:,} pairs only"
    return f"{trained_on}; {what}"


def _from_results(path):
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError(f"{path} does not hold a list of measurements")
    return [_checked(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, start=1)]


def _checked(entry, where):
    names = {field.name: field for field in fields(Measurement)}
    if not isinstance(entry, dict):
        raise UserError(f"{where} is not a measurement but {type(entry).__name__}")
    entry = unseal(entry, where)
    missing = [name for name in names if name not in entry and name not in ("paper_data", "mode", "demo")]
    if missing or set(entry) - set(names):
        wrong = (
            f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(sorted(set(entry) - set(names)))}"
        )
        raise UserError(f"{where} {wrong}; a measurement has {', '.join(names)}")
    table = paper_tables().get(entry["table"])
    if table is None:
        raise UserError(f"{where}: no table {entry['table']!r}; there are {', '.join(paper_tables())}")
    if entry["column"] not in table["columns"]:
        raise UserError(
            f"{where}: {entry['table']} has no column {entry['column']!r} but {', '.join(table['columns'])}"
        )
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(f"{where}: the value {value!r} is not a number")
    usual, mode = papers_mode(entry["table"], entry["column"]), entry.get("mode")
    # Before modes were noted, the mirror was added everywhere but in YTF's videos.
    mode = Mode.read(mode, where) if mode is not None else None
    alike = mode == usual if mode else usual.flip or entry["column"] == SETS["ytf"].title
    return Measurement(**{**entry, "mode": mode, "paper_data": bool(entry.get("paper_data") and alike)})

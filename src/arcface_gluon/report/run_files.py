"""What a run folder holds, read so that a report can be made of a run that is unfinished, killed or partly deleted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from ..data.demos import is_demo_name
from ..errors import UserError
from ..files import read_json
from ..run_layout import METRICS, RECIPE, SUMMARY
from ..training.log import read_metrics
from .figures.angles import PHASE_STYLES
from .unseen import UnseenResult, load_unseen, unseen_names
from .verification_store import StoredVerification, checked_measures, load_verification

_LARGEST = 1e15  # a number in metrics.jsonl that can be drawn


@dataclass(frozen=True)
class RunFiles:
    """The contents of runs/<name>/. `notes` has a line for each part that is missing or cannot be read."""

    folder: Path
    recipe: dict
    metrics: list[dict]
    summary: dict
    verifications: list[StoredVerification]
    written: str
    notes: list[str]
    unseen: list[UnseenResult]

    @property
    def name(self) -> str:
        folder = self.folder.resolve()
        of_demos = bool(self.measures) and all(map(is_demo_name, self.measures))
        return f"{folder.parent.name}, {folder.name}" if of_demos and folder.name == "demo" else folder.name

    @property
    def measures(self) -> dict[str, dict]:
        """{set: measures} of every verification set: the stored ones, which `verify` renews, and the summary's."""
        stored = {found.name: found.measures for found in self.verifications}
        summary = _dictionary(self.summary.get("verification"))
        names = dict.fromkeys([*summary, *stored])
        return {name: {**checked_measures(_dictionary(summary.get(name))), **stored.get(name, {})} for name in names}


def read_run(run_dir: str | os.PathLike[str]) -> RunFiles:
    """Read a run folder.

    Raises:
        UserError: there is no such folder, or nothing of a run is in it.
    """
    folder, notes = Path(run_dir), []
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder")
    paths = [folder / name for name in (RECIPE, METRICS, SUMMARY)]
    stored = sorted((folder / "verification").glob("*.npz"))
    there = [path for path in [*paths, *stored] if path.exists()]
    if not there:
        raise UserError(f"{folder} is not a run folder: it has no {RECIPE}, {METRICS} or {SUMMARY}")
    summary = _read_dictionary(paths[2], "environment, speed and memory are left out", notes)
    # The summary's order of sets is the recipe's.
    order = list(_dictionary(summary.get("verification")))
    verifications = [found for found in (_attempt(load_verification, path, notes) for path in stored) if found]
    verifications.sort(key=lambda found: order.index(found.name) if found.name in order else len(order))
    # The run's own date, so that the report of an old run does not look new.
    written = datetime.fromtimestamp(max(path.stat().st_mtime for path in there), timezone.utc)
    return RunFiles(
        folder=folder,
        recipe=_read_dictionary(paths[0], "the recipe is left out", notes),
        metrics=_read_metrics(paths[1], notes),
        summary=summary,
        verifications=verifications,
        written=written.strftime("%Y-%m-%d %H:%M UTC"),
        notes=notes,
        unseen=[
            found for name in unseen_names(folder) if (found := _attempt(partial(load_unseen, folder), name, notes))
        ],
    )


def _read_dictionary(path, consequence, notes):
    if not path.exists():
        notes.append(f"{path.name} is missing: {consequence}.")
        return {}
    content = _attempt(read_json, path, notes)
    if content is not None and not isinstance(content, dict):
        notes.append(f"{path.name} does not hold a dictionary: {consequence}.")
    return _dictionary(content)


def _read_metrics(path, notes):
    if not path.exists():
        notes.append("metrics.jsonl is missing: the curves are left out.")
        return []
    return [_usable(row) for row in read_metrics(path) if abs(row["iteration"]) < _LARGEST]


def _usable(row):
    """A line of metrics.jsonl without values of other types than the figures draw: a flipped bit may have made them."""
    kept: dict[str, Any] = {
        key: value for key, value in row.items() if isinstance(value, (int, float)) and not abs(value) > _LARGEST
    }
    kept = {key: value for key, value in kept.items() if key not in ("verification", "target_angles")}
    sets = _dictionary(row.get("verification"))
    if sets:
        kept["verification"] = {name: checked_measures(_dictionary(values)) for name, values in sets.items()}
    angles = _dictionary(row.get("target_angles"))
    counts = angles.get("counts")
    whole = isinstance(counts, list) and len(counts) == 180 and all(isinstance(n, int) and n >= 0 for n in counts)
    known = str(angles.get("phase")) in PHASE_STYLES and isinstance(angles.get("first"), int)
    if whole and known and 0 < sum(counts) < _LARGEST:
        kept["target_angles"] = angles
    return kept


def _attempt(read, path, notes):
    try:
        return read(path)
    except UserError as error:
        notes.append(f"{error}.")
        return None


def _dictionary(value):
    return value if isinstance(value, dict) else {}

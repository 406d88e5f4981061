"""What a run reaches on all pairs of unseen people, kept as unseen/<set>.json in its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Mapping, Sequence

import numpy as np

from ..errors import UserError
from ..files import read_json, unseal, write_json
from ..protocols.unseen_pairs import Interval, PairCounts, draw_identities, pair_measures, paired_interval
from ..run_layout import METRICS, RECIPE
from ..training.log import read_metrics

UNSEEN = "unseen"


@dataclass(frozen=True)
class UnseenResult:
    """One model on one set of people.

    Attributes:
        name: of the set.
        facts: how it was measured; results of equal facts need not be measured again.
        images, identities, genuine, impostors: counts.
        measures: {measure: value}, per cent.
        draws: {measure: (R,)}, per cent: the same for drawn identities.
    """

    name: str
    facts: dict
    images: int
    identities: int
    genuine: int
    impostors: int
    measures: dict[str, float]
    draws: dict[str, np.ndarray]

    def interval(self, measure: str) -> Interval:
        """Of this model, over people."""
        return paired_interval(np.array([self.measures[measure]]), self.draws[measure][None])


def save_unseen(run: str | os.PathLike[str], name: str, facts: dict, images: int, counts: PairCounts) -> UnseenResult:
    """Measure the pairs, keep the result in the run's folder, and give it.

    Args:
        name: of the set.
        facts: how it was measured (checkpoint, mode, digest of the set).
        images: how many.
    """
    identities = len(counts.genuine)
    drawn = pair_measures(counts, draw_identities(identities))
    value = {
        "set": name,
        "facts": facts,
        "images": images,
        "identities": identities,
        "genuine": int(counts.genuine.sum()),
        "impostors": int(counts.impostor.sum()),
        "measures": {measure: 100 * float(found[0]) for measure, found in pair_measures(counts).items()},
        "draws": {measure: np.round(100 * found, 5).tolist() for measure, found in drawn.items()},
    }
    folder = Path(run) / UNSEEN
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{name}.json", value, sealed=True)
    return _result(value)


def load_unseen(run: str | os.PathLike[str], name: str) -> UnseenResult | None:
    """What was kept; None where nothing was, or of an older layout.

    Raises:
        UserError: the file is damaged.
    """
    path = Path(run) / UNSEEN / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return _result(unseal(read_json(path), path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged; delete it, and measure again") from error


def unseen_names(run: str | os.PathLike[str]) -> list[str]:
    """Sets that a run was measured on."""
    return sorted(path.stem for path in (Path(run) / UNSEEN).glob("*.json"))


def _result(value: dict[str, Any]) -> UnseenResult:
    return UnseenResult(
        *(value["set"], value["facts"], value["images"], value["identities"], value["genuine"], value["impostors"]),
        {str(measure): float(found) for measure, found in value["measures"].items()},
        {str(measure): np.asarray(found, np.float64) for measure, found in value["draws"].items()},
    )


def training_accuracy(run: str | os.PathLike[str]) -> float | None:
    """Share of training images nearest to their own class centre, margin aside, in the run's last tenth; per cent.

    None for a loss without class centres.
    """
    recipe = read_json(Path(run) / RECIPE)
    rows: Sequence[Mapping] = [row for row in read_metrics(Path(run) / METRICS) if "accuracy" in row]
    if recipe["head"]["kind"] == "triplet" or not rows:
        return None
    return 100 * mean(row["accuracy"] for row in rows if row["iteration"] > 0.9 * rows[-1]["iteration"])

"""What a run reaches on all pairs of unseen people, kept as unseen/<set>.json in its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ..errors import UserError
from ..files import read_json, write_json
from ..protocols.unseen_conditions import ConditionRates, rates_by_condition
from ..protocols.unseen_pairs import (
    FARS,
    Interval,
    count_pairs,
    draw_identities,
    pair_measures,
    paired_interval,
    tar_name,
)
from ..protocols.unseen_quality import (
    cosine_at,
    det_curve,
    false_accept_rate,
    identity_errors,
    promised_cosines,
    rates_by_norm,
)
from ..run_layout import METRICS, RECIPE
from ..training.log import read_metrics
from .verification_store import StoredVerification

UNSEEN = "unseen"
_WORST = 10  # identities that are named
_QUANTILES = (0.5, 0.9, 1.0)  # of the identities' shares of refused genuine pairs


@dataclass(frozen=True)
class UnseenResult:
    """One model on one set of people.

    Attributes:
        name: of the set.
        facts: how it was measured; results of equal facts need not be measured again.
        images, identities, genuine, impostors: counts.
        measures: {measure: value}, per cent.
        draws: {measure: (R,)}, per cent: the same for drawn identities.
        quality: what one rate hides, see `_quality`; shares, not per cent.
    """

    name: str
    facts: dict
    images: int
    identities: int
    genuine: int
    impostors: int
    measures: dict[str, float]
    draws: dict[str, np.ndarray]
    quality: dict

    def interval(self, measure: str) -> Interval:
        """Of this model, over people."""
        return paired_interval([self.measures[measure]], [self.draws[measure]], self.identities)


def save_unseen(
    run: str | os.PathLike[str],
    name: str,
    facts: dict,
    embeddings: np.ndarray,
    labels: np.ndarray | Sequence[int],
    verifications: Sequence[StoredVerification] = (),
    conditions: Mapping[str, Sequence[str]] | None = None,
) -> UnseenResult:
    """Measure all pairs, keep the result in the run's folder, and give it.

    Args:
        name: of the set.
        facts: how it was measured (checkpoint, mode, digest of the set).
        embeddings: (n, d), before normalisation. labels: (n,).
        verifications: of the same model, whose thresholds are tried on these people.
        conditions: {condition: value of each image}, as of a conditions.csv.

    Raises:
        UserError: an embedding is zero or not finite, or there are no genuine or impostor pairs.
    """
    labels = np.asarray(labels)
    counts = count_pairs(embeddings, labels)
    identities = len(counts.genuine)
    shares, drawn = counts.shares(), counts.shares(draw_identities(identities))
    quality = _quality(counts, shares, drawn, embeddings, labels, verifications)
    if conditions:
        quality["conditions"] = _by_conditions(embeddings, labels, conditions, quality["cosine"])
    value = {
        "set": name,
        "facts": facts,
        "images": len(labels),
        "identities": identities,
        "genuine": int(counts.genuine.sum()),
        "impostors": int(counts.impostor.sum()),
        "measures": {measure: 100 * float(found[0]) for measure, found in pair_measures(shares).items()},
        "draws": {measure: np.round(100 * found, 5).tolist() for measure, found in pair_measures(drawn).items()},
        "quality": quality,
    }
    path = _place(run, name)
    path.parent.mkdir(exist_ok=True)
    write_json(path, value, sealed=True)
    return _result(value)


def _quality(counts, shares, drawn, embeddings, labels, verifications):
    """Shares: the DET curve; errors by identity and by norm at a stated FAR; thresholds of verification sets tried."""
    det = det_curve(shares, drawn)
    far = max((far for far in FARS if far <= 1e-3 and tar_name(far) in shares.measures), default=FARS[0])
    cosine = cosine_at(shares, far)
    refused, accepted = identity_errors(counts, cosine)
    known = np.flatnonzero(~np.isnan(refused))
    worst = known[np.argsort(-refused[known], kind="stable")][:_WORST]
    names = np.unique(labels)
    promises = [
        [one.name, promised, *false_accept_rate(shares, drawn, threshold)]
        for one in verifications
        for promised, threshold in promised_cosines(one.distances, one.issame).items()
    ]
    return {
        "det": {part: np.round(getattr(det, part), 8).tolist() for part in ("far", "fnmr", "low", "high")},
        "far": far,
        "cosine": cosine,
        "refused": np.round(np.quantile(refused[known], _QUANTILES), 5).tolist(),
        "worst": [[str(names[i]), float(refused[i]), float(accepted[i])] for i in worst],
        "norms": [list(vars(band).values()) for band in rates_by_norm(embeddings, labels, cosine)],
        "promises": promises,
    }


def _by_conditions(embeddings, labels, conditions, cosine):
    """As `condition_rates` reads them."""
    return [
        {**vars(one), "draws": np.round(one.draws, 7).tolist(), "false_draws": np.round(one.false_draws, 9).tolist()}
        for one in rates_by_condition(embeddings, labels, conditions, cosine)
    ]


def condition_rates(result: UnseenResult) -> list[ConditionRates]:
    """Errors by condition, at the FAR that `quality` names; empty where the set has no conditions.csv."""
    return [
        ConditionRates(**{**one, "draws": np.asarray(one["draws"]), "false_draws": np.asarray(one["false_draws"])})
        for one in result.quality.get("conditions", [])
    ]


def load_unseen(run: str | os.PathLike[str], name: str) -> UnseenResult | None:
    """What was kept; None where nothing was, or of an older layout.

    Raises:
        UserError: the file is damaged.
    """
    path = _place(run, name)
    if not path.is_file():
        return None
    try:
        return _result(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged; delete it, and measure again") from error


def load_comparable(runs: Iterable[Path], name: str) -> dict[Path, UnseenResult]:
    """What runs reach on a set; without those that were measured on other people under this name than the newest was.

    Raises:
        UserError: a file is damaged.
    """
    found = {run: result for run in runs if (result := load_unseen(run, name)) is not None}
    people = [found[max(found, key=lambda run: _place(run, name).stat().st_mtime)].facts.get("set")] if found else []
    return {run: result for run, result in found.items() if result.facts.get("set") in people}


def rate_cells(result: UnseenResult, measures: Sequence[str]) -> list[str]:
    """People, genuine and impostor pairs, and each measure with its interval, as a table shows them."""
    counts = [f"{n:,}" for n in (result.identities, result.genuine, result.impostors)]
    return [*counts, *(str(result.interval(m)) if m in result.measures else "" for m in measures)]


def unseen_names(run: str | os.PathLike[str]) -> list[str]:
    """Sets that a run was measured on."""
    return sorted(path.stem for path in (Path(run) / UNSEEN).glob("*.json"))


def _place(run, name):
    return Path(run) / UNSEEN / f"{name}.json"


def _result(value: dict[str, Any]) -> UnseenResult:
    return UnseenResult(
        *(value["set"], value["facts"], value["images"], value["identities"], value["genuine"], value["impostors"]),
        {str(measure): float(found) for measure, found in value["measures"].items()},
        {str(measure): np.asarray(found, np.float64) for measure, found in value["draws"].items()},
        dict(value["quality"]),
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

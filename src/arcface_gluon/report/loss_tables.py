"""The losses of an ablation on all pairs of unseen people: values, differences to ArcFace, order, and a figure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Mapping, Sequence

from ..run_layout import runs_of
from .figures.loss_differences import loss_differences
from .loss_order import PAPER_ERRORS, TABLE, measured_by, order_of, paper_scores
from .unseen import UnseenResult, load_comparable, training_accuracy, unseen_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..protocols.unseen_pairs import Interval

REFERENCE = "arcface"
_TRAINED_OUT = 99.0  # per cent of the training images


@dataclass(frozen=True)
class UnseenTable:
    """What is to be shown of one set of people.

    Attributes:
        name: of the set.
        facts: a sentence on its size.
        heads, rows: of the table of values.
        difference_heads, differences: of the table of differences; empty without the reference.
        sentences: on the order of the losses, one a measure.
        figure: the differences with their intervals; None where there are none.
    """

    name: str
    facts: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    difference_heads: Sequence[str]
    differences: Sequence[Sequence[str]]
    sentences: Sequence[str]
    figure: Figure | None


def unseen_tables(folder: str | os.PathLike[str], losses: Mapping[str, dict]) -> list[UnseenTable]:
    """The tables of all sets that runs of an ablation were measured on.

    Args:
        folder: with seed-<k>/<loss>/unseen/<set>.json.
        losses: {name: entry of recipes/losses.py}, in the table's order.
    """
    seeds = {run: seed for loss in losses for seed, run in runs_of(folder, loss).items()}
    runs = list(filter(unseen_names, seeds))
    results: dict[str, dict[str, dict[int, UnseenResult]]] = {}
    for name in sorted({name for run in runs for name in unseen_names(run)}):
        for run, found in load_comparable(runs, name).items():
            results.setdefault(name, {}).setdefault(run.name, {})[seeds[run]] = found
    trained: dict[str, list[float]] = {}
    for run in runs:
        accuracy = training_accuracy(run)
        if accuracy is not None:
            trained.setdefault(run.name, []).append(accuracy)
    rows = {loss: entry["paper"]["row"] for loss, entry in losses.items() if entry["paper"].get("table") == TABLE}
    return [_table(name, by_loss, trained, rows) for name, by_loss in results.items()]


def _table(name, by_loss, trained, rows):
    first = next(iter(next(iter(by_loss.values())).values()))
    measures = list(first.measures)
    measured = {
        measure: {loss: measured_by(results, measure) for loss, results in by_loss.items()} for measure in measures
    }
    lines, scores = [], paper_scores(rows)
    for loss, results in by_loss.items():
        cells = [str(measured[measure][loss].interval) for measure in measures]
        score = scores.get(loss)
        theirs = "" if score is None else f"{score.mean:.2f} ± {PAPER_ERRORS * score.error:.2f}"
        lines.append([loss, theirs, _trained(trained.get(loss)), *cells, str(len(results))])
    differences = {
        loss: {measure: measured[measure][loss].minus(measured[measure][REFERENCE]) for measure in measures}
        for loss in by_loss
        if loss != REFERENCE and REFERENCE in by_loss
    }
    orders = {measure: order_of(measured[measure], scores) for measure in measures}
    return UnseenTable(
        name,
        f"{name}: {first.identities:,} people who were not in training, {first.images:,} images, {first.genuine:,} "
        f"genuine and {first.impostors:,} impostor pairs.",
        ["loss", "paper", "training images at their own centre", *measures, "n"],
        lines,
        ["loss", *(f"{measure}: less {REFERENCE}" for measure in measures), "n"] if differences else [],
        [[loss, *map(_difference, found.values()), _seeds(found.values())] for loss, found in differences.items()],
        [f"{name}, {measure}: {order.sentence()}" for measure, order in orders.items() if order],
        loss_differences(differences, REFERENCE, name) if differences else None,
    )


def _trained(accuracies):
    if accuracies is None:
        return "no centres"
    share = mean(accuracies)
    return f"{share:.1f}" + (" (not trained out)" if round(share, 1) < _TRAINED_OUT else "")


def _difference(found: Interval | None) -> str:
    if found is None:
        return ""
    text = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})".replace("-", "−")
    return f"{text} *" if found.resolved else text


def _seeds(found):
    return str(min((one.seeds for one in found if one is not None), default=0))

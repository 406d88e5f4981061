"""Do losses stand in the paper's order? Paired differences over the same seeds and people, and what they resolve."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau

from ..data.verification.sets import SET_COLUMNS, SETS
from ..protocols.unseen_pairs import DIFFERENCES, PER_CENT, Interval, paired_interval
from .paper import paper_tables
from .unseen import UnseenResult

TABLE = "table2_losses"
SOFTMAX = "softmax"
_REPLICATIONS = 4000
# Two standard errors of the paper's difference, each cell the rate of one run on so many pairs.
PAPER_ERRORS = 1.96
_NAMED = 10  # pairs in the paper's order are named where there are no more


@dataclass(frozen=True)
class Measured:
    """One loss on one set by one measure, per cent: {seed: value}, {seed: (R,) for drawn people}, number of people.

    `limits` are those of `paired_interval`.
    """

    values: Mapping[int, float]
    draws: Mapping[int, np.ndarray]
    people: int
    limits: tuple[float, float] = PER_CENT

    @property
    def interval(self) -> Interval:
        """Mean over seeds, with the uncertainty of seeds and people."""
        seeds = sorted(self.values)
        return paired_interval(
            [self.values[s] for s in seeds], [self.draws[s] for s in seeds], self.people, self.limits
        )

    def less(self, other: Measured) -> Measured:
        """The differences to another loss, of the seeds that both have."""
        seeds = sorted(set(self.values) & set(other.values))
        values = {s: self.values[s] - other.values[s] for s in seeds}
        return Measured(values, {s: self.draws[s] - other.draws[s] for s in seeds}, self.people, DIFFERENCES)

    def minus(self, other: Measured) -> Interval | None:
        """The mean difference to another loss over the seeds that both have; None if they share none."""
        difference = self.less(other)
        return difference.interval if difference.values else None


def measured_by(results: Mapping[int, UnseenResult], measure: str) -> Measured:
    """One measure of {seed: result}; seeds without it are left out."""
    known = {seed: result for seed, result in results.items() if measure in result.measures}
    return Measured(
        {seed: result.measures[measure] for seed, result in known.items()},
        {seed: result.draws[measure] for seed, result in known.items()},
        max((result.identities for result in known.values()), default=0),
    )


@dataclass(frozen=True)
class PaperScore:
    """A loss in the paper's Table 2: mean over its three sets, and the standard error of that (binomial, one run)."""

    mean: float
    error: float


def paper_scores(rows: Mapping[str, str]) -> dict[str, PaperScore]:
    """{loss: score} of those that have a whole row in Table 2.

    Args:
        rows: {loss: row of the table}.
    """
    table = paper_tables()[TABLE]
    pairs = {SET_COLUMNS[name]: one.pairs for name, one in SETS.items() if name in SET_COLUMNS}
    scores = {}
    for loss, row in rows.items():
        cells = table["rows"].get(row, [None])
        if None not in cells:
            variances = [cell * (100 - cell) / pairs[name] for cell, name in zip(cells, table["columns"])]
            scores[loss] = PaperScore(float(np.mean(cells)), sqrt(sum(variances)) / len(cells))
    return scores


@dataclass(frozen=True)
class Order:
    """How the pairs of losses stand beside the paper.

    Attributes:
        pairs: whose means differ in the paper, without those of Softmax.
        resolved, agreeing: of these, whose interval leaves out 0, and whose sign is the paper's.
        paper_resolved: of `pairs`, whose difference in the paper is beyond its own uncertainty.
        paper_agreeing: of those, which are resolved here and in the paper's order; paper_opposed: in the other.
        softmax: (pairs, resolved, agreeing) of Softmax with the others.
        tau: Kendall's tau-b with the paper, Softmax included; None for fewer than three losses.
        perfect: (mean, 5 %, 95 %) of the tau that losses in the paper's very order would have with this noise; None
            with fewer than two seeds that all losses have, which do not tell the noise.
        right: resolved pairs (above, below), as in the paper, Softmax included.
        wrong: resolved pairs (above here, below here) that are the other way in the paper.
    """

    pairs: int
    resolved: int
    agreeing: int
    paper_resolved: int
    paper_agreeing: int
    paper_opposed: int
    softmax: tuple[int, int, int]
    tau: float | None
    perfect: tuple[float, float, float] | None
    right: Sequence[tuple[str, str]]
    wrong: Sequence[tuple[str, str]]

    def sentence(self) -> str:
        """In words."""
        text = (
            f"of {self.pairs} pairs of losses {self.resolved} are resolved, {self.agreeing} of these in the paper's "
            f"order, {self.pairs - self.resolved} unresolved; of the {self.paper_resolved} that differ in the paper by "
            f"more than its own uncertainty, {self.paper_agreeing} are resolved in its order and {self.paper_opposed} "
            "the other way"
        )
        if self.softmax[0]:
            pairs, resolved, agreeing = self.softmax
            text += f"; Softmax with the others: of {pairs} pairs {resolved} resolved, {agreeing} of these as there"
        if self.tau is not None:
            text += f"; Kendall's tau {self.tau:.2f}"
        if self.perfect is not None:
            mean, low, high = self.perfect
            text += f", where a perfect replication would reach {mean:.2f} ({low:.2f} to {high:.2f})"
        if 0 < len(self.right) <= _NAMED:
            text += f"; as there: {_pairs(self.right)}"
        if self.wrong:
            text += f"; the other way: {_pairs(self.wrong)}"
        return text + "."


def _pairs(pairs):
    return ", ".join(f"{above} above {below}" for above, below in pairs)


def order_of(measured: Mapping[str, Measured], paper: Mapping[str, PaperScore]) -> Order | None:
    """Compare the order of losses with the paper's; None for fewer than two losses that are in it.

    Args:
        measured: {loss: measured}. paper: {loss: score}; losses in one of them alone take no part.
    """
    losses = [loss for loss in measured if loss in paper and measured[loss].values]
    if len(losses) < 2:
        return None
    counts, softmax = np.zeros(6, int), np.zeros(3, int)
    right, wrong = [], []
    for a, b in combinations(losses, 2):
        difference, theirs = measured[a].minus(measured[b]), paper[a].mean - paper[b].mean
        if difference is None or theirs == 0:
            continue
        same = difference.resolved and (difference.mean > 0) == (theirs > 0)
        opposed = difference.resolved and not same
        if difference.resolved:
            (right if same else wrong).append((a, b) if difference.mean > 0 else (b, a))
        if SOFTMAX in (a, b):
            softmax += (1, difference.resolved, same)
            continue
        certain = abs(theirs) > PAPER_ERRORS * sqrt(paper[a].error ** 2 + paper[b].error ** 2)
        counts += (1, difference.resolved, same, certain, certain and same, certain and opposed)
    tau, perfect = _agreement(losses, measured, paper) if len(losses) > 2 else (None, None)
    pairs, resolved, agreeing, theirs_resolved, theirs_agreeing, theirs_opposed = counts.tolist()
    main = (pairs, resolved, agreeing, theirs_resolved, theirs_agreeing, theirs_opposed)
    return Order(*main, (int(softmax[0]), int(softmax[1]), int(softmax[2])), tau, perfect, right, wrong)


def _agreement(losses, measured, paper):
    """Kendall's tau with the paper, and what a perfect replication with the same noise would give."""
    theirs = np.array([paper[loss].mean for loss in losses])
    seeds = sorted(set.intersection(*(set(measured[loss].values) for loss in losses)))
    if len(seeds) < 2:
        ours = [np.mean(list(measured[loss].values.values())) for loss in losses]
        return float(kendalltau(theirs, ours)[0]), None
    values = np.array([[measured[loss].values[s] for s in seeds] for loss in losses])
    draws = np.array([[measured[loss].draws[s] for s in seeds] for loss in losses])
    ours = values.mean(axis=1)
    # The noise that tells losses apart: of each one's difference to the mean of all.
    values, draws = values - values.mean(axis=0), draws - draws.mean(axis=0)
    variances = draws.mean(axis=1).var(axis=1, ddof=1) + values.var(axis=1, ddof=1) / len(seeds)
    # The paper's order, spread as the losses are here once noise is taken off.
    spread = sqrt(max(ours.var(ddof=1) - variances.mean(), 0))
    truth = (theirs - theirs.mean()) / max(theirs.std(ddof=1), 1e-9) * spread
    noise = np.random.default_rng(0).normal(size=(_REPLICATIONS, len(losses))) * np.sqrt(variances)
    taus = kendall_taus(theirs, truth + noise)
    return float(kendalltau(theirs, ours)[0]), (float(np.mean(taus)), *map(float, np.quantile(taus, (0.05, 0.95))))


def kendall_taus(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of `one` with each row of `many`, which has no ties; SciPy takes one row at a time.

    Args:
        one: (k,). many: (n, k).

    Returns:
        (n,).
    """
    a, b = np.triu_indices(len(one), 1)
    signs = np.sign(one[a] - one[b])
    return np.sign(many[:, a] - many[:, b]) @ signs / sqrt(max(1, np.count_nonzero(signs)) * len(signs))

"""MegaFace: identification (CMC) and verification (ROC) of probes among distractors, exactly.

For each person with M probe images, each of the M(M - 1) ordered pairs (probe, mate) is one search: the gallery is the
mate and all distractors, other probes are not in it. The pair's rank is the number of distractors that score strictly
better than the mate, so 0 is a hit and a tie counts as a success (as in public re-implementations; the rule of the
devkit's binary is not known). How many searches only a tie decided is reported. A distractor whose values are those of
the mate ties: it gets the mate's own score.

Genuine scores of the ROC are the same M(M - 1) pairs, impostor scores all probe x distractor pairs of probes that
have a mate. TAR at a FAR is exact: the most lenient threshold whose FAR does not exceed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from .. import runtime
from ..errors import UserError
from ..progress import progress
from .scores.blocks import UnitBlocks, as_unit, block_edges, score_blocks, unit
from .scores.copies import MateCopies, exact_scores
from .scores.curves import VerificationCurve
from .scores.rank_counts import COLUMN_BLOCK, ROW_BLOCK, ImpostorScores, RankCounter
from .scores.search import top_k

# Probes counted at a time; bounds the memory whatever the number of probes.
_PROBE_CHUNK = 4096
# Impostor scores are kept one by one up to this FAR, and in number between these.
_EXACT_FAR = 1e-4
_FEWEST, _MOST = 1 << 18, 1 << 22
# The first column blocks are short: of the first, all scores are gathered, of the second many.
_FIRST_BLOCKS = 1024, 8192


@dataclass
class Identification:
    """Result of `identify`.

    ranks: int32, ascending, one for each (probe, mate) pair: distractors that score better than the mate.
    """

    probes: int
    identities: int
    probes_without_mate: int
    distractors: int
    ranks: np.ndarray
    rank1_if_ties_lose: float
    curve: VerificationCurve

    def cmc(self, rank: int) -> float:
        """Share of searches that find the mate among the first `rank` (1 = first) of the gallery."""
        return float(np.searchsorted(self.ranks, rank) / len(self.ranks))

    @property
    def rank1(self) -> float:
        return self.cmc(1)

    def cmc_points(self, first: int = 100, step: float = 0.001) -> tuple[list[int], list[float]]:
        """0-based ranks and rates: every rank below `first`, then each where the rate has risen by `step`, the last."""
        searches = len(self.ranks)
        values, counts = np.unique(self.ranks, return_counts=True)
        rates = np.cumsum(counts) / searches
        ranks = list(range(min(first, self.distractors + 1)))
        points = [self.cmc(rank + 1) for rank in ranks]
        for rank, rate in zip(values.tolist(), rates.tolist()):
            if rank >= first and (rate >= points[-1] + step or rank == values[-1]):
                ranks.append(rank)
                points.append(rate)
        return ranks, points

    def to_json(self) -> dict:
        """The devkit's `cmc` (0-based ranks, rates) and `roc` (FAR, TAR), and what is exact and comes from no plot."""
        tar, error = self.curve.at(1e-6)[1:]
        return {
            "cmc": list(self.cmc_points()),
            "roc": list(self.curve.points()),
            "rank1": self.rank1,
            "rank10": self.cmc(10),
            "rank1_if_ties_lose": self.rank1_if_ties_lose,
            "tar_at_far_1e-6": tar,
            "tar_at_far_1e-6_error": error,
            "probes": self.probes,
            "identities": self.identities,
            "probes_without_mate": self.probes_without_mate,
            "searches": len(self.ranks),
            "distractors": self.distractors,
            "impostor_pairs": self.curve.total,
        }


def identify(
    probes: np.ndarray,
    labels: np.ndarray,
    gallery: np.ndarray,
    contexts: runtime.Devices = None,
    probe_names: Sequence[Any] | np.ndarray | None = None,
    gallery_names: Sequence[Any] | np.ndarray | None = None,
    keep: np.ndarray | None = None,
    rejected: int = 0,
) -> Identification:
    """Search every probe's mates among the distractors.

    Args:
        probes: (n, d) features, any scale. labels: (n,) identity of each.
        gallery: (m, d) features of the distractors; may be a memory map, it is read in blocks once for every 4,096
            probes.
        contexts: as for `runtime.contexts`.
        probe_names, gallery_names: for errors.
        keep: (m,) bool, which distractors take part; None: all.
        rejected: number of further distractors that are never accepted and never better than a mate, but count among
            the distractors (insightface's way with noisy ones, see `refine`).

    Raises:
        UserError: features of different sizes, NaN or zero features (named), or no person with two probes.
    """
    probes, labels, people = _with_mates(probes, labels, gallery, probe_names)
    thresholds, offsets = mate_scores(probes, labels)
    kept = len(gallery) if keep is None else int(np.count_nonzero(keep))
    if not kept:
        raise UserError("there is no distractor to search among; check the gallery's list and the noise list")
    total = len(probes) * (kept + rejected)
    impostors = ImpostorScores(min(max(_FEWEST, int(total * _EXACT_FAR) + 1), _MOST))
    devices = runtime.contexts(contexts)
    load = _Watched(UnitBlocks(gallery, devices, gallery_names, "distractor", keep), MateCopies(probes, labels))
    ranks, lost = [], 0
    with progress(total=total - len(probes) * rejected, unit="score", unit_scale=True, desc="search") as bar:
        for start in range(0, len(probes), _PROBE_CHUNK):
            chunk = probes[start : start + _PROBE_CHUNK]
            low, high = offsets[start], offsets[start + len(chunk)]
            offset = offsets[start : start + len(chunk) + 1] - low
            counter = RankCounter(thresholds[low:high], offset, impostors)
            _search(chunk, start, load, len(gallery), devices, counter, bar)
            ranks.append(counter.greater.astype(np.int32))
            lost += int(np.count_nonzero(counter.greater + counter.equal == 0))
    ranks = np.sort(np.concatenate(ranks))
    return Identification(
        probes=len(probes),
        identities=int(np.count_nonzero(people > 1)),
        probes_without_mate=int(np.count_nonzero(people == 1)),
        distractors=kept + rejected,
        ranks=ranks,
        rank1_if_ties_lose=lost / len(ranks),
        curve=VerificationCurve(np.sort(thresholds), impostors.highest.kept(), total, impostors.counted()),
    )


def rank1(
    probes: np.ndarray,
    labels: np.ndarray,
    gallery: np.ndarray,
    contexts: runtime.Devices = None,
    probe_names: Sequence[Any] | np.ndarray | None = None,
    gallery_names: Sequence[Any] | np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """`identify(…).rank1` alone, at the cost of an exact search for the best distractor.

    Returns:
        (rank-1, scores, indices): the best distractor of each probe that has a mate, in the order of the persons.
    """
    probes, labels, _ = _with_mates(probes, labels, gallery, probe_names)
    thresholds, offsets = mate_scores(probes, labels)
    devices = runtime.contexts(contexts)
    load = UnitBlocks(gallery, devices, gallery_names, "distractor")
    _, indices = top_k(probes, load, len(gallery), 1, devices)
    best = exact_scores(probes, unit(gallery[indices[:, 0]], what="distractor"))
    hits = thresholds >= np.repeat(best, np.diff(offsets))
    return float(hits.mean()), best, indices[:, 0]


def _with_mates(probes, labels, gallery, names):
    """Unit probes that have a mate, next to their mates; their labels; the number of probes of every person."""
    _, labels, people = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(labels) != len(probes):
        raise UserError(f"{len(probes)} probe features, but {len(labels)} identities; each probe needs one")
    if probes.shape[1:] != gallery.shape[1:]:
        raise UserError(
            f"probe features have {probes.shape[1:]} values, distractors {gallery.shape[1:]}; use one model for both"
        )
    if not (people > 1).any():
        raise UserError("no person has two probe images, so there is nothing to search for")
    order = np.argsort(labels, kind="stable")
    order = order[people[labels[order]] > 1]
    return as_unit(probes, names, what="probe")[order], labels[order], people


def mate_scores(probes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Genuine scores of unit `probes` (n, d), sorted by label, each with all others of its person.

    Returns:
        (scores, offsets): scores[offsets[i]:offsets[i + 1]] are probe i's, ascending.
    """
    borders = np.flatnonzero(np.diff(labels)) + 1
    scores, sizes = [], []
    for person in np.split(probes, borders):
        count = len(person)
        products = exact_scores(person[:, None], person[None])
        others = products[~np.eye(count, dtype=bool)].reshape(count, count - 1)
        scores.append(np.sort(others, axis=1).ravel())
        sizes.append(np.full(count, count - 1))
    return np.concatenate(scores), np.concatenate([[0], np.cumsum(np.concatenate(sizes))])


class _Watched:
    """`load` that looks for copies of mates. found: {start of a block: its copies}."""

    def __init__(self, load, copies):
        self._load, self.copies, self.found = load, copies, {}

    def __call__(self, start, stop):
        block = self._load(start, stop)
        if start not in self.found:
            self.found[start] = self.copies.find(block)
        return block


def _search(chunk, first, load, columns, devices, counter, bar):
    """Feed the scores of the probes of `chunk`, which are those from number `first` on, to the counter."""
    edges = block_edges(columns, COLUMN_BLOCK, _FIRST_BLOCKS)
    done, raise_at = 0, 2
    for row_start, column_start, scores in score_blocks(chunk, load, edges, devices, ROW_BLOCK):
        load.copies.settle(scores, first + row_start, load.found[column_start])
        if done:
            counter.add(row_start, scores)
        else:
            counter.add_first(row_start, scores)
        bar.update(scores.size)
        if row_start + len(scores) == len(chunk):
            done += 1
            if done == 1:
                counter.plan(scores.shape[1])
            elif done == raise_at:
                counter.raise_floor()
                raise_at *= 2
    counter.settle()


@dataclass
class Refined:
    """What the refined protocol ("R") evaluates: pass the fields to `identify`."""

    probes: np.ndarray
    labels: np.ndarray
    keep: np.ndarray
    rejected: int
    replaced: int
    deleted: int


def refine(
    probes: np.ndarray,
    labels: np.ndarray,
    noisy_probes: np.ndarray,
    noisy_distractors: np.ndarray,
    way: str = "insightface",
    seed: int = 0,
    names: Sequence[Any] | np.ndarray | None = None,
) -> Refined:
    """Take mislabelled faces out, by the noise lists of the ArcFace authors.

    way="insightface", which gave the published R numbers: a noisy probe is not deleted but replaced by the sum of its
    person's clean unit features plus uniform noise of +-0.001, an easy positive. A noisy distractor gets a coordinate
    that puts it further away than any face, so it never wins but still counts in the denominators.
    way="delete": both are left out, so ranks and rates speak of real images only. It is the stricter of the two.

    Args:
        probes: (n, d), any scale. labels: (n,). noisy_probes: (n,) bool. noisy_distractors: (m,) bool.
        names: of the probes, for errors.

    Raises:
        UserError: another way, or a person whose every image is noisy (there is no clean sum to replace them by).
    """
    labels, noisy_probes = np.asarray(labels), np.asarray(noisy_probes, bool)
    keep = ~np.asarray(noisy_distractors, bool)
    noisy = int(noisy_probes.sum())
    if way == "delete":
        return Refined(probes[~noisy_probes], labels[~noisy_probes], keep, 0, 0, noisy)
    if way != "insightface":
        raise UserError(f"way={way!r} is not a way to refine; choose insightface or delete")
    _, people = np.unique(labels, return_inverse=True)
    probes = unit(probes, names, what="probe")
    sums = np.zeros((people.max(initial=-1) + 1, probes.shape[1]))
    np.add.at(sums, people[~noisy_probes], probes[~noisy_probes])
    clean = np.bincount(people[~noisy_probes], minlength=len(sums))
    for i in np.flatnonzero(noisy_probes & (clean[people] == 0))[:1]:
        raise UserError(f"every image of {labels[i]} is in the noise list; take this person out of the probe list")
    random = np.random.default_rng(seed)
    centres = sums[people[noisy_probes]]
    probes[noisy_probes] = unit(centres + random.uniform(-0.001, 0.001, centres.shape), what="clean sum of probe")
    return Refined(probes, labels, keep, int(np.count_nonzero(~keep)), noisy, 0)

"""Trillion-Pairs: 274 thousand probes of 5.7 thousand persons against 1.58 million distractors, streamed, exact.

The organisers' server is gone and the text of its rules with it, so here is what is computed:

- **Verification**, TPR at FPR 1e-9: genuine pairs are all pairs of probes of one person; impostor pairs are all
  probe x distractor pairs, 0.4 trillion. The threshold is the most lenient one whose FPR does not exceed 1e-9.
- **Identification**, TPR at FPR 1e-3, open set: a distractor whose best score among all probes is above the threshold
  is a false positive; a probe is found if its best score among all other probes is one of the same person (a tie
  counts) and is above the threshold. The threshold is the most lenient one that lets 1e-3 of the distractors through.

Nothing is sampled and the error is zero: the highest impostor scores (FPR up to 1e-6) are kept one by one, and each
distractor's best score. Memory is the unit probes, a chunk of distractors and those. The state of a run can be kept in
a file, from which the next call goes on.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from .. import runtime
from ..arrays import load_npz
from ..errors import UserError
from ..files import write_npz
from ..progress import progress
from .scores.blocks import COLUMN_BLOCK, ROW_BLOCK, block_edges, score_blocks, unit
from .scores.copies import MateCopies, exact_scores
from .scores.curves import HighestScores, allowed_accepts
from .scores.maxima import raise_to_best, raise_to_others

VERIFICATION_FPRS = (1e-9, 1e-8, 1e-7, 1e-6)
IDENTIFICATION_FPRS = (1e-3, 1e-2)
# Probes and distractors of the whole set, as its authors round them.
FULL_SIZE = 274_000, 1_580_000
# Up to this FPR, and in any case for this many scores, impostor scores are kept one by one.
_EXACT_FPR = 1e-6
_MIN_KEPT = 1 << 16
# Rows taken at a time, and seconds between two saves of the state.
_CHUNK = 4096
_SAVE_EVERY = 60


@dataclass
class TrillionPairs:
    """Result of `evaluate`.

    verification, identification: TPR at each FPR; in a set too small for an FPR, at none of its impostors accepted.
    roc: (FPR, TPR) of verification, as far as impostor scores were kept one by one.
    scores_per_second: of this call; None if all was done before.
    """

    verification: dict
    identification: dict
    probes: int
    persons: int
    distractors: int
    genuine_pairs: int
    impostor_pairs: int
    roc: tuple
    scores_per_second: float | None = field(default=None, compare=False)

    def to_json(self) -> dict:
        return {
            "verification_tpr_at_fpr": {f"{fpr:.0e}": tpr for fpr, tpr in self.verification.items()},
            "identification_tpr_at_fpr": {f"{fpr:.0e}": tpr for fpr, tpr in self.identification.items()},
            "error": 0,
            "probes": self.probes,
            "persons": self.persons,
            "distractors": self.distractors,
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "scores_per_second": self.scores_per_second,
            "roc": [list(axis) for axis in self.roc],
        }

    @property
    def full_seconds(self) -> float | None:
        """What the whole set would take at this call's rate; None if that is not known."""
        probes, distractors = FULL_SIZE
        return probes * (probes + distractors) / self.scores_per_second if self.scores_per_second else None


def evaluate(
    probes: np.ndarray,
    identities: np.ndarray,
    distractors: np.ndarray,
    contexts: runtime.Devices = None,
    state: str | os.PathLike[str] | None = None,
    names: Sequence[Any] | np.ndarray | None = None,
    distractor_names: Sequence[Any] | np.ndarray | None = None,
    stop: Callable[[str], object] = lambda done: None,
) -> TrillionPairs:
    """Run both protocols.

    Args:
        probes: (n, d) features. identities: (n,) person of each.
        distractors: (m, d) features; may be a memory map, it is read once.
        state: a file to save progress in once a minute and to go on from; it is removed at the end.
        names, distractor_names: for errors.
        stop: called with what is done ("8,192 of 1,580,000 distractors") after each chunk; what it raises ends the
            evaluation, of which the state is saved first.

    Raises:
        UserError: NaN or zero features (named), sizes that do not fit, nobody with two probes, or a state file that
            is damaged or belongs to other features.
    """
    identities = np.asarray(identities)
    if len(identities) != len(probes):
        raise UserError(f"{len(probes)} probe features, but {len(identities)} identities; each probe needs one")
    if probes.shape[1:] != distractors.shape[1:] or not len(distractors):
        raise UserError(f"probes are {probes.shape}, distractors {distractors.shape}; use one model for both")
    _, persons, counts = np.unique(identities, return_inverse=True, return_counts=True)
    if not (counts > 1).any():
        raise UserError("no person has two probes, so there is no genuine pair")
    order = np.argsort(persons, kind="stable")
    probes, persons = unit(probes, names, what="probe")[order], persons[order]
    run = _Run(probes, persons, distractors, distractor_names, runtime.contexts(contexts), state, stop)
    run.stream_distractors()
    run.stream_probes()
    result = run.result()
    if state is not None:
        Path(state).unlink(missing_ok=True)
    return result


class _Run:
    """The state of an evaluation: how far it is, each row's best scores, the highest impostor scores."""

    def __init__(self, probes, persons, distractors, distractor_names, contexts, path, stop):
        self.probes, self.persons, self.distractors = probes, persons, distractors
        self.distractor_names = distractor_names
        self.contexts = contexts
        self.path = path
        self.stop = stop
        self.total = len(probes) * len(distractors)
        self.highest = HighestScores(max(_MIN_KEPT, int(self.total * _EXACT_FPR) + 1))
        self.top = np.full(len(distractors), -np.inf, np.float32)
        self.copies = MateCopies(probes, persons)
        self.other = np.full(len(probes), -np.inf, np.float32)
        self.done = np.zeros(2, np.int64)
        self.fingerprint = _fingerprint(probes, persons, distractors)
        self._began = self._saved = time.monotonic()
        self._scores = 0
        if path is not None and Path(path).exists():
            self._load()

    _FIELDS = ("top", "other", "done")

    def save(self):
        self._saved = time.monotonic()
        values = {name: getattr(self, name) for name in self._FIELDS}
        write_npz(self.path, fingerprint=self.fingerprint, highest=self.highest.raise_floor(), **values)

    def _load(self):
        values = load_npz(
            self.path,
            (*self._FIELDS, "highest", "fingerprint"),
            "remove it to start again",
            "a state that was saved whole",
        )
        if str(values.pop("fingerprint")) != self.fingerprint:
            raise UserError(f"{self.path} is the state of a run over other features; remove it or name another file")
        self.highest.add(values.pop("highest"))
        for name, value in values.items():
            setattr(self, name, value)

    def _chunks(self, stage, rows, what):
        """Chunks of rows not done yet; counts each as done, and saves now and then, once its loop body is through."""
        first = int(self.done[stage])
        with progress(total=rows, initial=first, unit="image", unit_scale=True, desc=what) as bar:
            for start in range(first, rows, _CHUNK):
                stop = min(start + _CHUNK, rows)
                yield start, stop
                self.done[stage] = stop
                self._scores += (stop - start) * len(self.probes)
                bar.update(stop - start)
                if self.path is not None and time.monotonic() - self._saved > _SAVE_EVERY:
                    self.save()
                try:
                    self.stop(f"{stop:,} of {rows:,} {what}")
                except BaseException:
                    if self.path is not None:
                        self.save()
                    raise

    def _blocks(self, rows):
        edges = block_edges(len(self.probes), COLUMN_BLOCK)
        return score_blocks(rows, lambda a, b: self.probes[a:b], edges, self.contexts, ROW_BLOCK)

    def stream_distractors(self):
        """Each distractor's best score among the probes, and the highest impostor scores."""
        names = np.asarray(self.distractor_names, object) if self.distractor_names is not None else None
        for start, stop in self._chunks(0, len(self.distractors), "distractors"):
            called = names[start:stop] if names is not None else range(start, stop)
            rows = unit(self.distractors[start:stop], called, "distractor")
            top, copies = self.top[start:stop], self.copies.find(rows)
            for row_start, column, scores in self._blocks(rows):
                self.copies.settle(scores.T, column, copies, row_start)
                best = top[row_start : row_start + len(scores)]
                found = raise_to_best(best, scores, self.highest.floor)
                self.highest.add(np.concatenate([np.empty(0, np.float32), *found]))

    def stream_probes(self):
        """Each probe's best score among all other persons."""
        first = np.searchsorted(self.persons, self.persons)
        last = np.searchsorted(self.persons, self.persons, side="right")
        copies = self.copies.find(self.probes)
        foreign = self.persons[copies[0]] != self.persons[copies[1]]
        copies = copies[0][foreign], copies[1][foreign]
        for start, stop in self._chunks(1, len(self.probes), "probes"):
            for row_start, column, scores in self._blocks(self.probes[start:stop]):
                self.copies.settle(scores, start + row_start, copies, column)
                here = slice(start + row_start, start + row_start + len(scores))
                raise_to_others(self.other[here], scores, first[here] - column, last[here] - column)

    def result(self):
        rate = self._scores / (time.monotonic() - self._began) if self._scores else None
        highest = self.highest.kept()
        decades = int(np.ceil(np.log10(self.total)))
        grid = [f"{fpr:.3e}" for fpr in np.logspace(-decades, 0, 20 * decades + 1)]
        refused: dict[Any, float] = {}
        fprs: list[Any] = [*VERIFICATION_FPRS, *grid]
        for fpr in fprs:
            allowed = allowed_accepts(fpr, self.total)
            if allowed < len(highest):
                refused[fpr] = highest[len(highest) - allowed - 1]
        thresholds = np.unique(np.array(list(refused.values())))
        above, pairs = genuine_above(self.probes, self.persons, thresholds)
        tpr = dict(zip(thresholds.tolist(), (above / pairs).tolist()))
        passed = len(highest) - np.searchsorted(highest, thresholds, side="right")
        points = sorted({(count / self.total, tpr[t]) for count, t in zip(passed.tolist(), thresholds.tolist())})
        tops, mate = np.sort(self.top), best_mates(self.probes, self.persons)
        identification = {}
        for fpr in IDENTIFICATION_FPRS:
            limit = tops[len(tops) - allowed_accepts(fpr, len(tops)) - 1]
            identification[fpr] = float(np.mean(((mate >= self.other) & (mate > limit))[mate > -np.inf]))
        return TrillionPairs(
            verification={fpr: tpr[float(refused[fpr])] for fpr in VERIFICATION_FPRS},
            identification=identification,
            probes=len(self.probes),
            persons=int(self.persons[-1]) + 1,
            distractors=len(self.distractors),
            genuine_pairs=pairs,
            impostor_pairs=self.total,
            roc=tuple(zip(*points)),
            scores_per_second=rate,
        )


def genuine_above(probes: np.ndarray, persons: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, int]:
    """How many pairs of unit `probes` (n, d) of one person, sorted by person, score above each ascending threshold.

    Returns:
        (counts, pairs)
    """
    counts, pairs = np.zeros(len(thresholds) + 1, np.int64), 0
    for rows, mates, products in _person_scores(probes, persons):
        scores = products[mates > rows[:, None]]
        counts += np.bincount(np.searchsorted(thresholds, scores), minlength=len(counts))
        pairs += scores.size
    return np.cumsum(counts[::-1])[::-1][1:], pairs


def best_mates(probes: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """Best score (n,) of each of the unit `probes`, sorted by person, with another of its person; -inf without one."""
    best = np.full(len(probes), -np.inf, np.float32)
    for rows, mates, products in _person_scores(probes, persons):
        products[mates == rows[:, None]] = -np.inf
        best[rows] = products.max(axis=1)
    return best


def _person_scores(probes, persons):
    """Yields (rows, mates, scores): all probes of a person, and their scores with some of them."""
    for mates in np.split(np.arange(len(probes)), np.flatnonzero(np.diff(persons)) + 1):
        for start in range(0, len(mates), _CHUNK):
            rows = mates[start : start + _CHUNK]
            yield rows, mates, exact_scores(probes[rows][:, None], probes[mates][None])


def _fingerprint(probes, persons, distractors):
    digest = hashlib.sha256(repr((probes.shape, distractors.shape)).encode())
    digest.update(persons.astype("<i8").tobytes())
    for features in (probes, distractors):
        digest.update(np.ascontiguousarray(features[:: max(1, len(features) // 1000)], "<f4").tobytes())
    return digest.hexdigest()

"""IJB-B and IJB-C, 1:N: which subject of a gallery a probe template is, closed set and open set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from .. import runtime
from ..errors import UserError
from ..parallel.threads import in_parts
from ..progress import progress
from .ijb_templates import Templates
from .scores.blocks import ROW_BLOCK, score_blocks
from .scores.copies import first_copies

RANKS = (1, 5, 10)
FPIRS = (0.01, 0.1)
# Scores in one block: 64 MiB.
_BLOCK = 1 << 24
# Rows of scores looked at together, which stay in the cache, and that are worth a thread.
_ROWS_TOGETHER = 64


@dataclass
class GallerySearch:
    """Search in one gallery.

    mate_scores: float32, best score of a template of the probe's subject, of probes whose subject is enrolled.
    better: int, how many gallery templates score strictly better than that, of the same probes.
    top_scores: float32, best score of each probe whose subject is not enrolled.
    """

    mate_scores: np.ndarray
    better: np.ndarray
    top_scores: np.ndarray

    def rank(self, k: int) -> float | None:
        """Closed set: share of the enrolled probes whose subject is among the first k; None without such probes."""
        return float(np.mean(self.better < k)) if len(self.better) else None

    def tpir(self, fpir: float) -> float | None:
        """Open set: share of the enrolled probes whose mate is first and above the threshold of a given FPIR.

        The threshold is the max(int(n FPIR) - 1, 0)-th of the n best scores of probes that are not enrolled, from
        the highest (0) down. None if there are no probes of either kind.
        """
        if not len(self.top_scores) or not len(self.better):
            return None
        index = max(int(len(self.top_scores) * fpir) - 1, 0)
        threshold = np.sort(self.top_scores)[::-1][index]
        return float(np.mean((self.better == 0) & (self.mate_scores > threshold)))


@dataclass
class TemplateSearch:
    """galleries: searches in each gallery alone. merged: in all of them together."""

    galleries: list
    merged: GallerySearch

    def tpir(self, fpir: float) -> float | None:
        """Mean over the galleries, the open-set measure that papers print; None if a gallery has none."""
        values = [gallery.tpir(fpir) for gallery in self.galleries]
        return None if None in values else float(np.mean(values))

    def to_json(self) -> dict:
        return {
            "probes": len(self.merged.better) + len(self.merged.top_scores),
            "rank_merged_galleries": {str(k): self.merged.rank(k) for k in RANKS},
            "rank": [{str(k): gallery.rank(k) for k in RANKS} for gallery in self.galleries],
            "tpir": {str(fpir): self.tpir(fpir) for fpir in FPIRS},
            "tpir_galleries": [{str(fpir): gallery.tpir(fpir) for fpir in FPIRS} for gallery in self.galleries],
            "enrolled_probes": [len(gallery.better) for gallery in self.galleries],
        }


def search(
    templates: Templates,
    probes: tuple[np.ndarray, np.ndarray],
    galleries: Sequence[tuple[np.ndarray, np.ndarray]],
    contexts: runtime.Devices = None,
) -> TemplateSearch:
    """Search all probes in each gallery, and in their union.

    Args:
        probes: (template numbers, subjects). galleries: a list of such pairs.

    Raises:
        UserError: a list names a template without images, or a template twice.
    """
    galleries = [_located(templates, gallery, "gallery") for gallery in galleries]
    rows, subjects = _located(templates, probes, "probe list")
    queries = templates.vectors[rows], subjects
    found = [_search(templates.vectors, queries, gallery, contexts) for gallery in galleries]
    union = [np.concatenate(part) for part in zip(*galleries)]
    merged = found[0] if len(galleries) == 1 else _search(templates.vectors, queries, union, contexts)
    return TemplateSearch(found, merged)


def _located(templates, listed, what):
    ids, subjects = (np.asarray(column) for column in listed)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"the {what} names template {values[counts > 1][0]} twice; remove one")
    rows = templates.rows(ids)
    if (rows < 0).any():
        raise UserError(f"the {what} names template {ids[rows < 0][0]}, which has no image; check the media list")
    return rows, subjects


def _search(vectors, queries, gallery, contexts):
    """Search of the queries (vectors, subjects) in a gallery (rows of `vectors`, subjects).

    Of equal vectors only one is scored, so that they tie exactly.
    """
    rows, enrolled = gallery
    order = np.argsort(enrolled, kind="stable")
    columns, enrolled = vectors[rows[order]], enrolled[order]
    probes, subjects = queries
    # The templates of a probe's subject are columns first[i] … last[i] - 1; there are none where these are equal.
    first, last = np.searchsorted(enrolled, subjects), np.searchsorted(enrolled, subjects, side="right")
    best, better = np.full(len(probes), -np.inf, np.float32), np.zeros(len(probes), np.int64)
    columns, column_of = _distinct(columns)
    rows, row_of = _distinct(probes)
    # The probes in the order of the rows of scores; those of row i are asking[starts[i]:starts[i + 1]].
    asking, starts = np.argsort(row_of, kind="stable"), np.r_[0, np.cumsum(np.bincount(row_of))]
    row_block = max(1, min(ROW_BLOCK, _BLOCK // len(columns)))
    blocks = score_blocks(rows, lambda a, b: columns, [0, len(columns)], runtime.contexts(contexts), row_block)
    for row_start, _, scores in progress(blocks, unit="block", desc="search"):

        def look(begin, end, row_start=row_start, scores=scores):
            for i in range(begin, end, _ROWS_TOGETHER):
                stop = min(i + _ROWS_TOGETHER, end)
                some = asking[starts[row_start + i] : starts[row_start + stop]]
                part = scores[i:stop] if len(some) == stop - i else scores[row_of[some] - row_start]
                part = part if len(columns) == len(column_of) else part[:, column_of]
                best[some], better[some] = _best_and_better(part, first[some], last[some])

        in_parts(look, len(scores), _ROWS_TOGETHER)
    mated = first < last
    return GallerySearch(best[mated], better[mated], best[~mated])


def _best_and_better(scores, first, last):
    """Of each row the best score among columns first … last - 1, and how many are better; without these, of all."""
    best = scores.max(axis=1)
    mated, better = np.flatnonzero(first < last), np.zeros(len(scores), np.int64)
    mates = scores[mated, first[mated]]
    for more in range(1, int((last - first).max(initial=0))):
        mates = np.maximum(mates, scores[mated, np.minimum(first[mated] + more, last[mated] - 1)])
    # None of the subject's own templates is better than the best of them.
    for i in np.flatnonzero(best[mated] > mates):
        better[mated[i]] = np.count_nonzero(scores[mated[i]] > mates[i])
    best[mated] = mates
    return best, better


def _distinct(vectors):
    """(the distinct rows of `vectors`, in the order of their first places; which of them each row is)."""
    places, which = np.unique(first_copies(vectors), return_inverse=True)
    return np.ascontiguousarray(vectors[places]), which

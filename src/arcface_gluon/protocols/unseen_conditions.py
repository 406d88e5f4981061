"""Errors by the conditions that images were taken under: of pairs alike in a condition, and of pairs across values.

The paper's CFP-FP (frontal and profile) and AgeDB-30 (thirty years apart) are pairs across a condition. Here all pairs
of labelled images of unseen people are told apart by conditions, at one threshold for all. Letters as in
`protocols.unseen_pairs`; V: values of all conditions together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import numpy as np

from .scores.blocks import unit
from .unseen_pairs import draw_identities

ALIKE, ACROSS = "alike", "across"
_BLOCK = 256


@dataclass(frozen=True)
class ConditionRates:
    """Pairs of one kind at the threshold.

    Attributes:
        condition: such as "pose".
        kind: "alike", whatever the value; "across"; or the value that both images have, if `of_value`.
        of_value: whether `kind` is a value.
        genuine, impostors: numbers of pairs.
        accepted: share of the genuine pairs that are accepted; draws: (R,) the same for drawn people.
        false: share of the impostor pairs that are accepted; false_draws: (R,).
    """

    condition: str
    kind: str
    of_value: bool
    genuine: int
    impostors: int
    accepted: float
    draws: np.ndarray
    false: float
    false_draws: np.ndarray


def rates_by_condition(
    embeddings: np.ndarray, labels: np.ndarray, conditions: Mapping[str, Sequence[str]], cosine: float
) -> list[ConditionRates]:
    """Of each condition: rates of the pairs alike, of those of each value, and of those across.

    Kinds without genuine or without impostor pairs are left out.

    Args:
        embeddings: (n, d), of any length. labels: (n,).
        conditions: {name: value of each image}.
        cosine: threshold; pairs at or above it are accepted.
    """
    people, labels = np.unique(labels, return_inverse=True)
    codes = {name: np.unique(np.asarray(values), return_inverse=True) for name, values in conditions.items()}
    has = np.concatenate([np.eye(len(values), dtype=np.float32)[code] for values, code in codes.values()], axis=1)
    counts = _count(unit(np.asarray(embeddings)), labels, has, cosine)
    weights = draw_identities(len(people))
    found, first = [], 0
    for name, (values, code) in codes.items():
        kinds = [_by_kind(count[:, first : first + len(values)], code, labels, len(people)) for count in counts]
        first += len(values)
        for place, kind in enumerate((ALIKE, *values, ACROSS)):
            accepted, genuine, false, impostors = (one[:, place] for one in kinds)
            if genuine.sum() > 0 and impostors.sum() > 0:
                sizes = [round(one.sum() / 2) for one in (genuine, impostors)]  # each pair was counted from both ends
                rates = *_share(accepted, genuine, weights), *_share(false, impostors, 2 * weights - 1)
                found.append(ConditionRates(name, str(kind), 0 < place <= len(values), *sizes, *rates))
    return found


def _count(vectors, labels, has, cosine):
    """Of each image and value of the other, (n, V) each: genuine pairs accepted, and all; impostor pairs, too."""
    counts = [np.empty((len(vectors), has.shape[1])) for _ in range(4)]
    for start in range(0, len(vectors), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(vectors)))
        accepted = vectors[rows] @ vectors.T >= cosine
        same = labels[rows, None] == labels
        impostor = ~same
        same[np.arange(len(rows)), rows] = False
        for count, chosen in zip(counts, (accepted & same, same, accepted & impostor, impostor)):
            count[rows] = chosen.astype(np.float32) @ has
    return counts


def _by_kind(count, code, labels, people):
    """(I, 1 + values + 1): counts of the images of each identity; pairs alike, of each value, across."""
    alike = np.zeros_like(count)
    images = np.arange(len(count))
    alike[images, code] = count[images, code]
    columns = np.column_stack([alike.sum(axis=1), alike, (count - alike).sum(axis=1)])
    found = np.zeros((people, columns.shape[1]))
    np.add.at(found, labels, columns)
    return found


def _share(part, whole, weights):
    """The share of all, and of people taken so many times; of all, where drawn people have none of these pairs."""
    share = float(part.sum() / whole.sum())
    drawn, all_drawn = weights @ part, weights @ whole
    draws = np.full(len(weights), share)
    np.divide(drawn, all_drawn, out=draws, where=all_drawn > 0)
    return share, np.clip(draws, 0, 1)

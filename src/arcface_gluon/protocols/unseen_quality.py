"""What one rate hides, on all pairs of unseen people: whose pairs fail, at which norm, and what a threshold promises.

Letters as in `protocols.unseen_pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scores.blocks import unit
from .scores.curves import allowed_accepts
from .unseen_pairs import BINS, FARS, LEAST_ACCEPTS, PairCounts, Shares, draw_identities

_DET_POINTS = 41


@dataclass(frozen=True)
class DetCurve:
    """Errors against each other, (k,) each, as shares.

    Attributes:
        far: false accept rates, evenly spaced in their logarithm, from ten impostor pairs to 1.
        fnmr: genuine pairs refused at these.
        low, high: where 95 % of the draws of people lie.
    """

    far: np.ndarray
    fnmr: np.ndarray
    low: np.ndarray
    high: np.ndarray


def det_curve(shares: Shares, drawn: Shares) -> DetCurve:
    """Detection error trade-off with its interval over people.

    Args:
        shares: of all people. drawn: of people drawn with `draw_identities`.
    """
    far = np.logspace(np.log10(min(1.0, LEAST_ACCEPTS / shares.impostors)), 0, _DET_POINTS)
    refused = 1 - np.array([np.interp(far, false, true) for true, false in zip(drawn.true, drawn.false)])
    low, high = np.quantile(refused, (0.025, 0.975), axis=0)
    return DetCurve(far, 1 - np.interp(far, shares.false[0], shares.true[0]), low, high)


def cosine_at(shares: Shares, far: float) -> float:
    """The lowest border of a bin at which no more impostor pairs are accepted than the share `far`."""
    return 1 - 2 * (int(np.searchsorted(shares.false[0], far, side="right")) - 1) / BINS


def false_accept_rate(shares: Shares, drawn: Shares, cosine: float) -> tuple[float, float, float]:
    """Share of impostor pairs at or above a cosine: (rate, 2.5 %, 97.5 % over drawn people)."""
    place, borders = (1 - cosine) * BINS / 2, np.arange(BINS + 1)
    low, high = np.quantile([np.interp(place, borders, one) for one in drawn.false], (0.025, 0.975))
    return float(np.interp(place, borders, shares.false[0])), float(low), float(high)


def promised_cosines(distances: np.ndarray, issame: np.ndarray) -> dict[float, float]:
    """{FAR: cosine} of the thresholds that a verification set gives, where ten impostor pairs or more stand for it.

    Args:
        distances: (n,) squared L2 distances of pairs of unit embeddings. issame: (n,) bool.
    """
    impostors = np.sort(1 - np.asarray(distances, np.float64)[~np.asarray(issame)] / 2)[::-1]
    allowed = {far: allowed_accepts(far, len(impostors)) for far in (1e-1, *FARS)}
    return {far: float(impostors[count - 1]) for far, count in allowed.items() if count >= LEAST_ACCEPTS}


def identity_errors(counts: PairCounts, cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each identity: genuine pairs refused and impostor pairs accepted at a cosine, as shares, (I,) each.

    NaN where an identity has no genuine pair.
    """
    first = int(round((1 + cosine) * BINS / 2))
    genuine = counts.genuine.sum(axis=1)
    refused = np.full(len(genuine), np.nan)
    np.divide(counts.genuine[:, :first].sum(axis=1), genuine, out=refused, where=genuine > 0)
    return refused, counts.impostor[:, first:].sum(axis=1) / counts.impostor.sum(axis=1)


@dataclass(frozen=True)
class NormBand:
    """Genuine pairs whose shorter embedding has a length of `low` to `high`.

    Attributes:
        pairs: how many; accepted: the share that is accepted.
        least, most: where 95 % of the shares of drawn people lie.
    """

    low: float
    high: float
    pairs: int
    accepted: float
    least: float
    most: float


def rates_by_norm(embeddings: np.ndarray, labels: np.ndarray, cosine: float, bands: int = 4) -> list[NormBand]:
    """Genuine pairs in bands of as many pairs each, by the length of their shorter embedding.

    Short embeddings are those of poor pictures (MagFace, AdaFace), if the loss let them be.

    Args:
        embeddings: (n, d) before normalisation. labels: (n,).
    """
    embeddings, labels = np.asarray(embeddings), np.asarray(labels)
    vectors, lengths = unit(embeddings), np.linalg.norm(embeddings.astype(np.float64), axis=1)
    shorter, accepted, owner = [], [], []
    identities = np.unique(labels)
    for number, identity in enumerate(identities):
        own = np.flatnonzero(labels == identity)
        a, b = np.triu_indices(len(own), 1)
        shorter.append(np.minimum(lengths[own[a]], lengths[own[b]]))
        accepted.append((vectors[own] @ vectors[own].T)[a, b] >= cosine)
        owner.append(np.full(len(a), number))
    length, hit, person = np.concatenate(shorter), np.concatenate(accepted), np.concatenate(owner)
    draws = draw_identities(len(identities))
    found = []
    for part in filter(len, np.array_split(np.argsort(length, kind="stable"), bands)):
        pairs, hits = (np.bincount(person[part], of, len(identities)) for of in (None, hit[part]))
        shares = (draws @ hits) / np.maximum(draws @ pairs, 1)
        least, most = np.quantile(shares, (0.025, 0.975)).tolist()
        ends = float(length[part[0]]), float(length[part[-1]])
        found.append(NormBand(*ends, len(part), float(hit[part].mean()), least, most))
    return found

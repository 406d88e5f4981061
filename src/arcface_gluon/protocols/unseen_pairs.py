"""All pairs of labelled images of people who were not in training, with intervals over people and seeds.

A .bin of some thousand pairs resolves few differences between losses: an image counts in one or two pairs, and its
folds say nothing of other people. Here every pair of the images counts, and uncertainty is that of drawing other
people: an identity is drawn with all its images (bootstrap), the same draws for all models, so that differences between
models are paired. Seeds of training are a second source of uncertainty, see `paired_interval`.

Letters: n images, I identities, R draws of identities, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy.stats import t

from ..errors import UserError
from .scores.blocks import unit

# Cosines are counted in bins of 1/2048; between their borders rates are interpolated.
BINS = 4096
FARS = (1e-2, 1e-3, 1e-4)
# A rate at a FAR that fewer impostor pairs than this stand for is left out: it would be about those few.
LEAST_ACCEPTS = 10
ACCURACY = "accuracy"
DRAWS = 400
_BLOCK_IMAGES = 256


@dataclass(frozen=True)
class PairCounts:
    """Genuine and impostor pairs by cosine.

    Attributes:
        genuine: (I, BINS) float64, pairs of two images of the identity; bin b holds cosines from -1 + b/2048.
        impostor: (I, BINS) float64, pairs of an image of the identity with one of another; each pair counts for both
            identities, half for each.
    """

    genuine: np.ndarray
    impostor: np.ndarray

    def shares(self, weights: np.ndarray | None = None) -> Shares:
        """Shares of the pairs that are accepted, for identities taken so many times.

        An impostor pair has two identities; its weight, the product of theirs, is taken to first order
        (w_i + w_j - 1), as is usual for statistics of pairs.

        Args:
            weights: (R, I), as from `draw_identities`; None: each identity once.
        """
        weights = np.ones((1, len(self.genuine))) if weights is None else weights
        impostors = int(self.impostor.sum())
        return Shares(_accepted(weights, self.genuine), _accepted(2 * weights - 1, self.impostor), impostors)


@dataclass(frozen=True)
class Shares:
    """Shares of genuine and of impostor pairs at or above each cosine.

    Attributes:
        true, false: (R, BINS + 1), from 0 to 1, never falling: of cosines of 1 - k/2048 and more.
        impostors: how many impostor pairs there are.
    """

    true: np.ndarray
    false: np.ndarray
    impostors: int

    @property
    def measures(self) -> list[str]:
        """What is defined: "accuracy", and "TAR@FAR=…" where at least ten impostor pairs stand for the FAR."""
        return [ACCURACY, *(tar_name(far) for far in FARS if far * self.impostors >= LEAST_ACCEPTS)]


def tar_name(far: float) -> str:
    """What the true accept rate at a false accept rate, a power of ten, is called: "TAR@FAR=1e-3"."""
    return f"TAR@FAR=1e{round(np.log10(far))}"


def count_pairs(embeddings: np.ndarray, labels: np.ndarray) -> PairCounts:
    """Count the cosines of all pairs.

    Args:
        embeddings: (n, d), of any length.
        labels: (n,) identity of each image.

    Raises:
        UserError: an embedding is zero or not finite; fewer than two identities, or none has two images.
    """
    identities, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(identities) < 2 or sizes.max() < 2:
        raise UserError("all pairs of unseen people need two identities or more, one of them with two images")
    order = np.argsort(labels, kind="stable")
    vectors, ends = unit(np.asarray(embeddings)[order]), np.cumsum(sizes)
    genuine, impostor = (np.zeros((len(identities), BINS)) for _ in range(2))
    first = 0
    while first < len(identities):  # as many identities as have some hundred images together
        last = first + 1
        while last < len(identities) and ends[last] - ends[first] + sizes[first] <= _BLOCK_IMAGES:
            last += 1
        _count_block(vectors, ends, sizes, first, last, genuine, impostor)
        first = last
    return PairCounts(genuine, impostor)


def _count_block(vectors, ends, sizes, first, last, genuine, impostor):
    begin = ends[first] - sizes[first]
    cosines = vectors[begin : ends[last - 1]] @ vectors.T
    cosines += 1
    cosines *= BINS // 2
    bins = np.clip(cosines, 0, BINS - 1).astype(np.intp)
    for identity in range(first, last):
        own = slice(ends[identity] - sizes[identity], ends[identity])
        rows = bins[own.start - begin : own.stop - begin]
        within = rows[:, own][np.triu_indices(sizes[identity], 1)]
        genuine[identity] = np.bincount(within, minlength=BINS)
        all_pairs = np.bincount(rows.ravel(), minlength=BINS)
        impostor[identity] = (all_pairs - np.bincount(rows[:, own].ravel(), minlength=BINS)) / 2


def draw_identities(identities: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each identity is drawn: (R, I) float64, each row adding up to I. The same for the same arguments."""
    rng = np.random.default_rng([seed, identities])
    return rng.multinomial(identities, np.full(identities, 1 / identities), draws).astype(np.float64)


def pair_measures(shares: Shares) -> dict[str, np.ndarray]:
    """Balanced accuracy at its best threshold, and TAR at the FARs.

    Balanced: the mean of the rates at which genuine pairs are accepted and impostor pairs refused, as in a set with as
    many of both.

    Returns:
        {measure: (R,) in 0 to 1}, of `shares.measures`.
    """
    measured = {ACCURACY: 0.5 + np.max(shares.true - shares.false, axis=1) / 2}
    for far in FARS:
        if tar_name(far) in shares.measures:
            rows = zip(shares.true, shares.false)
            measured[tar_name(far)] = np.array([np.interp(far, false, true) for true, false in rows])
    return measured


def _accepted(weights, counts):
    accepted = np.zeros((len(weights), BINS + 1))
    np.cumsum((weights @ counts)[:, ::-1], axis=1, out=accepted[:, 1:])
    accepted /= accepted[:, -1:]
    # Weights to first order may be negative: of few people, sums of theirs may fall, or pass the whole.
    return np.maximum.accumulate(np.clip(accepted, 0, 1), axis=1)


PER_CENT, DIFFERENCES = (0.0, 100.0), (-100.0, 100.0)  # what rates, and differences of two of them, lie between


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and where it lies with 95 %; in the unit of what it was made of."""

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        """With two digits: 93.53 (92.86 to 94.20)."""
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})".replace("-", "−")

    @property
    def resolved(self) -> bool:
        """Whether it leaves out 0, by two seeds or more: from one, nobody knows how much seeds differ."""
        return self.seeds > 1 and (self.low > 0 or self.high < 0)


def paired_interval(
    points: np.ndarray | Sequence[float],
    draws: np.ndarray | Sequence[np.ndarray],
    people: int,
    limits: tuple[float, float] = PER_CENT,
    level: float = 0.95,
) -> Interval:
    """The mean over seeds, and its interval over other seeds and other people.

    The variance is the sum of that of the mean over seeds, s^2 / S, and of that of the mean of the seeds over draws of
    identities; what depends on both is in each of them, so that the interval is a little wide rather than narrow.
    Student's t has the degrees of freedom of Welch and Satterthwaite, of S - 1 and I - 1: ten people say less of their
    own spread than a thousand. With one seed the seeds' part is unknown and left out. The interval is symmetric, and
    cut off at the limits of what is measured: few seeds that differ much say nothing of which rates are possible.

    Args:
        points: (S,) a value a seed, such as the difference of two losses.
        draws: (S, R) the same for drawn identities, of which column k has the same draws for all seeds.
        people: I, from which they were drawn.
        limits: the least and the largest value that there can be; of a rate in per cent, or `DIFFERENCES`.
    """
    values, seeds = np.asarray(points, np.float64), len(points)
    mean = float(values.mean())
    of_people = np.asarray(draws, np.float64).mean(axis=0).var(ddof=1)
    of_seeds = values.var(ddof=1) / seeds if seeds > 1 else 0.0
    variance, half = of_seeds + of_people, 0.0
    if variance > 0:
        freedom = variance**2 / (of_seeds**2 / max(1, seeds - 1) + of_people**2 / (people - 1))
        half = float(t.ppf(0.5 + level / 2, freedom) * np.sqrt(variance))
    return Interval(mean, max(mean - half, limits[0]), min(mean + half, limits[1]), seeds)

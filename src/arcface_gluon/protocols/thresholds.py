"""Thresholds for chosen false accept rates, with how sure the pairs make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..errors import UserError
from .scores.curves import allowed_accepts
from .verification import pair_angles

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_LEVEL = 0.95
_DRAWS = 1000
_VALUES = 1 << 24  # weights of pairs at a time


@dataclass(frozen=True)
class OperatingPoint:
    """Pairs closer than `angle` degrees (a cosine above `cosine`) count as one person's.

    Attributes:
        far: the false accept rate that was asked for, at most.
        cosine, angle: the threshold.
        false_accepts: impostor pairs that it accepts.
        tar: share of the genuine pairs that it accepts; NaN without any.
        angle_interval: (low, high) of 95 %: where other pairs would have put the threshold, in degrees.
        far_interval, tar_interval: (low, high) of 95 % of its rates on other pairs.
    """

    far: float
    cosine: float
    angle: float
    false_accepts: int
    tar: float
    angle_interval: tuple[float, float]
    far_interval: tuple[float, float]
    tar_interval: tuple[float, float]


def calibrate(
    distances: np.ndarray,
    issame: np.ndarray,
    fars: Sequence[float] = FARS,
    people: np.ndarray | None = None,
    seed: int = 0,
) -> list[OperatingPoint]:
    """Thresholds at false accept rates, as far as there are impostor pairs enough for one false accept.

    The threshold is the largest one with a rate of at most that on these pairs; the share of genuine pairs is then
    TAR at FAR of `verification.tar_at_far`.

    Intervals: pairs of the same people are not independent. Where `people` says whose they are, 1,000 bootstrap samples
    draw people, with all pairs among those drawn (Bolle, Ratha and Pankanti, CVIU 93(1), 2004: the subsets bootstrap).
    Else pairs count as independent: the exact binomial interval (Clopper and Pearson, Biometrika 26(4), 1934) of the
    rates, and the order statistics that it leads to for the threshold.

    Args:
        distances: (n,) squared L2 distances of unit embeddings, see `verification.pair_distances`.
        issame: (n,) whether a pair is of one person.
        fars: rates, between 0 and 1.
        people: (n, 2) whose the two images of each pair are, as numbers from 0; None where that is not known.
        seed: of the samples.

    Raises:
        UserError: there are no impostor pairs, or too few for any of the rates.
    """
    issame = np.asarray(issame, bool)
    impostors, genuine = np.sort(distances[~issame].astype(np.float64)), np.sort(distances[issame].astype(np.float64))
    possible = [far for far in sorted(fars, reverse=True) if allowed_accepts(far, len(impostors)) >= 1]
    if not possible:
        wanted = f"; FAR {max(fars):g} needs {int(np.ceil(1 / max(fars))):,}" if len(impostors) else ""
        raise UserError(f"{len(impostors):,} impostor pairs give no threshold{wanted}: take a set with more pairs")
    thresholds = [float(impostors[min(allowed_accepts(far, len(impostors)), len(impostors) - 1)]) for far in possible]
    if people is None:
        intervals = [_binomial(impostors, genuine, far, t) for far, t in zip(possible, thresholds)]
    else:
        intervals = _bootstrap(distances, issame, people, possible, thresholds, seed)
    points = []
    for far, threshold, (angles, rates, accepted) in zip(possible, thresholds, intervals):
        false = int(np.searchsorted(impostors, threshold, side="left"))
        tar = np.searchsorted(genuine, threshold, side="left") / len(genuine) if len(genuine) else float("nan")
        degrees, cosine = float(pair_angles(threshold)), 1 - threshold / 2
        points.append(OperatingPoint(far, cosine, degrees, false, float(tar), angles, rates, accepted))
    return points


def people_of_pairs(images: Sequence[Any], issame: np.ndarray | Sequence[bool]) -> np.ndarray | None:
    """Whose the images of pairs are, as far as the pairs tell: equal images, and the two of a genuine pair, are of one.

    Args:
        images: 2n, hashable; 2i and 2i+1 are a pair.
        issame: (n,).

    Returns:
        (n, 2) numbers from 0; None where hardly an image is in more than one pair, so that nothing is told.
    """
    numbers, people = connected_images(images, issame)
    if len(people) > len(numbers):  # images are in fewer than two pairs in the mean
        return None
    return people[numbers]


def connected_images(images: Sequence[Any], issame: np.ndarray | Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct images of pairs, and the people that genuine pairs connect them to.

    Args:
        images: 2n, hashable; 2i and 2i+1 are a pair.
        issame: (n,).

    Returns:
        (n, 2) the number of each pair's images among the m distinct ones, in the order in which they first stand; and
        (m,) whose each of these is, as numbers from 0.
    """
    index: dict = {}
    numbers = np.array([index.setdefault(image, len(index)) for image in images], np.intp).reshape(-1, 2)
    first, second = numbers[np.asarray(issame, bool)].T
    links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(index), len(index)))
    return numbers, connected_components(links, directed=False)[1]


def _binomial(impostors, genuine, far, threshold):
    count = len(impostors)
    false = int(np.searchsorted(impostors, threshold, side="left"))
    low, high = (int(stats.binom.ppf(p, count, far)) for p in ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
    places = np.minimum([low, high + 1], count - 1)
    accepted = int(np.searchsorted(genuine, threshold, side="left"))
    return _pair(pair_angles(impostors[places])), clopper_pearson(false, count), clopper_pearson(accepted, len(genuine))


def clopper_pearson(hits: int, count: int, level: float = _LEVEL) -> tuple[float, float]:
    """(low, high) of a rate of which `hits` of `count` independent trials were seen; NaN without trials."""
    if not count:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, hits, count - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, count - hits) if hits < count else 1.0
    return float(low), float(high)


def _bootstrap(distances, issame, people, fars, thresholds, seed):
    """[(interval of the angle, of the FAR, of the TAR)] of each rate, over samples of people."""
    order = np.argsort(distances, kind="stable")
    distances, issame, people = distances[order].astype(np.float64), issame[order], np.asarray(people)[order]
    far_away, count = ~issame, int(people.max()) + 1
    places = [int(np.searchsorted(distances[far_away], t, side="left")) for t in thresholds]
    close = [int(np.searchsorted(distances[issame], t, side="left")) for t in thresholds]
    random, step = np.random.default_rng(seed), max(1, _VALUES // max(1, len(distances)))
    found = [([], [], []) for _ in fars]
    for start in range(0, _DRAWS, step):
        drawn = random.multinomial(count, np.full(count, 1 / count), min(step, _DRAWS - start))
        between = np.cumsum(drawn[:, people[far_away, 0]] * drawn[:, people[far_away, 1]], axis=1)
        within = np.cumsum(drawn[:, people[issame, 0]], axis=1)
        for i, (far, place, near) in enumerate(zip(fars, places, close)):
            angles, rates, accepted = found[i]
            for sums, genuine in zip(between, within):
                if not sums[-1]:
                    continue  # one person drawn again and again
                first = min(int(np.searchsorted(sums, round(far * sums[-1], 6), side="right")), len(sums) - 1)
                angles.append(pair_angles(distances[far_away][first]))
                rates.append(sums[place - 1] / sums[-1] if place else 0.0)
                if len(genuine) and genuine[-1]:
                    accepted.append(genuine[near - 1] / genuine[-1] if near else 0.0)
    impostors, genuine = int(far_away.sum()), int(issame.sum())
    intervals = []
    for (angles, rates, accepted), place, near in zip(found, places, close):
        # Where no pair, or every pair, is accepted, so it is in every sample: the pairs' own number says more.
        outer = clopper_pearson(place, impostors) if place in (0, impostors) else _middle(rates)
        inner = clopper_pearson(near, genuine) if near in (0, genuine) else _middle(accepted)
        intervals.append((_middle(angles), outer, inner))
    return intervals


def _middle(values):
    return _pair(np.percentile(values, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])) if values else (float("nan"),) * 2


def _pair(values):
    return float(values[0]), float(values[1])

"""Thresholds beside the verification protocol's own rates, SciPy's intervals, and a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.thresholds import calibrate, clopper_pearson, people_of_pairs
from arcface_gluon.protocols.verification import evaluate_pairs


def pairs(people=20, each=6, impostors=2000, seed=0):
    """(embeddings of pairs, issame, the images' numbers, whose they are)."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, 16))
    rows = (centres[:, None] + random.normal(size=(people, each, 16)) * 0.9).reshape(-1, 16)
    first, second = random.integers(0, len(rows), (2, 40_000))
    apart = first // each != second // each
    near = (first // each == second // each) & (first != second)
    chosen = np.r_[np.flatnonzero(near)[:900], np.flatnonzero(apart)[:impostors]]
    images = np.stack([first[chosen], second[chosen]], axis=1)
    return rows[images.ravel()], near[chosen], images.ravel(), images // each


def test_shares_are_those_of_the_verification_protocol():
    embeddings, same, _, people = pairs()
    result = evaluate_pairs(embeddings, same)
    for known in (None, people):
        points = calibrate(result.distances, same, people=known)
        assert {point.far: point.tar for point in points} == result.tar_at_far
        for point in points:
            accepted = 1 - result.distances[~same] / 2 > point.cosine
            assert accepted.sum() == point.false_accepts <= point.far * (~same).sum()
            assert np.cos(np.radians(point.angle)) == pytest.approx(point.cosine)
            assert point.far_interval[0] <= accepted.mean() <= point.far_interval[1]
            assert point.tar_interval[0] <= point.tar <= point.tar_interval[1]
            assert point.angle_interval[0] <= point.angle <= point.angle_interval[1]


def test_intervals_of_independent_pairs_are_scipys():
    for hits, count in ((0, 40), (3, 40), (40, 40), (450, 9000)):
        expected = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose(clopper_pearson(hits, count), expected, rtol=1e-9)
    assert np.isnan(clopper_pearson(0, 0)).all()


def test_intervals_hold_what_another_sample_gives():
    """Of the threshold at FAR 1e-2, over many sets of independent pairs of one kind; a hundredth is 3.2 in truth."""
    inside, truth = 0, stats.norm.ppf(0.01)
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=1500) * 0.1 + 2
        (point,) = calibrate(scores, np.zeros(1500, bool), [1e-2])
        low, high = (2 - 2 * np.cos(np.radians(angle)) for angle in point.angle_interval)
        inside += low <= 2 + 0.1 * truth <= high
    assert 0.92 <= inside / 200 <= 0.99


def test_few_people_leave_more_open_than_as_many_pairs_of_strangers():
    embeddings, same, _, people = pairs(people=8)
    distances = evaluate_pairs(embeddings, same).distances
    widths = []
    for known in (None, people):
        (point,) = calibrate(distances, same, [1e-2], known)
        widths.append(np.ptp(point.angle_interval))
    assert widths[1] > 1.5 * widths[0]


def test_people_are_told_by_the_images_that_pairs_share():
    images = ["a1", "a2", "a2", "a3", "b1", "b2", "a1", "b1", "b2", "a3"]
    found = people_of_pairs(images, [True, True, True, False, False])
    assert found.tolist() == [[0, 0], [0, 0], [1, 1], [0, 1], [1, 0]]
    _, same, numbers, people = pairs()
    told = people_of_pairs(numbers.tolist(), same)
    assert len(np.unique(np.stack([told.ravel(), people.ravel()]), axis=1).T) == 20  # one to one
    assert people_of_pairs(list("abcdef"), [True, False, False]) is None


def test_too_few_impostors_are_told():
    with pytest.raises(UserError, match="needs 1,000"):
        calibrate(np.linspace(0, 3, 100), np.zeros(100, bool), [1e-3])
    with pytest.raises(UserError, match="0 impostor pairs"):
        calibrate(np.linspace(0, 1, 100), np.ones(100, bool))

"""All pairs of unseen people against a plain count, and intervals against what repeated experiments show."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import t

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.unseen_pairs import (
    ACCURACY,
    DIFFERENCES,
    Interval,
    count_pairs,
    draw_identities,
    pair_measures,
    paired_interval,
    tar_name,
)


def draw_people(rng, people, images=4, spread=1.0, size=16):
    centres = rng.normal(size=(people, 1, size))
    embeddings = centres + spread * rng.normal(size=(people, images, size))
    return embeddings.reshape(-1, size), np.repeat(np.arange(people), images)


def plain_measures(embeddings, labels, fars):
    """Balanced accuracy and TAR at FARs from a list of all pairs."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    genuine, impostor = [], []
    for a, b in combinations(range(len(labels)), 2):
        (genuine if labels[a] == labels[b] else impostor).append(unit[a] @ unit[b])
    genuine, impostor = np.sort(genuine), np.sort(impostor)[::-1]
    accuracy = max(
        (np.mean(genuine >= threshold) + np.mean(impostor < threshold)) / 2 for threshold in [*genuine, *impostor]
    )
    tars = [np.mean(genuine > impostor[int(far * len(impostor))]) for far in fars]
    return len(genuine), len(impostor), accuracy, tars


def test_counts_and_rates_are_those_of_all_pairs():
    embeddings, labels = draw_people(np.random.default_rng(0), 60)
    shuffled = np.random.default_rng(1).permutation(len(labels))
    counts = count_pairs(7 * embeddings[shuffled], 10 * labels[shuffled] - 3)
    genuine, impostors, accuracy, tars = plain_measures(embeddings, labels, (1e-2, 1e-3))
    assert counts.genuine.sum() == genuine == 60 * 6
    assert counts.impostor.sum() == impostors
    assert (counts.genuine.sum(axis=1) == 6).all() and (counts.impostor.sum(axis=1) == 4 * 236 / 2).all()
    measured = pair_measures(counts.shares())
    assert list(measured) == counts.shares().measures == [ACCURACY, tar_name(1e-2), tar_name(1e-3)] == list(measured)
    assert measured[ACCURACY][0] == pytest.approx(accuracy, abs=2e-3)
    assert [measured[tar_name(far)][0] for far in (1e-2, 1e-3)] == pytest.approx(tars, abs=4e-3)


def test_people_of_unequal_numbers_of_images():
    embeddings, labels = draw_people(np.random.default_rng(2), 5, images=9)
    keep = np.concatenate([np.flatnonzero(labels == person)[: person + 1] for person in range(5)])
    counts = count_pairs(embeddings[keep], labels[keep])
    assert counts.genuine.sum(axis=1).tolist() == [0, 1, 3, 6, 10]
    assert counts.impostor.sum() == 15 * 14 / 2 - 20


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_one_person_or_no_genuine_pair_is_refused(labels):
    with pytest.raises(UserError, match="two identities or more"):
        count_pairs(np.eye(3), np.array(labels))


def test_a_rate_that_few_impostors_stand_for_is_left_out():
    embeddings, labels = draw_people(np.random.default_rng(0), 8, images=2)
    assert count_pairs(embeddings, labels).shares().measures == [ACCURACY]


def test_draws_are_the_same_for_all_models_and_keep_the_number_of_people():
    drawn = draw_identities(50, 20)
    assert (drawn == draw_identities(50, 20)).all() and (drawn.sum(axis=1) == 50).all()
    assert drawn.var() == pytest.approx(1, abs=0.2)


def test_the_spread_over_draws_is_that_of_other_people():
    rng = np.random.default_rng(3)
    measured = [pair_measures(count_pairs(*draw_people(rng, 100)).shares()) for _ in range(60)]
    counts = count_pairs(*draw_people(rng, 100))
    drawn = pair_measures(counts.shares(draw_identities(100)))
    for measure in (ACCURACY, tar_name(1e-2), tar_name(1e-3)):
        truth = np.std([one[measure][0] for one in measured], ddof=1)
        assert drawn[measure].std(ddof=1) == pytest.approx(truth, rel=0.35)
        assert drawn[measure].mean() == pytest.approx(pair_measures(counts.shares())[measure][0], abs=truth / 2)


def test_a_rate_of_impostor_pairs_varies_over_draws_no_less_than_over_other_people():
    rng, threshold = np.random.default_rng(6), 0.3
    place = int((1 - threshold) * 2048)
    people = [count_pairs(*draw_people(rng, 40)) for _ in range(150)]
    truth = np.std([counts.shares().false[0, place] for counts in people])
    found = np.mean([counts.shares(draw_identities(40, 200)).false[:, place].std() for counts in people[:10]])
    assert truth < found < 2 * truth  # weighed by one of its two people alone it would be below


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, held, trials = np.random.default_rng(4), 0, 400
    for _ in range(trials):
        # A difference of 1 with a part by seed and a part by people, whose draws are around it.
        seeds, people = rng.normal(0, 0.5, 5), rng.normal(0, 0.4)
        points = 1 + seeds + people
        draws = points[:, None] + rng.normal(0, 0.4, 200)
        found = paired_interval(points, draws, 1000)
        held += found.low <= 1 <= found.high
    assert 0.92 < held / trials <= 0.995


def test_with_one_seed_the_interval_is_that_over_people_and_resolves_nothing():
    draws = np.random.default_rng(5).normal(2, 0.1, (1, 5000))
    found = paired_interval([2.0], draws, 1000)
    assert found.mean == 2 and found.high - found.low == pytest.approx(2 * 1.96 * 0.1, rel=0.05)
    assert found.low > 0 and not found.resolved
    assert Interval(0.2, 0.1, 0.3, 2).resolved and not Interval(0.1, -0.1, 0.3, 2).resolved


def test_no_interval_leaves_what_is_possible():
    points, draws = [2.0, 60.0, 99.0], np.random.default_rng(8).normal(50, 5, (3, 500))
    found = paired_interval(points, draws, 1000)
    assert (found.low, found.high) == (0, 100) and found.mean == pytest.approx(161 / 3)
    wide = paired_interval(points, draws, 1000, DIFFERENCES)
    assert wide.low == pytest.approx(2 * found.mean - paired_interval(points, draws, 1000, (-1e9, 1e9)).high)
    assert -100 < wide.low < 0 and wide.high == 100


def test_few_people_tell_less_of_their_own_spread():
    rng = np.random.default_rng(7)
    points, draws = rng.normal(2, 0.1, 3), rng.normal(2, 0.1, (3, 4000))
    few, many = (paired_interval(points, draws, people) for people in (10, 10_000))
    of_seeds, of_people = points.var(ddof=1) / 3, draws.mean(axis=0).var(ddof=1)
    freedom = (of_seeds + of_people) ** 2 / (of_seeds**2 / 2 + of_people**2 / 9)
    assert few.high - few.mean == pytest.approx(t.ppf(0.975, freedom) * np.sqrt(of_seeds + of_people))
    assert few.high - few.low > many.high - many.low


def test_shares_of_draws_of_three_people_stay_between_none_and_all():
    counts = count_pairs(*draw_people(np.random.default_rng(9), 3))
    shares = counts.shares(np.array([[3.0, 0, 0], [0, 3, 0], [0, 0, 3], [1, 2, 0]]))
    for rates in (shares.true, shares.false):
        assert rates.min() == 0 and rates.max() == 1 and (np.diff(rates, axis=1) >= 0).all()

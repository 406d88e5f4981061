"""The order of losses beside the paper's, from made-up measurements whose answer is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from arcface_gluon import recipe
from arcface_gluon.report.loss_order import Measured, kendall_taus, order_of, paper_scores

ROWS = {name: entry["paper"]["row"] for name, entry in recipe.losses().items() if entry["paper"]}


def measured(values, noise=0.01, seeds=3):
    """{loss: measured} around the values, with independent noise of seeds and people."""
    rng, found = np.random.default_rng(0), {}
    for loss, value in values.items():
        points = value + rng.normal(0, noise, seeds)
        found[loss] = Measured(
            dict(enumerate(points)),
            {seed: point + rng.normal(0, noise, 100) for seed, point in enumerate(points)},
            1000,
        )
    return found


def test_the_papers_scores_and_their_errors():
    score = paper_scores(ROWS)["arcface"]
    assert score.mean == pytest.approx((99.53 + 95.56 + 95.15) / 3)
    errors = [np.sqrt(p * (100 - p) / n) for p, n in ((99.53, 6000), (95.56, 7000), (95.15, 6000))]
    assert score.error == pytest.approx(np.sqrt(sum(e**2 for e in errors)) / 3)
    assert "norm-softmax-s20" not in paper_scores(ROWS)


def test_the_papers_own_order_is_found():
    order = order_of(measured({"arcface": 95, "sphereface": 93, "triplet": 91, "norm-softmax": 90}), paper_scores(ROWS))
    # Triplet and SphereFace, and so on: all six pairs differ by a hundred errors.
    assert (order.pairs, order.resolved, order.agreeing, order.softmax) == (6, 6, 6, (0, 0, 0))
    assert order.right == list(combinations(("arcface", "sphereface", "triplet", "norm-softmax"), 2))
    assert "as there: arcface above sphereface, " in order.sentence()
    assert order.paper_opposed == 0 and 0 < order.paper_agreeing == order.paper_resolved <= 6
    assert order.tau == 1 and order.perfect[0] > 0.95 and not order.wrong
    assert "of 6 pairs of losses 6 are resolved, 6 of these in the paper's order, 0 unresolved" in order.sentence()


def test_the_other_way_is_named_and_softmax_stands_apart():
    order = order_of(measured({"arcface": 90, "norm-softmax": 95, "softmax": 97}), paper_scores(ROWS))
    assert (order.pairs, order.resolved, order.agreeing) == (1, 1, 0)
    assert order.softmax == (2, 2, 1) and order.tau < 0
    assert ("norm-softmax", "arcface") in order.wrong and ("softmax", "arcface") in order.wrong
    assert "norm-softmax above arcface" in order.sentence().partition("the other way: ")[2]


def test_noise_leaves_pairs_unresolved_and_lowers_what_a_perfect_replication_reaches():
    values = {"arcface": 95, "sphereface": 94.9, "triplet": 94.8, "norm-softmax": 94.7}
    order = order_of(measured(values, noise=1.0), paper_scores(ROWS))
    assert order.resolved < order.pairs and order.perfect[1] < 0.5


def test_pairing_resolves_what_common_noise_hides():
    common = np.random.default_rng(1).normal(0, 5, (3, 100))
    found = {
        loss: Measured({s: value + common[s, 0] for s in range(3)}, {s: value + common[s] for s in range(3)}, 1000)
        for loss, value in (("arcface", 91.0), ("norm-softmax", 90.0))
    }
    difference = found["arcface"].minus(found["norm-softmax"])
    assert difference.low == pytest.approx(1) and difference.high == pytest.approx(1)
    assert not (found["arcface"].interval.low > 90)
    assert found["arcface"].minus(Measured({7: 1.0}, {7: common[0]}, 1000)) is None


def test_losses_that_the_paper_has_not_take_no_part():
    assert order_of(measured({"arcface": 90, "magface": 95}), paper_scores(ROWS)) is None


def test_one_seed_resolves_nothing_and_tells_no_perfect_replication():
    values = {"arcface": 95, "sphereface": 93, "triplet": 91, "norm-softmax": 90}
    order = order_of(measured(values, seeds=1), paper_scores(ROWS))
    assert (order.pairs, order.resolved, order.tau, order.perfect) == (6, 0, 1, None)
    assert "6 unresolved" in order.sentence() and order.sentence().endswith("Kendall's tau 1.00.")


def test_a_missing_run_leaves_the_seeds_that_all_have():
    found = measured({"arcface": 95, "triplet": 91, "norm-softmax": 90})
    missing = found["triplet"]
    found["triplet"] = Measured({1: missing.values[1], 2: missing.values[2]}, missing.draws, 1000)
    assert found["arcface"].minus(found["triplet"]).seeds == 2 and found["arcface"].interval.seeds == 3
    assert order_of(found, paper_scores(ROWS)).perfect[0] > 0.9


def test_a_perfect_replication_reaches_what_repeated_ones_do():
    losses = ["arcface", "cosface", "sphereface", "triplet", "norm-softmax", "ns-intra", "ns-inter"]
    scores = paper_scores(ROWS)
    theirs = np.array([scores[loss].mean for loss in losses])
    rng, taus, promised = np.random.default_rng(1), [], []
    for _ in range(40):
        points = theirs[:, None] + rng.normal(0, 2, (len(losses), 5))
        found = {
            loss: Measured(dict(enumerate(own)), {s: own[s] + rng.normal(0, 0.01, 50) for s in range(5)}, 1000)
            for loss, own in zip(losses, points)
        }
        order = order_of(found, scores)
        taus.append(order.tau)
        promised.append(order.perfect[0])
    assert np.mean(promised) == pytest.approx(np.mean(taus), abs=0.08)


def test_taus_of_many_are_scipys():
    rng = np.random.default_rng(2)
    one, many = np.array([1.0, 3, 2, 2, 5]), rng.normal(size=(6, 5))
    assert kendall_taus(one, many) == pytest.approx([kendalltau(one, other)[0] for other in many])

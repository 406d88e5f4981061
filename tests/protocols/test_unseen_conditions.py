"""Rates by condition against a loop over all pairs."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest

from arcface_gluon.protocols.unseen_conditions import rates_by_condition
from arcface_gluon.protocols.unseen_pairs import draw_identities


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat(np.arange(30), 9) * 7)  # in no order, and more images than a block
    embeddings = rng.normal(size=(30, 1, 6))[labels // 7, 0] + 0.7 * rng.normal(size=(270, 6))
    pose = rng.choice(["frontal", "left", "across"], 270, p=[0.6, 0.3, 0.1])
    return embeddings.astype(np.float32), labels, {"pose": pose, "light": rng.choice(["a", "b"], 270)}


def test_rates_are_those_of_a_loop_over_all_pairs(people):
    embeddings, labels, conditions = people
    vectors = embeddings.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = defaultdict(lambda: np.zeros(4))
    of_people, of_impostors = defaultdict(lambda: np.zeros((30, 2))), defaultdict(lambda: np.zeros((30, 2)))
    for a, b in combinations(range(len(labels)), 2):
        hit, same = vectors[a] @ vectors[b] >= 0.35, labels[a] == labels[b]
        for name, values in conditions.items():
            kinds = ["alike", values[a]] if values[a] == values[b] else ["across"]
            for place, kind in enumerate(kinds):
                counts = [hit, 1, 0, 0] if same else [0, 0, hit, 1]
                expected[name, kind, place == 1] += counts
                if same:
                    of_people[name, kind, place == 1][labels[a] // 7] += [hit, 1]
                else:
                    of_impostors[name, kind, place == 1][[labels[a] // 7, labels[b] // 7]] += [hit, 1]
    found = rates_by_condition(embeddings, labels, conditions, 0.35)
    assert {(one.condition, one.kind, one.of_value) for one in found} == set(expected)
    for one in found:
        key = one.condition, one.kind, one.of_value
        accepted, genuine, false, impostors = expected[key]
        assert (one.genuine, one.impostors) == (genuine, impostors)
        assert (one.accepted, one.false) == (pytest.approx(accepted / genuine), pytest.approx(false / impostors))
        drawn = draw_identities(30) @ of_people[key]
        np.testing.assert_allclose(one.draws, drawn[:, 0] / drawn[:, 1], atol=1e-12)
        # A pair of people who are drawn v and w times counts v + w - 1 times.
        drawn = draw_identities(30) @ of_impostors[key] - [false, impostors]
        np.testing.assert_allclose(one.false_draws, np.clip(drawn[:, 0] / drawn[:, 1], 0, 1), atol=1e-12)
        assert one.false_draws.std() > 0 and abs(one.false_draws.mean() - one.false) < 5 * one.false_draws.std()


def test_kinds_without_genuine_pairs_are_left_out(people):
    embeddings, labels, _ = people
    pose = np.where(labels < 100, "frontal", "left")  # the same for all images of a person
    found = rates_by_condition(embeddings, labels, {"pose": pose}, 0.35)
    assert [one.kind for one in found] == ["alike", "frontal", "left"]

"""MAP@k against a naive loop in float64 and scikit-learn's average precision."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.iqiyi import combine, mean_average_precision


def naive(scores, query_labels, video_labels, k):
    result = []
    for row, person in zip(scores, query_labels):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        relevant, hits, total = sum(video_labels == person), 0, 0.0
        for rank, j in enumerate(order[:k], 1):
            if video_labels[j] == person:
                hits += 1
                total += hits / rank
        if relevant:
            result.append(total / relevant)
    return np.array(result)


@pytest.mark.parametrize("k", [1, 5, 20, 500])
@pytest.mark.parametrize("tied", [True, False])
def test_map_agrees_with_a_naive_loop(k, tied):
    random = np.random.default_rng(0)
    queries = random.integers(-2, 3, (9, 5)) if tied else random.normal(size=(9, 5))
    videos = random.integers(-2, 3, (130, 5)) if tied else random.normal(size=(130, 5))
    people = np.array([5, 3, 99, 7, 1, 2, 8, 6, 4])
    labels = random.choice([-1, -1, 1, 2, 3, 4, 5, 6, 7], 130)  # 8 and 99 have no video
    result = mean_average_precision(queries, people, videos, labels, k)
    expected = naive(queries.astype(float) @ videos.T.astype(float), people, labels, k)
    np.testing.assert_allclose(result.average_precision, expected, atol=1e-12)
    assert result.map == pytest.approx(expected.mean(), abs=1e-12)
    assert result.without_relevant == 2
    assert result.more_than_k == sum(np.count_nonzero(labels == p) > k for p in people)
    assert json.loads(json.dumps(result.to_json()))[f"map_at_{k}"] == result.map


def test_without_a_cut_and_ties_it_is_scikit_learns_average_precision():
    random = np.random.default_rng(1)
    queries, videos, labels = random.normal(size=(3, 6)), random.normal(size=(80, 6)), random.integers(0, 3, 80)
    result = mean_average_precision(queries, [0, 1, 2], videos, labels, k=80)
    scores = queries @ videos.T
    expected = [average_precision_score(labels == p, scores[p]) for p in range(3)]
    np.testing.assert_allclose(result.average_precision, expected, atol=1e-12)


def test_combined_parts_score_the_weighted_sum():
    random = np.random.default_rng(2)
    parts = [(random.normal(size=(4, d)), random.normal(size=(7, d))) for d in (3, 5, 2)]
    products = [q @ v.T for q, v in parts]
    for weights, expected in [
        (None, sum(products) / 3),
        ([1, 0.5, 0], products[0] + products[1] / 2),
    ]:
        queries, videos = combine(parts, weights)
        np.testing.assert_allclose(queries @ videos.T, expected, atol=1e-5)


def test_bad_input_is_told_in_one_line():
    queries, videos, people = np.eye(3), np.ones((4, 3)), [0, 1, 2]
    broken = videos.copy()
    broken[2, 1] = np.nan
    for call, words in [
        (lambda: mean_average_precision(queries, people, videos, [0, 1]), "4 with 2|4 videos with 2"),
        (lambda: mean_average_precision(queries, people, videos[:, :2], [0] * 4), "use one model"),
        (lambda: mean_average_precision(queries, [0, 1, 1], videos, [0] * 4), "person 1 is queried twice"),
        (lambda: mean_average_precision(queries, people, videos, [-1] * 4), "no video shows"),
        (lambda: mean_average_precision(queries, people, broken, [0] * 4, names=list("wxyz")), "video y has NaN"),
        (lambda: mean_average_precision(queries * np.nan, people, videos, [1] * 4), "query 1 has NaN"),
        (lambda: combine([(queries, videos), (queries[:2], videos)]), "do not fit the first"),
        (lambda: combine([(queries, videos)], [1, 2]), "give one a set"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)

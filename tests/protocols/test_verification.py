"""The verification protocol against a naive copy of the reference's loops, and against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import verification
from arcface_gluon.protocols.verification import evaluate_pairs


def some_pairs(pairs=200, size=16, noise=1.2, seed=0, dtype=np.float32, order="mixed"):
    """Embeddings of pairs that overlap enough to have errors at every threshold, of any length."""
    rng = np.random.default_rng(seed)
    alternating = np.arange(pairs) % 2 == 0
    orders = {"mixed": rng.permutation, "sorted": lambda truth: np.sort(truth)[::-1], "alternating": np.copy}
    issame = orders[order](alternating)
    first = rng.normal(size=(pairs, size))
    second = np.where(issame[:, None], first + noise * rng.normal(size=first.shape), rng.normal(size=first.shape))
    rows = np.empty((2 * pairs, size))
    rows[0::2], rows[1::2] = first, second
    return (rows * rng.uniform(0.1, 30, size=(2 * pairs, 1))).astype(dtype), issame


def naive_distances(embeddings):
    unit = normalize(embeddings)
    return np.sum(np.square(unit[0::2] - unit[1::2]), 1)


def naive_accuracy(distance, issame, folds):
    """The reference's loops: every threshold, every fold, one pair at a time decided by distance < threshold."""
    thresholds = np.arange(0, 4, 0.01)
    accuracies, best = [], []
    for train, test in KFold(folds, shuffle=False).split(np.arange(len(issame))):
        scores = []
        for threshold in thresholds:
            scores.append(np.sum(np.less(distance[train], threshold) == issame[train]) / len(train))
        best.append(thresholds[np.argmax(scores)])
        accuracies.append(np.sum(np.less(distance[test], best[-1]) == issame[test]) / len(test))
    return np.mean(accuracies), np.std(accuracies), np.mean(best)


def naive_val(distance, issame, folds, target=1e-3):
    thresholds = np.arange(0, 4, 0.001)
    vals, fars = [], []
    for train, test in KFold(folds, shuffle=False).split(np.arange(len(issame))):
        impostors = ~issame[train]
        train_far = np.array([np.sum(np.less(distance[train], t) & impostors) / impostors.sum() for t in thresholds])
        threshold = np.interp(target, train_far, thresholds) if train_far.max() >= target else 0.0
        accept = np.less(distance[test], threshold)
        vals.append(np.sum(accept & issame[test]) / np.sum(issame[test]))
        fars.append(np.sum(accept & ~issame[test]) / np.sum(~issame[test]))
    return np.mean(vals), np.std(vals), np.mean(fars)


@pytest.mark.parametrize("pairs, folds, dtype", [(200, 10, np.float32), (203, 10, np.float64), (57, 3, np.float32)])
def test_equals_the_reference_loops(pairs, folds, dtype):
    embeddings, issame = some_pairs(pairs, seed=pairs, dtype=dtype)
    result = evaluate_pairs(embeddings, issame, folds)
    distance = naive_distances(embeddings)
    np.testing.assert_array_equal(result.distances, distance)
    assert 0.6 < result.accuracy < 1, "the data must have errors for this test to tell anything"
    assert (result.accuracy, result.std, result.threshold) == pytest.approx(
        naive_accuracy(distance, issame, folds), abs=1e-12
    )
    assert (result.val, result.val_std, result.far) == pytest.approx(naive_val(distance, issame, folds), abs=1e-12)


def test_equals_the_reference_on_coarse_distances_with_many_ties():
    """Distances that repeat and lie on the thresholds: 1.0, 2.0 and 3.0 exactly, and 0 of identical images."""
    rng = np.random.default_rng(5)
    axes = np.array([[1, 1, 0, 0], [1, -1, 0, 0], [1, 1, 1, 1], [2, 0, 0, 0], [0, 0, 3, 0], [-1, 0, 0, 0.0]])
    embeddings = axes[rng.integers(0, len(axes), 240)].astype(np.float32)
    issame = rng.random(120) < 0.3 + 0.5 * (naive_distances(embeddings) < 1)
    result = evaluate_pairs(embeddings, issame)
    distance = naive_distances(embeddings)
    assert (result.accuracy, result.std, result.threshold) == pytest.approx(naive_accuracy(distance, issame, 10))
    assert (result.val, result.val_std, result.far) == pytest.approx(naive_val(distance, issame, 10))
    assert result.auc == pytest.approx(roc_auc_score(issame, -distance), abs=1e-12)


def test_val_where_the_training_folds_reach_the_target_exactly():
    """1,000 training impostors a fold: FAR 1e-3 is one of them, on a flat stretch of the interpolated curve."""
    embeddings, issame = some_pairs(2222, size=4, seed=3, order="alternating")
    assert all((~issame[train]).sum() == 1000 for train, _ in list(KFold(10).split(issame))[2:])
    result = evaluate_pairs(embeddings, issame)
    assert (result.val, result.val_std, result.far) == pytest.approx(
        naive_val(naive_distances(embeddings), issame, 10), abs=1e-12
    )
    assert result.val > 0


@settings(deadline=None, max_examples=25)
@given(
    pairs=st.integers(10, 60),
    seed=st.integers(0, 10_000),
    size=st.integers(1, 5),
    noise=st.floats(0, 3),
    single_class_folds=st.booleans(),
)
def test_accuracy_and_auc_equal_the_references_on_random_sets(pairs, seed, size, noise, single_class_folds):
    """Small and one-dimensional embeddings give ties; sorted pairs give folds of one class (calfw)."""
    order = "sorted" if single_class_folds else "mixed"
    embeddings, issame = some_pairs(pairs, size, noise, seed, order=order)
    result = evaluate_pairs(embeddings, issame)
    distance = naive_distances(embeddings)
    assert (result.accuracy, result.std, result.threshold) == pytest.approx(naive_accuracy(distance, issame, 10))
    assert result.auc == pytest.approx(roc_auc_score(issame, -distance), abs=1e-12)
    assert 0 <= result.eer <= 1


def test_roc_equals_scikit_learns():
    embeddings, issame = some_pairs(300, size=3)
    result = evaluate_pairs(embeddings, issame)
    expected_fpr, expected_tpr, _ = sklearn_roc(issame, -result.distances, drop_intermediate=False)
    fpr, tpr = verification.roc_curve(result.distances, issame)
    np.testing.assert_allclose(fpr, expected_fpr, rtol=0, atol=1e-15)
    np.testing.assert_allclose(tpr, expected_tpr, rtol=0, atol=1e-15)


def test_thinned_roc_is_the_same_curve_with_fewer_points():
    result = evaluate_pairs(*some_pairs(300))
    fpr, tpr = verification.roc_curve(result.distances, result.issame)
    thin_fpr, thin_tpr = result.roc
    assert len(thin_fpr) < len(fpr) / 2
    assert verification.area_under(thin_fpr, thin_tpr) == pytest.approx(result.auc, abs=1e-12)
    assert set(zip(thin_fpr, thin_tpr)) <= set(zip(fpr, tpr))


def test_equal_error_rate_by_hand():
    """Genuine at 1, 2, 5, impostors at 3, 4, 6: at 2 < t <= 3 FAR 0, FRR 1/3; with one impostor both are 1/3."""
    distances, issame = np.array([1, 2, 5, 3, 4, 6.0]), np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    assert verification.equal_error_rate(*verification.roc_curve(distances, issame)) == pytest.approx(1 / 3)
    apart = np.array([1, 1, 1, 3, 3, 3.0])
    assert verification.equal_error_rate(*verification.roc_curve(apart, issame)) == 0
    equal = np.ones(6)
    assert verification.equal_error_rate(*verification.roc_curve(equal, issame)) == pytest.approx(0.5)


def test_tar_at_far_counts_false_accepts_exactly():
    """1,000 impostors: 1e-3 allows exactly one, which the second impostor's distance ends; 1e-4 is not measurable."""
    distances = np.r_[np.linspace(0.1, 1, 10), 0.55, 0.75, np.linspace(2, 3, 998)]
    issame = np.arange(1010) < 10
    rates = verification.tar_at_far(*verification.roc_curve(distances, issame), 1000)
    assert rates == {1e-1: 1.0, 1e-2: 1.0, 1e-3: 0.7}


@pytest.mark.parametrize("truth", [True, False])
def test_a_set_with_one_kind_of_pair_leaves_the_other_measures_blank(truth):
    embeddings, _ = some_pairs(20)
    measures = evaluate_pairs(embeddings, [truth] * 20).to_json()
    assert measures["auc"] is None and measures["eer"] is None and measures["tar_at_far"] == {}
    assert measures["val"] is measures["val_std"] is None and (measures["far"] is None) == truth
    assert verification.one_kind(measures) == ("genuine" if truth else "impostor")
    assert verification.one_kind(evaluate_pairs(embeddings, [truth] * 19 + [not truth]).to_json()) is None
    assert json.loads(json.dumps(measures, allow_nan=False)) == measures


def test_angles_are_those_between_the_embeddings():
    embeddings, issame = some_pairs(40, dtype=np.float64)
    result = evaluate_pairs(embeddings, issame)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = np.degrees(np.arccos((unit[0::2] * unit[1::2]).sum(axis=1)))
    np.testing.assert_allclose(verification.pair_angles(result.distances), expected, atol=1e-6)
    opposite = verification.pair_angles(np.array([0, 2, np.nextafter(np.float32(4), np.float32(5))]))
    np.testing.assert_allclose(opposite, [0, 90, 180])


@pytest.mark.parametrize("value, words", [(0, "all zeros"), (np.nan, "NaN or infinite"), (np.inf, "NaN or infinite")])
def test_an_embedding_without_direction_is_refused_by_row(value, words):
    embeddings, issame = some_pairs(200)
    embeddings[333] = value
    with pytest.raises(UserError, match=rf"row 333 \(pair 166\) .*{words}"):
        evaluate_pairs(embeddings, issame)


def test_shapes_that_do_not_fit_are_refused():
    embeddings, issame = some_pairs(20)
    with pytest.raises(UserError, match="do not fit 19 pairs"):
        evaluate_pairs(embeddings, issame[:-1])
    with pytest.raises(UserError, match="do not fit"):
        evaluate_pairs(embeddings.ravel(), issame)
    with pytest.raises(UserError, match="9 pairs are too few"):
        evaluate_pairs(embeddings[:18], issame[:9])
    with pytest.raises(ValueError, match="folds"):
        evaluate_pairs(embeddings, issame, folds=1)


def test_other_number_types_and_plain_lists():
    embeddings, issame = some_pairs(30)
    whole = np.rint(embeddings * 5).astype(np.int32)
    whole[:, 0] += 1000
    assert evaluate_pairs(whole, issame).accuracy == evaluate_pairs(whole.astype(np.float64), issame).accuracy
    half = embeddings.astype(np.float16)
    assert evaluate_pairs(half.tolist(), issame.tolist()).pairs == 30
    np.testing.assert_array_equal(
        evaluate_pairs(half, issame).distances, evaluate_pairs(half.astype(np.float32), issame).distances
    )


def test_the_embeddings_are_left_as_they_were():
    embeddings, issame = some_pairs(30)
    before = embeddings.copy()
    evaluate_pairs(embeddings, issame)
    np.testing.assert_array_equal(embeddings, before)


def test_pairs_that_repeat_images_are_those_of_the_copied_rows():
    rng = np.random.default_rng(3)
    embeddings, rows = rng.standard_normal((7, 5)).astype(np.float32), rng.integers(0, 7, 400)
    issame = rng.integers(0, 2, 200).astype(bool)
    found, wanted = evaluate_pairs(embeddings, issame, rows=rows), evaluate_pairs(embeddings[rows], issame)
    np.testing.assert_array_equal(found.distances, wanted.distances)
    assert found.to_json() == wanted.to_json()
    with pytest.raises(UserError, match=r"embeddings of shape \(399, 5\) do not fit 200 pairs"):
        evaluate_pairs(embeddings, issame, rows=rows[1:])

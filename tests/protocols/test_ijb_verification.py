"""IJB 1:1 against naive float64 pooling and scoring, and against scikit-learn's curve."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import ijb_templates as t
from arcface_gluon.protocols import ijb_verification
from arcface_gluon.protocols.ijb_templates import pool
from arcface_gluon.protocols.ijb_verification import FARS, verify, verify_scores
from arcface_gluon.protocols.scores import compiled_pairs, compiled_sums, curves, host_pairs, host_sums, pairs, passes
from arcface_gluon.protocols.scores.curves import nearest_tar
from arcface_gluon.protocols.scores.pairs import pair_scores

# The ways to pool that can run here.
WAYS = [host_sums, compiled_sums] if find_spec("numba") else [host_sums]
PAIR_WAYS = [host_pairs, compiled_pairs] if find_spec("numba") else [host_pairs]


def naive_pool(features, templates, media, scores, norm_weighting):
    result = {}
    for template in sorted(set(templates)):
        total = np.zeros(features.shape[1])
        mine = [i for i in range(len(features)) if templates[i] == template]
        groups = sorted({media[i] for i in mine}) if media is not None else mine
        for group in groups:
            images = [i for i in mine if media is None and i == group or media is not None and media[i] == group]
            values = []
            for i in images:
                value = features[i].astype(np.float64)
                if not norm_weighting:
                    value = value / np.linalg.norm(value)
                values.append(value * (scores[i] if scores is not None else 1))
            total += sum(values) / len(values)
        result[template] = total / np.linalg.norm(total)
    return result


def sklearn_nearest(genuine, impostor, fars):
    """The published scripts' rule, word for word in NumPy."""
    truth = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    far, tar, _ = roc_curve(truth, np.r_[genuine, impostor])
    far, tar = np.flipud(far), np.flipud(tar)
    return [tar[min(zip(abs(far - value), range(len(far))))[1]] for value in fars]


@pytest.mark.parametrize("with_media", [True, False])
@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("norm_weighting", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_pooling_agrees_with_the_naive_one(monkeypatch, with_media, with_scores, norm_weighting, way):
    monkeypatch.setattr(t, "add_up", way.add_up)
    monkeypatch.setattr(t, "_TOGETHER", 2)
    monkeypatch.setattr(t, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(t, "COLUMN_BLOCK", 15)  # as many images in a product; some templates have more
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 9)) * random.uniform(0.1, 30, (60, 1))
    numbers = random.choice([3, 7, 100, 101, 5000], 60, p=[0.1, 0.1, 0.1, 0.3, 0.4])
    if norm_weighting:
        numbers.sort()  # as the lists of the benchmark are
    media = random.integers(-2, 6, 60) if with_media else None
    scores = random.uniform(0.1, 1, 60) if with_scores else None
    pooled = pool(features, numbers, media, scores, norm_weighting)
    expected = naive_pool(features, numbers, media, scores, norm_weighting)
    assert pooled.ids.tolist() == sorted(expected)
    np.testing.assert_allclose(pooled.vectors, list(expected.values()), atol=2e-6)
    for far in (0, 1 << 40):  # near numbers are looked up in a table, far ones searched
        ids = np.r_[pooled.ids[:-1], 5000 + far]
        found = t.Templates(ids, pooled.vectors).rows([100, 4, 5000 + far, 9999, 1, 3, -7])
        assert found.tolist() == [ids.tolist().index(100), -1, 4, -1, -1, 0, -1]


def test_images_of_a_medium_are_counted_within_templates():
    random = np.random.default_rng(3)
    for case in range(60):
        rows, media = np.sort(random.integers(0, 4, 15)), random.integers(-2, 3, 15)
        if case % 3:  # sorted within templates, as lists are
            media = media[np.lexsort((media, rows))]
        if case % 3 == 2:
            rows = random.permutation(rows)
        pairs_of_both = list(zip(rows.tolist(), media.tolist()))
        assert t._images_of_medium(rows, media).tolist() == [pairs_of_both.count(pair) for pair in pairs_of_both]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("contexts", [None, "cpu(0),cpu(1)"])
@pytest.mark.parametrize("columns", [16, 1000])
@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("way", PAIR_WAYS)
def test_pair_scores_of_several_blocks(monkeypatch, ordered, contexts, columns, threads, way):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(pairs, "_gather", way.gather)
    for name, value in {"COLUMN_BLOCK": columns, "_PAIR_ROWS": 8}.items():
        monkeypatch.setattr(pairs, name, value)
    for name, value in {"TOGETHER": 5, "WORTH_A_THREAD": 2}.items():
        monkeypatch.setattr(passes, name, value)
    random = np.random.default_rng(1)
    vectors = t.unit(random.normal(size=(70, 6)))
    first, second = random.integers(0, 50, 400), random.integers(10, 70, 400)
    first[first == 20] = 21  # a row without pairs
    if ordered:
        first.sort()
    scores = pair_scores(vectors, first, second, contexts)
    expected = np.einsum("ij,ij->i", vectors[first].astype(float), vectors[second])
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert pair_scores(vectors, first[:0], second[:0], contexts).shape == (0,)


def test_verification_agrees_with_the_naive_one_and_scikit_learn():
    random = np.random.default_rng(2)
    subjects = random.integers(0, 12, 90)
    features = random.normal(size=(400, 20)) + 1.5 * random.normal(size=(12, 20))[subjects][np.arange(400) % 90]
    numbers, media = np.arange(400) % 90 * 3 + 1, np.arange(400) // 180
    first, second = random.integers(0, 90, (2, 5000))
    same = subjects[first] == subjects[second]
    templates = pool(features, numbers, media)
    result = verify(templates, first * 3 + 1, second * 3 + 1, same)
    expected = naive_pool(features, numbers, media, None, False)
    scores = np.array([np.dot(expected[a * 3 + 1], expected[b * 3 + 1]) for a, b in zip(first, second)])
    scores = scores.astype(np.float32)  # pairs that repeat are ties in both
    genuine, impostor = scores[same], scores[~same]
    assert (result.genuine_pairs, result.impostor_pairs) == (len(genuine), len(impostor))
    assert result.tar_nearest == sklearn_nearest(genuine, impostor, FARS)
    for far, tar in zip(FARS, result.tar_at_most):
        assert tar == max([(genuine >= x).mean() for x in genuine if (impostor >= x).mean() <= far], default=0)
    value = json.loads(json.dumps(result.to_json()))
    assert list(value["tar_nearest_far"]) == ["1e-06", "1e-05", "1e-04", "1e-03", "1e-02", "1e-01"]
    assert value["roc"][1] == sorted(value["roc"][1])


@pytest.mark.parametrize("way", PAIR_WAYS)
@given(
    seed=st.integers(0, 10**6),
    steps=st.sampled_from([4, 30, 1000]),
    count=st.integers(1, 40) | st.integers(1, 400),
    window=st.sampled_from([1, 3, 1000]),
    fars=st.sampled_from([(1e-3, 1e-2, 0.03), (1e-3, 1e-2, 0.03, 0.1, 0.3)]),
)
@settings(deadline=None, max_examples=100)
def test_rates_and_curve_equal_scikit_learns_and_counts_also_with_ties(way, seed, steps, count, window, fars):
    random = np.random.default_rng(seed)
    same = random.random(count + 2) < random.choice([0.05, 0.5])
    same[random.permutation(count + 2)[:2]] = True, False
    scores = random.integers(-steps, np.where(same, steps, steps // 2) + 1) / np.float32(steps)
    scores, fars = scores.astype(np.float32), (*fars, 0.1 / count, 1.01 / (count + 2 - same.sum()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_WINDOW", window)
        patch.setattr(passes, "WORTH_A_THREAD", 7)
        patch.setattr(ijb_verification, "_reaching", way.reaching)
        patch.setenv("OMP_NUM_THREADS", "3")
        result = verify_scores(scores, same, fars)
    genuine, impostors = scores[same], scores[~same]
    assert result.tar_nearest == sklearn_nearest(genuine, impostors, fars)
    for far, tar in zip(fars, result.tar_at_most):
        assert tar == max([(genuine >= x).mean() for x in genuine if (impostors >= x).mean() <= far], default=0)
    rates = {((impostors >= x).mean(), (genuine >= x).mean()) for x in np.r_[scores, np.inf]}
    rates |= {((impostors > x).mean(), (genuine > x).mean()) for x in scores} | {(1.0, 1.0)}
    found = list(zip(*result.curve.points()))
    # Thresholds between the scores, of which counts were taken, have the rates of the next score.
    assert all(any(np.allclose(point, rate, atol=1e-12) for rate in rates) for point in found)


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 300),
    first=st.sampled_from(["as they come", "ascending", "all of one"]),
    gap=st.sampled_from([1, 3, 1 << 20]),
    low=st.sampled_from([-7, 0, 10**6]),
    dtype=st.sampled_from([np.int8, np.int32, np.int64]),
)
@settings(deadline=None, max_examples=60)
def test_columns_know_which_vectors_their_numbers_stand_for(seed, count, first, gap, low, dtype):
    if dtype == np.int8:
        low, gap = -128, 5  # as far apart as this type goes
    random = np.random.default_rng(seed)
    ids = low + gap * np.sort(random.permutation(50)[:40])
    numbers = random.choice(ids, count)
    numbers[: random.choice([0, 1, count // 2])] = low + gap * random.integers(-1, 51)
    numbers = random.permutation(numbers).astype(dtype)
    numbers = {"as they come": numbers, "ascending": np.sort(numbers), "all of one": numbers[:1].repeat(count)}[first]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "TOGETHER", 5)
        patch.setattr(pairs, "_LOOK", 20)
        column = pairs.PairColumn(ids, numbers)
    place = {number: i for i, number in enumerate(ids.tolist())}
    expected = [place.get(number, -1) for number in numbers.tolist()]
    assert column.each().tolist() == expected and column.complete == (-1 not in expected)
    if column.complete:
        occurring = sorted(set(expected))
        np.testing.assert_array_equal(column.vectors(ids), ids[occurring])
        assert [occurring[i] for i in column.places()[column.numbers - column.low]] == expected


def test_a_truncated_tail_gives_the_rate_or_none_but_never_a_wrong_one():
    random = np.random.default_rng(4)
    genuine, impostor = (np.sort(random.normal(m, 0.2, n).astype(np.float32)) for m, n in ((0.4, 30), (0, 2000)))
    fars = (1e-3, 1e-2, 0.05, 0.09, 0.11)
    whole = nearest_tar(genuine, impostor, 2000, fars)
    short = nearest_tar(genuine, impostor[-200:], 2000, fars)
    assert short[:3] == whole[:3] and short[4] is None
    assert all(a in (b, None) for a, b in zip(short, whole))


def test_empty_templates_are_refused_or_counted():
    templates = pool(np.eye(3), [1, 2, 4])
    pairs = [1, 2, 3, 4], [1, 4, 2, 9], [True, False, False, True]
    with pytest.raises(UserError, match="pair 3 names template 3, which has no image"):
        verify(templates, *pairs)
    result = verify(templates, *pairs, skip_missing=True)
    assert result.skipped == [[3, 2], [4, 9]] and result.to_json()["skipped_pairs"] == 2
    assert (result.genuine_pairs, result.impostor_pairs) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_bad_input_is_told_in_one_line(monkeypatch, way):
    monkeypatch.setattr(t, "add_up", way.add_up)
    features = np.eye(3)
    broken = features.copy()
    broken[1, 2] = np.nan
    for call, words in [
        (lambda: pool(broken, [1, 2, 3], names=["a.jpg", "b.jpg", "c.jpg"]), "image b.jpg has NaN"),
        (lambda: pool(features * [[1], [1], [0]], [1, 2, 3], norm_weighting=True), "image number 2 is a zero vector"),
        (lambda: pool(np.array([[1.0, 0], [-1, 0]]), [7, 7]), "template 7 is a zero vector"),
        (lambda: pool(features, [1, 2]), "3 features, but 2 templates"),
        (lambda: pool(features, [1, 2, 3], [1]), "3 features, but 1 media"),
        (lambda: pool(features, [1, 2, 3], None, [1, np.nan, 1]), "detector score of image number 1 is nan"),
        (lambda: pool(features[:0], []), "no image"),
        (lambda: verify(pool(features, [1, 2, 3]), [1], [2], [False]), "0 genuine and 1 impostor"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)

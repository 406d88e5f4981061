"""MegaFace against a naive float64 implementation, with small blocks so that every path of the counting is taken."""

from __future__ import annotations

import json
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import megaface as identification
from arcface_gluon.protocols.megaface import identify, rank1, refine
from arcface_gluon.protocols.scores import compiled_counts, host_counts, rank_counts
from arcface_gluon.protocols.scores.curves import HighestScores, VerificationCurve


def naive(probes, labels, gallery):
    """Ranks, ties, genuine and impostor scores, by loops in float64."""
    probes, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probes.astype(float), gallery))
    ranks, ties, genuine, impostor = [], [], [], []
    for i in range(len(probes)):
        mates = [j for j in range(len(probes)) if j != i and labels[j] == labels[i]]
        scores = [float(np.dot(probes[i], g)) for g in gallery]
        for j in mates:
            mate = float(np.dot(probes[i], probes[j]))
            ranks.append(sum(s > mate for s in scores))
            ties.append(sum(s == mate for s in scores))
            genuine.append(mate)
        impostor += scores if mates else []
    return np.array(ranks), np.array(ties), np.array(genuine), np.array(impostor)


def naive_tar(genuine, impostor, far, rejected=0):
    allowed = int(Fraction(str(far)) * (len(impostor) + rejected))
    best = 0.0
    for t in sorted(set(genuine.tolist())):
        if (impostor >= t).sum() <= allowed:
            best = max(best, (genuine >= t).mean())
    return best


def exact_features(random, count, size=12):
    """Vectors with four entries of +-0.5: unit length and products that float32 holds exactly, so ties abound."""
    features = np.zeros((count, size))
    for row in features:
        row[random.choice(size, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    return features


def shrink(patch):
    """Small blocks and few kept scores, so that all paths of the counting are taken."""
    for name, value in {"ROW_BLOCK": 8, "COLUMN_BLOCK": 32, "_PROBE_CHUNK": 20, "_FIRST_BLOCKS": (15, 5)}.items():
        patch.setattr(identification, name, value)
    for name, value in {"_FEWEST": 10, "_MOST": 200, "_EXACT_FAR": 1e-3}.items():
        patch.setattr(identification, name, value)
    patch.setattr(rank_counts, "_PENDING", 300)
    patch.setattr(rank_counts, "_WORTH_A_THREAD", 1)
    patch.setattr(host_counts, "_TOGETHER", 3)


COUNTING = [host_counts, *([compiled_counts] if find_spec("numba") else [])]


@pytest.fixture(params=COUNTING, ids=lambda module: module.__name__.rpartition(".")[-1])
def small_blocks(request, monkeypatch):
    shrink(monkeypatch)
    monkeypatch.setattr(rank_counts, "counting", request.param)


def check(probes, labels, gallery, **options):
    result = identify(probes, labels, gallery, **options)
    ranks, ties, genuine, impostor = naive(probes, labels, gallery)
    np.testing.assert_array_equal(result.ranks, np.sort(ranks))
    assert result.rank1_if_ties_lose == np.mean(ranks + ties == 0)
    for k in (1, 2, 5, 10, 50):
        assert result.cmc(k) == np.mean(ranks < k)
    assert result.curve.total == len(impostor)
    kept = result.curve.impostors
    np.testing.assert_allclose(kept, np.sort(impostor)[len(impostor) - len(kept) :], atol=1e-6)
    assert int(result.curve.at(1)[1]) == 1
    for far in (1e-6, 1e-3, 1e-2, 0.05, 0.1, 0.3, 0.7):
        actual, tar, error = result.curve.at(far)
        best = naive_tar(genuine, impostor, far)
        assert actual <= far
        assert tar - 1e-12 <= best <= tar + error + 1e-12
        if far * len(impostor) < len(kept):
            assert error == 0 and tar == best
    return result


@pytest.mark.parametrize("threads, contexts", [("1", None), ("3", None), ("1", "cpu(0),cpu(1)")])
def test_random_features_agree_with_the_naive_protocol(small_blocks, threads, contexts, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    random = np.random.default_rng(1)
    labels = np.array([0] * 7 + [1] * 20 + [2] + [3] * 2 + [4] * 15)  # one person has a single image
    probes = random.normal(size=(45, 16)) + random.normal(size=(5, 16))[labels]
    order = random.permutation(45)
    result = check(probes[order], labels[order], random.normal(size=(300, 16)), contexts=contexts)
    assert result.probes_without_mate == 1 and result.probes == 44 and result.identities == 4
    assert len(result.ranks) == 7 * 6 + 20 * 19 + 2 + 15 * 14


@given(
    seed=st.integers(0, 10**6),
    people=st.integers(1, 6),
    distractors=st.integers(1, 150),
    counting=st.sampled_from(COUNTING),
)
@settings(deadline=None, max_examples=25)
def test_ties_agree_with_the_naive_protocol(seed, people, distractors, counting):
    random = np.random.default_rng(seed)
    labels = np.concatenate([[0, 0], random.integers(0, people, 25)])
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(rank_counts, "counting", counting)
        check(exact_features(random, 27), labels, exact_features(random, distractors))


def test_rank1_alone_is_the_same_number():
    random = np.random.default_rng(2)
    labels = np.r_[0, np.repeat(np.arange(1, 8), 4)]
    probes = random.normal(size=(29, 12)) + random.normal(size=(8, 12))[labels]
    gallery = random.normal(size=(90, 12))
    value, scores, indices = rank1(probes, labels, gallery)
    assert 0 < value == identify(probes, labels, gallery).rank1 < 1
    expected = identification.unit(probes)[1:] @ identification.unit(gallery).T
    np.testing.assert_array_equal(indices, expected.argmax(axis=1))
    np.testing.assert_allclose(scores, expected.max(axis=1), atol=1e-6)


def test_a_tie_is_a_success_and_is_reported():
    probe = np.array([[1.0, 0, 0], [0.5, np.sqrt(0.75), 0]])
    result = identify(probe, ["a", "a"], np.array([[0.5, 0, np.sqrt(0.75)], [0, 0, 1]]))
    assert result.rank1 == 1
    assert result.rank1_if_ties_lose == 0.5


def test_the_curve_agrees_with_scikit_learn(small_blocks):
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), 5)
    probes, gallery = exact_features(random, 30), exact_features(random, 200)
    result = identify(probes, labels, gallery)
    _, _, genuine, impostor = naive(probes, labels, gallery)
    truth = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    far, tar, _ = roc_curve(truth, np.r_[genuine, impostor], drop_intermediate=False)
    known = set(zip(far.tolist(), tar.tolist()))
    ours = list(zip(*result.curve.points()))
    assert len(ours) > 5
    assert all(min(abs(f - x) + abs(t - y) for x, y in known) < 1e-12 for f, t in ours)
    for value in (1e-3, 1e-2, 0.1, 0.5):
        _, rate, error = result.curve.at(value)
        assert rate <= tar[far <= value].max() <= rate + error


def test_rejected_distractors_count_only_in_the_denominators():
    random = np.random.default_rng(5)
    probes, labels, gallery = random.normal(size=(12, 6)), np.repeat([0, 1, 2], 4), random.normal(size=(60, 6))
    keep = random.random(60) < 0.7
    result = identify(probes, labels, gallery, keep=keep, rejected=18)
    ranks, _, genuine, impostor = naive(probes, labels, gallery[keep])
    np.testing.assert_array_equal(result.ranks, np.sort(ranks))
    assert result.distractors == keep.sum() + 18
    assert result.curve.total == 12 * (keep.sum() + 18)
    for far in (0.01, 0.1, 0.4):
        assert result.curve.at(far)[1] == naive_tar(genuine, impostor, far, rejected=12 * 18)
    assert result.curve.at(0.99)[:2] == (len(impostor) / result.curve.total, 1.0)


def test_json_is_the_devkits_form():
    random = np.random.default_rng(6)
    labels = np.repeat(np.arange(4), 3)
    probes = random.normal(size=(12, 5))
    value = json.loads(json.dumps(identify(probes, labels, random.normal(size=(400, 5))).to_json()))
    ranks, rates = value["cmc"]
    assert ranks[:3] == [0, 1, 2] and rates[0] == value["rank1"] and rates[9] == value["rank10"]
    assert rates[-1] == 1 and ranks == sorted(set(ranks)) and rates == sorted(rates)
    fars, tars = value["roc"]
    assert fars == sorted(fars) and tars == sorted(tars) and (fars[-1], tars[-1]) == (1, 1)


def test_refining_the_way_insightface_did():
    random = np.random.default_rng(7)
    probes, labels = random.normal(size=(9, 5)) * 3, np.array(list("aaaabbbcc"))
    noisy = np.zeros(9, bool)
    noisy[[1, 5]] = True
    refined = refine(probes, labels, noisy, np.array([False, True, False]), seed=1)
    lengths = np.linalg.norm(probes, axis=1, keepdims=True)
    for i, clean in ((1, [0, 2, 3]), (5, [4, 6])):
        centre = (probes / lengths)[clean].sum(axis=0)
        replaced = refined.probes[i]
        assert np.linalg.norm(replaced) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(replaced, centre / np.linalg.norm(centre), atol=2e-3)
    np.testing.assert_allclose(refined.probes[~noisy], (probes / lengths)[~noisy], atol=1e-6)
    assert refined.keep.tolist() == [True, False, True]
    assert (refined.rejected, refined.replaced, refined.deleted) == (1, 2, 0)


def test_refining_by_deletion():
    probes, labels = np.eye(4), np.array([0, 0, 1, 1])
    refined = refine(probes, labels, [False, False, False, True], [True, False], way="delete")
    np.testing.assert_array_equal(refined.probes, probes[:3])
    assert refined.labels.tolist() == [0, 0, 1]
    assert (refined.rejected, refined.replaced, refined.deleted) == (0, 0, 1)


def test_bad_input_is_told_in_one_line():
    probes, labels, gallery = np.ones((4, 3)), [0, 0, 1, 1], np.ones((5, 3))
    broken = gallery.copy()
    broken[3, 1] = np.nan
    for call, words in [
        (lambda: identify(probes, labels[:3], gallery), "4 probe features, but 3 identities"),
        (lambda: identify(probes, labels, np.ones((5, 4))), "use one model for both"),
        (lambda: identify(probes, range(4), gallery), "no person has two"),
        (lambda: identify(probes, labels, broken, gallery_names=list("pqrst")), "distractor s has NaN"),
        (lambda: identify(probes, labels, broken), "distractor 3 has NaN"),
        (lambda: identify(probes, labels, broken, keep=np.array([0, 1, 0, 1, 1], bool)), "distractor 3 has NaN"),
        (lambda: identify(probes * 0, labels, gallery, probe_names=list("wxyz")), "probe w is a zero vector"),
        (lambda: identify(probes, labels, gallery, keep=np.zeros(5, bool)), "no distractor"),
        (lambda: refine(probes, labels, [1, 1, 0, 0], np.zeros(5)), "every image of 0 is in the noise list"),
        (lambda: refine(probes, labels, [0] * 4, np.zeros(5), way="drop"), "insightface or delete"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_curve_without_pairs_has_no_rates():
    none = np.empty(0, np.float32)
    with pytest.raises(ValueError, match="at least one"):
        VerificationCurve(none, none, 5).at(0.1)


@given(values=st.lists(st.integers(-20, 20), max_size=300), wanted=st.integers(1, 30), parts=st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_the_highest_scores_are_kept_with_all_their_ties(values, wanted, parts):
    highest = HighestScores(wanted)
    for part in np.array_split(np.array(values, np.float32), parts):
        highest.add(part)
    kept = highest.kept()
    ordered = sorted(values)
    assert len(kept) >= min(wanted, len(values))
    assert kept.tolist() == ordered[len(ordered) - len(kept) :]
    assert all(value in kept for value in values if value >= highest.floor)

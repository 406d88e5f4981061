"""Copies tie exactly in every protocol, whatever their places, the blocks and the devices."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols import megaface as identification
from arcface_gluon.protocols import overlap, trillion_pairs
from arcface_gluon.protocols.ijb_templates import Templates
from arcface_gluon.protocols.iqiyi import mean_average_precision
from arcface_gluon.protocols.megaface import identify, rank1
from arcface_gluon.protocols.scores import copies, pairs, search
from arcface_gluon.protocols.scores.blocks import unit
from arcface_gluon.protocols.scores.copies import MateCopies, exact_scores, first_copies, quick_keys

BLOCKS = [(1024, 32000, None), (7, 33, None), (5, 17, "cpu(0),cpu(1)"), (3, 64, "cpu(1)")]


@pytest.fixture(params=BLOCKS, ids=str)
def devices(request, monkeypatch):
    """Devices, with blocks of some size."""
    rows, columns, devices = request.param
    for module in (identification, search, trillion_pairs, template_search, pairs):
        monkeypatch.setattr(module, "_PAIR_ROWS" if module is pairs else "ROW_BLOCK", rows)
        if module is not template_search:
            monkeypatch.setattr(module, "COLUMN_BLOCK", columns)
    monkeypatch.setattr(search, "BEST_ROWS", rows)
    monkeypatch.setattr(search, "BEST_COLUMNS", columns)
    monkeypatch.setattr(identification, "_FIRST_BLOCKS", (columns // 3, columns // 2))
    return devices


def people(random, persons, pictures, size):
    """Pictures (n, size) of persons, and their labels."""
    labels = np.repeat(np.arange(persons), pictures)
    return np.float32(random.normal(size=(persons, size))[labels] + random.normal(size=(len(labels), size))), labels


@pytest.mark.parametrize("size", [1, 3, 64, 127, 512])
def test_scores_do_not_depend_on_the_place(size):
    vectors = np.random.default_rng(size).normal(size=(60, size)).astype(np.float32)
    scores = exact_scores(vectors[:, None], vectors[None])
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_allclose(scores, vectors.astype(float) @ vectors.T.astype(float), rtol=1e-6, atol=1e-5)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(exact_scores(vectors[order], vectors[7]), scores[order, 7])
    for i, j in ((0, 59), (31, 4), (8, 8)):
        assert exact_scores(vectors[i], vectors[j]) == scores[i, j]


def test_a_vector_of_length_1_is_not_scaled_again():
    random = np.random.default_rng(0)
    for size in (2, 128, 512, 2048, 6000):
        once = unit(random.normal(size=(600, size)) * np.exp(random.normal(size=(600, 1)) * 3))
        np.testing.assert_array_equal(unit(once), once)
        np.testing.assert_array_equal(unit(np.concatenate([once[:9], 3 * once[9:]]))[:9], once[:9])


def test_copies_are_found_whoever_they_are_of():
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    mates = MateCopies(vectors, np.array([0, 0, 1, 1]))
    rows, probes = mates.find(np.array([[0.8, 0.6], [1, -0.0], [0.6, 0.8]], np.float32))
    assert list(zip(rows.tolist(), probes.tolist())) == [(1, 0), (1, 2), (2, 3)]
    assert first_copies(vectors).tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("size", [1, 2, 5, 64, 127, 512])
def test_quick_keys_do_not_depend_on_the_place(size):
    random = np.random.default_rng(size)
    vectors = random.normal(size=(5000, size)).astype(np.float32)
    vectors[random.random(vectors.shape) < 0.1] = 0
    keys = quick_keys(vectors)
    np.testing.assert_array_equal(quick_keys(np.where(vectors == 0, np.float32(-0.0), vectors)), keys)
    np.testing.assert_array_equal([quick_keys(vectors[i : i + 1])[0] for i in range(200)], keys[:200])
    order = random.permutation(5000)
    np.testing.assert_array_equal(quick_keys(vectors[order]), keys[order])
    assert size < 5 or len(np.unique(keys)) > 4980


def test_rows_with_the_same_quick_key_are_copies_only_if_equal(monkeypatch):
    vectors = np.random.default_rng(0).integers(0, 2, (300, 6)).astype(np.float32)
    expected = [vectors.tolist().index(row) for row in vectors.tolist()]
    assert first_copies(vectors).tolist() == expected
    monkeypatch.setattr(copies, "quick_keys", lambda rows: rows[:, 0])
    assert first_copies(vectors).tolist() == expected


@pytest.mark.parametrize("size", [128, 512])
def test_megaface_a_copy_of_the_mate_ties_with_it(devices, size):
    """Two pictures a person; distractors are copies of all second ones, anywhere among strangers."""
    random = np.random.default_rng(size)
    probes, labels = people(random, 10, 2, size)
    gallery = np.concatenate([np.repeat(probes[1::2], 3, axis=0), np.float32(random.normal(size=(300, size)))])
    gallery = gallery[random.permutation(len(gallery))]
    result = identify(probes, labels, gallery, devices)
    # A first picture ties with three copies of its mate; a second one finds three copies of itself before its mate.
    assert result.ranks.tolist() == [0] * 10 + [3] * 10
    assert result.rank1 == 0.5 and result.rank1_if_ties_lose == 0
    assert rank1(probes, labels, gallery, devices)[0] == 0.5
    # 30 impostor pairs score 1, and 30 as the genuine pair: the rate counts these together, never some of them.
    allowed = {far: result.curve.at(far)[1] for far in (29.5 / result.curve.total, 30.5 / result.curve.total)}
    assert set(allowed.values()) <= {0.0, 1.0}
    again = identify(unit(probes), labels, unit(gallery), devices)
    np.testing.assert_array_equal(again.ranks, result.ranks)
    np.testing.assert_array_equal(again.curve.genuine, result.curve.genuine)


def test_megaface_deep_ranks_count_copies_as_ties(devices):
    """Mates that lie among the bulk of the distractors, of which each is there twice."""
    random = np.random.default_rng(1)
    probes, labels = np.float32(random.normal(size=(40, 64))), np.arange(40) % 4
    strangers = np.float32(random.normal(size=(200, 64)))
    gallery = np.concatenate([probes, strangers, probes])[random.permutation(280)]
    ranks = identify(probes, labels, gallery, devices).ranks
    scores = unit(probes).astype(float) @ np.concatenate([unit(probes), unit(strangers)]).T.astype(float)
    expected = []
    for i in range(40):
        for j in np.flatnonzero(labels == labels[i]):
            better = scores[i] > scores[i, j]
            expected += [] if i == j else [2 * better[:40].sum() + better[40:].sum()]
    np.testing.assert_array_equal(ranks, np.sort(expected))


def test_trillion_pairs_copies_tie(devices, monkeypatch):
    """A copy of a mate among other persons, and one of a probe among the distractors."""
    monkeypatch.setattr(trillion_pairs, "_CHUNK", 50)
    random = np.random.default_rng(2)
    probes, labels = people(random, 20, 3, 512)
    everyone = np.concatenate([probes, probes])  # each person once more, under another name
    names = np.r_[labels, labels + 20]
    result = trillion_pairs.evaluate(everyone, names, np.float32(random.normal(size=(900, 512))), devices)
    # A probe's best other is its own copy, so that nobody is found; but every one with a mate that is a copy of it.
    assert result.identification[1e-3] == 0
    twice = np.concatenate([probes[::3], probes[1::3], probes[1::3]])
    names = np.r_[np.arange(20), np.arange(20), np.arange(20, 40)]
    result = trillion_pairs.evaluate(twice, names, np.float32(random.normal(size=(900, 512))), devices)
    # First pictures find the mate, that ties with its copy under another name; second ones find their copy before it.
    assert result.identification[1e-3] == 0.5


def test_trillion_pairs_a_copy_of_the_mate_is_as_good_an_impostor(devices, monkeypatch):
    """The most similar impostor pairs are 20 of copies, then the first pictures with copies of their mates."""
    monkeypatch.setattr(trillion_pairs, "_CHUNK", 50)
    random = np.random.default_rng(2)
    probes, labels = people(random, 20, 2, 512)
    distractors = np.concatenate([probes[1::2], np.float32(random.normal(size=(900, 512)))])
    total = len(probes) * len(distractors)
    rates = {accepted: (accepted + 0.5) / total for accepted in (19, 20, 25, 39)}
    monkeypatch.setattr(trillion_pairs, "VERIFICATION_FPRS", tuple(rates.values()))
    result = trillion_pairs.evaluate(probes, labels, distractors[random.permutation(920)], devices)
    found = {accepted: result.verification[rate] for accepted, rate in rates.items()}
    assert found == {19: 0, 20: 0, 25: 0.25, 39: 0.95}


def test_ijb_1_to_1_copies_score_the_same(devices):
    random = np.random.default_rng(3)
    vectors = unit(random.normal(size=(90, 512)))
    vectors[60:] = vectors[random.permutation(60)[:30]]
    first, second = random.integers(0, 90, (2, 4000))
    scores = pairs.pair_scores(vectors, first, second, devices)
    np.testing.assert_allclose(scores, exact_scores(vectors[first], vectors[second]), atol=1e-6)
    same = first_copies(vectors)
    groups = {}
    for a, b, score in zip(same[first], same[second], scores):
        groups.setdefault((min(a, b), max(a, b)), set()).add(float(score))
    copied = set(same[60:].tolist())
    assert all(len(found) == 1 for pair, found in groups.items() if copied & set(pair))
    assert len(groups) < 3000


def test_ijb_1_to_1_pairs_with_a_copied_vector_come_one_way_round():
    random = np.random.default_rng(5)
    vectors = unit(random.normal(size=(12, 8)))
    vectors[9:] = vectors[[4, 0, 4]]
    numbers = random.integers(0, 12, (2, 300))
    columns = (pairs.PairColumn(np.arange(12), of_one) for of_one in numbers)
    left, right = (column.each() for column in pairs._without_copies(vectors, *columns))
    first, second = first_copies(vectors)[numbers]
    copied = np.isin(first, (0, 4)) | np.isin(second, (0, 4))
    np.testing.assert_array_equal(left, np.where(copied, np.minimum(first, second), first))
    np.testing.assert_array_equal(right, np.where(copied, np.maximum(first, second), second))


def test_ijb_1_to_n_copies_tie(devices):
    """Everybody's template once more under another name, in the gallery; and every probe once more, of nobody."""
    random = np.random.default_rng(4)
    mates = unit(random.normal(size=(200, 512)))
    asked = unit(mates + random.normal(size=mates.shape) * 0.04)
    vectors = np.concatenate([mates, mates, asked, asked])
    names = np.arange(200)
    found = template_search.search(
        Templates(np.arange(800), vectors),
        (np.r_[400:800], np.r_[names, names + 5000]),
        [(np.r_[0:400], np.r_[names, names + 1000])],
        devices,
    )
    assert found.merged.better.tolist() == [0] * 200
    np.testing.assert_array_equal(found.merged.mate_scores, found.merged.top_scores)


def test_search_and_retrieval_put_the_earlier_copy_first(devices):
    random = np.random.default_rng(5)
    queries, videos = (unit(random.normal(size=(n, 512))) for n in (40, 150))
    order = random.permutation(np.repeat(np.arange(150), 3))
    gallery = videos[order]
    best = np.argsort(-(queries.astype(float) @ videos.T.astype(float)), axis=1)
    expected = [np.concatenate([np.flatnonzero(order == video) for video in row])[:20] for row in best]
    _, found = search.top_k(queries, lambda a, b: gallery[a:b], len(gallery), 20, devices)
    np.testing.assert_array_equal(found, expected)
    _, nearest = overlap.nearest(queries, gallery, devices)
    np.testing.assert_array_equal(nearest, [row[0] for row in expected])
    labels = random.integers(0, 40, len(gallery))
    value = mean_average_precision(queries, np.arange(40), gallery, labels, 20, devices)
    hits = labels[np.array(expected)] == np.arange(40)[:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, 21)
    relevant = np.bincount(labels, minlength=40)
    np.testing.assert_array_equal(value.average_precision, (precision * hits).sum(axis=1) / relevant)

"""What one rate hides, against plain counts over lists of pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from arcface_gluon.protocols.unseen_pairs import count_pairs, draw_identities
from arcface_gluon.protocols.unseen_quality import (
    cosine_at,
    det_curve,
    false_accept_rate,
    identity_errors,
    promised_cosines,
    rates_by_norm,
)


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    embeddings = (rng.normal(size=(50, 1, 12)) + 0.8 * rng.normal(size=(50, 5, 12))).reshape(-1, 12)
    labels = np.repeat(np.arange(50), 5)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = [(a, b, unit[a] @ unit[b], labels[a] == labels[b]) for a, b in combinations(range(250), 2)]
    return embeddings, labels, pairs, count_pairs(embeddings, labels)


def test_a_threshold_accepts_as_many_impostors_as_it_may(people):
    _, _, pairs, counts = people
    impostors = np.array([cosine for *_, cosine, same in pairs if not same])
    for far in (1e-2, 1e-3):
        cosine = cosine_at(counts.shares(), far)
        assert np.mean(impostors >= cosine) <= far < np.mean(impostors >= cosine - 2 / 2048) + 3 / len(impostors)
        rate, low, high = false_accept_rate(counts.shares(), counts.shares(draw_identities(50)), cosine)
        assert rate == pytest.approx(np.mean(impostors >= cosine)) and low < rate < high


def test_errors_of_each_identity(people):
    _, labels, pairs, counts = people
    cosine = cosine_at(counts.shares(), 1e-2)
    refused, accepted = identity_errors(counts, cosine)
    for person in (0, 17):
        own = [c for a, b, c, same in pairs if same and labels[a] == person]
        others = [c for a, b, c, same in pairs if not same and person in (labels[a], labels[b])]
        assert refused[person] == pytest.approx(np.mean(np.array(own) < cosine))
        assert accepted[person] == pytest.approx(np.mean(np.array(others) >= cosine))


def test_a_person_with_one_image_has_no_genuine_pairs_to_refuse():
    counts = count_pairs(np.eye(4) + 0.1, np.array([0, 0, 1, 1]))
    alone = count_pairs(np.eye(3) + 0.1, np.array([0, 0, 1]))
    assert not np.isnan(identity_errors(counts, 0.5)[0]).any()
    assert np.isnan(identity_errors(alone, 0.5)[0]).tolist() == [False, True]


def test_det_curve_is_that_of_the_list_of_pairs(people):
    *_, pairs, counts = people
    curve = det_curve(counts.shares(), counts.shares(draw_identities(50)))
    genuine = np.array([c for *_, c, same in pairs if same])
    impostors = np.sort([c for *_, c, same in pairs if not same])[::-1]
    for far, fnmr in list(zip(curve.far, curve.fnmr))[5::8]:
        threshold = impostors[min(int(far * len(impostors)), len(impostors) - 1)]
        assert fnmr == pytest.approx(np.mean(genuine < threshold), abs=0.01)
    assert (curve.low <= curve.fnmr + 1e-9).all() and (curve.fnmr <= curve.high + 1e-9).all()
    assert curve.far[-1] == 1 and curve.fnmr[-1] == 0


def test_what_a_verification_set_promises():
    cosines = np.linspace(-1, 1, 1000)
    issame = np.arange(1000) % 2 == 0
    found = promised_cosines(2 - 2 * cosines, issame)
    impostors = cosines[~issame]
    assert list(found) == [1e-1]  # 500 impostors: 50 at 0.1, but 5 at 0.01
    assert np.sum(impostors >= found[1e-1] - 1e-9) == 50


def test_bands_by_the_shorter_length(people):
    embeddings, labels, pairs, _ = people
    lengths = np.linalg.norm(embeddings, axis=1)
    bands = rates_by_norm(embeddings, labels, 0.4)
    assert [band.pairs for band in bands] == [125] * 4
    assert all(a.high <= b.low for a, b in zip(bands, bands[1:]))
    own = [(min(lengths[a], lengths[b]), c) for a, b, c, same in pairs if same]
    lowest = [c >= 0.4 for length, c in own if length <= bands[0].high]
    assert bands[0].accepted == pytest.approx(np.mean(lowest), abs=0.01)  # ties at the border
    assert all(band.least < band.accepted < band.most < band.least + 0.5 for band in bands)
    assert np.mean([band.accepted for band in bands]) == pytest.approx(np.mean([c >= 0.4 for _, c in own]))

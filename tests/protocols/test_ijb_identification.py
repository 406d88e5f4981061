"""IJB 1:N against a naive float64 search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import ijb_identification as template_search
from arcface_gluon.protocols.ijb_identification import GallerySearch, search
from arcface_gluon.protocols.ijb_templates import Templates


def naive(vectors, probes, galleries):
    """Rank rates in the union, and TPIR a gallery, one probe after the other."""

    def look(probe, subject, gallery):
        scores = [(float(np.dot(vectors[probe], vectors[g])), s) for g, s in gallery]
        mates = [x for x, s in scores if s == subject]
        if not mates:
            return None, max(x for x, _ in scores)
        return max(mates), sum(x > max(mates) for x, s in scores if s != subject)

    union = [pair for gallery in galleries for pair in gallery]
    better = [b for p, s in probes for mate, b in [look(p, s, union)] if mate is not None]
    ranks = {k: np.mean([b < k for b in better]) for k in (1, 5, 10)}
    tpir = {}
    for fpir in (0.01, 0.1):
        values = []
        for gallery in galleries:
            found = [look(p, s, gallery) for p, s in probes]
            tops = sorted((b for mate, b in found if mate is None), reverse=True)
            threshold = tops[max(int(len(tops) * fpir) - 1, 0)]
            values.append(np.mean([b == 0 and mate > threshold for mate, b in found if mate is not None]))
        tpir[fpir] = np.mean(values)
    return ranks, tpir


def exact_vectors(random, count, size=10):
    vectors = np.zeros((count, size), np.float32)
    for row in vectors:
        row[random.choice(size, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    return vectors


@pytest.mark.parametrize("seed", range(6))
def test_search_agrees_with_the_naive_one(monkeypatch, seed):
    monkeypatch.setattr(template_search, "ROW_BLOCK", 16)
    monkeypatch.setattr(template_search, "_ROWS_TOGETHER", 3)
    random = np.random.default_rng(seed)
    # Half of the cases are full of ties; subject 3 has four templates in the first gallery.
    vectors = exact_vectors(random, 140) if seed % 2 else random.normal(size=(140, 10)).astype(np.float32)
    ids = np.sort(random.choice(5000, 140, replace=False))
    order = random.permutation(140)
    galleries = [order[:15], order[15:27]]
    subjects = [np.r_[np.arange(12), 3, 3, 3], np.arange(12, 24)]
    probes = order[27:]
    probe_subjects = random.integers(0, 40, len(probes))  # 24 to 39 are enrolled nowhere
    for probe, subject in zip(probes, probe_subjects):
        mates = [g for gallery, s in zip(galleries, subjects) for g in gallery[s == subject]]
        if mates and random.random() < 0.7:
            vectors[probe] = vectors[random.choice(mates)] + (0 if seed % 2 else random.normal(size=10) * 0.5)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    result = search(
        Templates(ids, vectors), (ids[probes], probe_subjects), [(ids[g], s) for g, s in zip(galleries, subjects)]
    )
    ranks, tpir = naive(
        vectors.astype(float),
        list(zip(probes, probe_subjects)),
        [list(zip(g, s)) for g, s in zip(galleries, subjects)],
    )
    assert {k: result.merged.rank(k) for k in ranks} == ranks
    assert {f: result.tpir(f) for f in tpir} == tpir
    value = json.loads(json.dumps(result.to_json()))
    assert value["rank_merged_galleries"] == {str(k): v for k, v in ranks.items()}
    assert value["probes"] == len(probes)


def test_tpir_needs_the_mate_first_and_above_the_threshold():
    found = GallerySearch(
        mate_scores=np.array([0.875, 0.875, 0.5, 0.375], np.float32),
        better=np.array([0, 1, 0, 0]),
        top_scores=np.random.default_rng(0).permutation(0.5 - np.arange(40, dtype=np.float32) / 16),
    )
    # Of 40 best scores 0.5, 0.4375, 0.375 … the threshold is number max(int(40 FPIR) - 1, 0).
    assert [found.tpir(fpir) for fpir in (0.01, 0.025, 0.05, 0.075, 0.1)] == [1 / 4, 1 / 4, 2 / 4, 2 / 4, 3 / 4]
    assert found.rank(1) == 3 / 4


def test_without_unenrolled_probes_there_is_no_open_set_rate():
    templates = Templates(np.arange(4), np.eye(4, dtype=np.float32))
    result = search(templates, ([2, 3], [0, 1]), [([0, 1], [0, 1])])
    assert result.tpir(0.1) is None
    assert result.merged.rank(1) == 1  # every score is 0: a tie counts as a success


def test_bad_lists_are_refused():
    templates = Templates(np.arange(4), np.eye(4, dtype=np.float32))
    for probes, gallery, words in [
        (([2], [0]), ([0, 0], [0, 1]), "gallery names template 0 twice"),
        (([9], [0]), ([0, 1], [0, 1]), "probe list names template 9, which has no image"),
    ]:
        with pytest.raises(UserError, match=words):
            search(templates, probes, [gallery])

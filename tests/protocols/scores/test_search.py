"""Exact top-k against a stable sort of the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.protocols.scores import search


@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([1, 2, 5, 30]),
    columns=st.integers(1, 120),
    tied=st.booleans(),
    contexts=st.sampled_from([None, "cpu(0),cpu(1)"]),
    threads=st.sampled_from(["1", "3"]),
)
@settings(deadline=None, max_examples=60)
def test_the_k_best_are_those_of_a_stable_sort(seed, k, columns, tied, contexts, threads):
    random = np.random.default_rng(seed)
    # Small integers: exact products with many ties.
    rows, gallery = (random.integers(-2, 3, (n, 4)) if tied else random.normal(size=(n, 4)) for n in (19, columns))
    rows, gallery = rows.astype(np.float32), gallery.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for rows_name, columns_name in (("ROW_BLOCK", "COLUMN_BLOCK"), ("BEST_ROWS", "BEST_COLUMNS")):
            patch.setattr(search, rows_name, 8)
            patch.setattr(search, columns_name, 16)
        patch.setattr(search, "_ROWS_A_THREAD", 2)
        patch.setenv("OMP_NUM_THREADS", threads)
        scores, indices = search.top_k(rows, lambda a, b: gallery[a:b], columns, k, contexts)
    products = rows.astype(float) @ gallery.T.astype(float)
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, np.take_along_axis(products, expected, 1), atol=1e-5)


@pytest.mark.parametrize("confused", [False, True])
def test_the_best_is_the_first_of_its_copies(confused, monkeypatch):
    """Also where the quick keys of all columns agree, so that every candidate must be looked at."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(60, 16)).astype(np.float32)
    order = random.integers(0, 60, 500)
    monkeypatch.setattr(search, "BEST_COLUMNS", 33)
    if confused:
        monkeypatch.setattr(search, "quick_keys", lambda block: np.ones(len(block), np.float32))
    rows = random.normal(size=(40, 16)).astype(np.float32)
    gallery = vectors[order]
    _, indices = search.top_k(rows, lambda a, b: gallery[a:b], 500)
    best = order[np.argmax(rows.astype(float) @ gallery.T.astype(float), axis=1)]
    assert indices[:, 0].tolist() == [order.tolist().index(i) for i in best]
    keyed = search._Keyed(lambda a, b: gallery[a:b], 500)
    for start in range(0, 500, 50):
        keyed(start, start + 50)
    expected = [order.tolist().index(i) for i in order]
    assert keyed.first_copies(np.arange(500)).tolist() == expected

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
)
@settings(deadline=None, max_examples=40)
def test_the_k_best_are_those_of_a_stable_sort(seed, k, columns, tied, contexts):
    random = np.random.default_rng(seed)
    # Small integers: exact products with many ties.
    rows, gallery = (random.integers(-2, 3, (n, 4)) if tied else random.normal(size=(n, 4)) for n in (19, columns))
    rows, gallery = rows.astype(np.float32), gallery.astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "COLUMN_BLOCK", 16)
        patch.setattr(search, "ROW_BLOCK", 8)
        scores, indices = search.top_k(rows, lambda a, b: gallery[a:b], columns, k, contexts)
    products = rows.astype(float) @ gallery.T.astype(float)
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, np.take_along_axis(products, expected, 1), atol=1e-5)

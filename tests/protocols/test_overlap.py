"""Feature centres and their nearest neighbours, against plain float64 loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import overlap
from arcface_gluon.protocols.scores import search, sums


def naive_centres(features, labels):
    units = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    means = [units[labels == label].mean(axis=0) for label in np.unique(labels)]
    return np.array([mean / np.linalg.norm(mean) for mean in means])


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 999), count=st.integers(1, 60), people=st.integers(1, 9), block=st.integers(1, 70))
def test_centres_in_blocks(seed, count, people, block):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 5)).astype(np.float32) * rng.uniform(0.1, 30, (count, 1)).astype(np.float32)
    labels = rng.integers(0, people, count)
    before, sums.COLUMN_BLOCK = sums.COLUMN_BLOCK, block
    try:
        identities, centres = overlap.identity_centres(features, labels)
    finally:
        sums.COLUMN_BLOCK = before
    assert identities.tolist() == sorted(set(labels.tolist())) and centres.dtype == np.float32
    np.testing.assert_allclose(centres, naive_centres(features, labels), atol=2e-5)


def test_bad_features_are_named():
    features = np.ones((4, 3), np.float32)
    features[2] = 0
    with pytest.raises(UserError, match="c.jpg is a zero vector"):
        overlap.identity_centres(features, [0, 0, 1, 1], ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    features[2:] = [[1, 0, 0], [-1, 0, 0]]
    with pytest.raises(UserError, match="the centre of identity 1 is a zero vector"):
        overlap.identity_centres(features, [0, 0, 1, 1])


@pytest.mark.parametrize("devices", ["cpu(0)", "cpu(0),cpu(1)"])
def test_nearest_with_ties_and_several_blocks(devices, monkeypatch):
    monkeypatch.setattr(search, "COLUMN_BLOCK", 7)
    rng = np.random.default_rng(0)
    vectors, others = rng.normal(size=(300, 6)), rng.normal(size=(50, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    others[31] = others[3]  # the first of equals counts, across blocks
    vectors[5] = others[3]
    cosine, index = overlap.nearest(vectors.astype(np.float32), others.astype(np.float32), devices)
    np.testing.assert_array_equal(index, (vectors @ others.T).argmax(axis=1))
    np.testing.assert_allclose(cosine, (vectors @ others.T).max(axis=1), atol=1e-6)
    assert index[5] == 3

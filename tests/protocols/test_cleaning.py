"""Angles to centres, against a loop over images."""

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.cleaning import angles_to_centres, angles_to_mean


def angle(a, b):
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def test_the_mean_of_the_others():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(12, 5)), np.array([3, 0, 3, 0, 3, 1, 0, 3, 3, 0, 7, 7])
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    wanted = np.full(12, np.nan)
    for i in range(12):
        others = [j for j in range(12) if labels[j] == labels[i] and j != i]
        if others:
            wanted[i] = angle(features[i], units[others].mean(axis=0))
    np.testing.assert_allclose(angles_to_mean(features, labels), wanted, rtol=1e-4)


def test_the_dominant_sub_centre():
    # Identity 0 has three images at its second sub-centre and one, mislabelled, at its first.
    centres = np.eye(6, dtype=np.float32) * 3
    features = np.eye(6)[[1, 1, 1, 0, 4]] + 0.1
    labels = np.array([0, 0, 0, 0, 1])
    found = angles_to_centres(features, labels, centres, identities=2)
    wanted = [angle(row, centres[k]) for row, k in zip(features, (1, 1, 1, 1, 4))]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found[3] > 75 > found[:3].max()
    with pytest.raises(UserError, match="5 identities"):
        angles_to_centres(features, labels, centres, identities=5)

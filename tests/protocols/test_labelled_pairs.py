"""All genuine pairs, and as many impostor pairs, of labelled images."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.labelled_pairs import labelled_pairs


def test_every_genuine_pair_once_and_impostors_of_two_people():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([3, 5, 8, 9], [1, 4, 6, 5]))
    vectors = rng.normal(size=(16, 4))
    distances, genuine = labelled_pairs(2 * vectors, labels)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    between = {(a, b): ((vectors[a] - vectors[b]) ** 2).sum() for a, b in combinations(range(16), 2)}
    wanted = sorted(value for (a, b), value in between.items() if labels[a] == labels[b])
    assert len(distances) == 2 * len(wanted) == 2 * genuine.sum() == 2 * (6 + 15 + 10)
    np.testing.assert_allclose(np.sort(distances[genuine]), wanted, atol=1e-6)
    others = np.array([value for (a, b), value in between.items() if labels[a] != labels[b]])
    assert all(np.abs(others - one).min() < 1e-6 for one in distances[~genuine])
    np.testing.assert_array_equal(labelled_pairs(2 * vectors, labels)[0], labelled_pairs(2 * vectors, labels)[0])


@pytest.mark.parametrize("labels", [[1, 1, 1], [1, 2, 3]])
def test_labels_without_genuine_or_without_impostor_pairs_are_refused(labels):
    with pytest.raises(UserError, match="two identities or more"):
        labelled_pairs(np.eye(3), labels)

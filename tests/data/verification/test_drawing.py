"""Pairs drawn from identities: balanced folds that share nobody, each pair once."""

import numpy as np
import pytest
from helpers import tiny_jpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data import FaceRecords, read_bin, write_training_set
from arcface_gluon.data.verification.drawing import draw_pairs, folds_share, write_drawn
from arcface_gluon.data.verification.pair_lists import folds_of
from arcface_gluon.errors import UserError


def check(labels, pairs, genuine, impostor, folds):
    assert len(set(map(frozenset, (pair[:2] for pair in pairs)))) == len(pairs) == genuine + impostor
    assert all(a != b and (labels[a] == labels[b]) == same for a, b, same in pairs)
    each = len(pairs) // folds
    parts = [pairs[start : start + each] for start in range(0, len(pairs), each)]
    assert all(sum(same for _, _, same in part) == genuine // folds for part in parts)
    return parts


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(1, 6), min_size=4, max_size=30),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
    each=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_folds_share_nobody(counts, folds, seed, each):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    genuine, impostor = (folds * number for number in each)
    try:
        pairs = draw_pairs(labels, genuine, impostor, folds, seed)
    except UserError as error:
        assert "too few" in str(error) or "at most" in str(error)
        return
    parts = check(labels, pairs, genuine, impostor, folds)
    people = [{int(labels[i]) for pair in part for i in pair[:2]} for part in parts]
    if folds_share(labels, folds):
        people = [{int(labels[pair[0]]) for pair in part} for part in parts]
    assert sum(map(len, people)) == len(set.union(*people))
    assert draw_pairs(labels, genuine, impostor, folds, seed) == pairs


def test_all_pairs_can_be_asked_for():
    labels = np.repeat(np.arange(4), 3)
    pairs = draw_pairs(labels, 12, 18, folds=2)
    check(labels, pairs, 12, 18, 2)
    assert draw_pairs(labels, folds=2) != draw_pairs(labels, folds=2, seed=1)
    assert sum(pair[2] for pair in draw_pairs(labels, folds=2)) == 12  # as many of either kind
    for genuine, impostor, words in ((14, 2, "at most 12 genuine"), (2, 20, "at most 18 impostor"), (3, 2, "multiple")):
        with pytest.raises(UserError, match=words):
            draw_pairs(labels, genuine, impostor, folds=2)


def test_pairs_of_a_training_set(tmp_path):
    write_training_set(tmp_path, ((tiny_jpeg(k, i), k) for k in range(20) for i in range(2)), (8, 8))
    records = FaceRecords(tmp_path)
    same = write_drawn(records, tmp_path / "a.bin")
    images, issame = read_bin(tmp_path / "a.bin")
    assert issame == same and sum(same) == 20 and all(sum(fold) == 2 for fold in folds_of(same))
    owner = {records.encoded(i): records.labels()[i] for i in range(len(records))}
    assert [owner[a] == owner[b] for a, b in zip(images[0::2], images[1::2])] == same

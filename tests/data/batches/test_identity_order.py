"""Batches of P identities x K images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data.batches.identity_order import IdentityOrder
from arcface_gluon.errors import UserError


@given(
    st.lists(st.integers(1, 9), min_size=4, max_size=20), st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6)
)
@settings(deadline=None, max_examples=40)
def test_every_batch_has_p_identities_with_k_images_each(counts, identities, images, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = IdentityOrder(labels, identities * images, images, seed)
    for number in range(3):
        chosen = order(number)
        assert len(chosen) == len(order) and len(order) % (identities * images) == 0
        for batch in chosen.reshape(-1, identities, images):
            names = labels[batch]
            assert (names == names[:, :1]).all() and len(np.unique(names[:, 0])) == identities
            for name, group in zip(names[:, 0], batch):
                # Without replacement, and then again from the start.
                distinct = min(images, counts[name])
                assert len(np.unique(group)) == distinct
                assert (group == np.resize(group[:distinct], images)).all()


def test_a_round_depends_on_seed_and_number_alone():
    labels = np.arange(100) % 10
    first, again = (IdentityOrder(labels, 16, 4, seed=3) for _ in range(2))
    assert np.array_equal(first(7), again(7))
    assert not np.array_equal(first(7), first(8))
    assert not np.array_equal(first(7), IdentityOrder(labels, 16, 4, seed=4)(7))


def test_all_images_and_identities_come_up():
    labels = np.repeat(np.arange(7), 10)
    order = IdentityOrder(labels, 8, 2, seed=0)
    seen = np.concatenate([order(number) for number in range(60)])
    assert len(np.unique(seen)) == 70
    assert np.bincount(labels[seen]).min() > 0.6 * np.bincount(labels[seen]).max()


def test_unreadable_images_are_never_drawn():
    labels = np.array([-1, 0, 0, -1, 1, 1])
    order = IdentityOrder(labels, 4, 2)
    assert not {0, 3} & set(np.concatenate([order(i) for i in range(20)]))


@pytest.mark.parametrize("batch, images, words", [(10, 4, "must divide"), (16, 2, "needs 8 identities, the set has 3")])
def test_impossible_batches_are_refused(batch, images, words):
    with pytest.raises(UserError, match=words):
        IdentityOrder(np.arange(30) % 3, batch, images)

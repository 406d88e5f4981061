"""The learning rate at every iteration of the paper's schedules."""

import numpy as np

from arcface_gluon.recipe import resolve
from arcface_gluon.training.schedule import learning_rate


def test_casia_rate_at_every_iteration():
    train = resolve("casia_r50").train
    rates = [learning_rate(i, train.lr, train.lr_steps, train.lr_factor) for i in range(train.iterations)]
    expected = np.concatenate([np.full(20_000, 0.1), np.full(8_000, 0.01), np.full(4_000, 0.001)])
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_no_steps():
    assert learning_rate(10**9, 0.3, [], 0.1) == 0.3

"""The learning rate at every iteration of the paper's schedules, and of the others."""

import numpy as np
import pytest

from arcface_gluon.recipe import resolve
from arcface_gluon.training.schedule import Schedule


def rates(*overrides):
    train = resolve("casia_r50", overrides).train
    return np.array([Schedule.of(train)(i) for i in range(train.iterations)])


def test_casia_rate_at_every_iteration():
    expected = np.concatenate([np.full(20_000, 0.1), np.full(8_000, 0.01), np.full(4_000, 0.001)])
    np.testing.assert_allclose(rates(), expected, rtol=1e-12)


def test_no_steps():
    assert Schedule("steps", 0.3, 10)(10**9) == 0.3


def test_warm_up_rises_evenly_and_leaves_the_steps_where_they_are():
    values = rates("train.warm_up=100")
    np.testing.assert_allclose(values[:100], 0.1 * np.arange(1, 101) / 100)
    np.testing.assert_array_equal(values[100:], rates()[100:])


def test_cosine_and_polynomial_decay_from_the_end_of_the_warm_up_to_nothing():
    t = np.arange(900) / 900
    settings = ("train.iterations=1000", "train.warm_up=100", "train.lr_steps=[]")
    np.testing.assert_allclose(rates(*settings, "train.schedule=cosine")[100:], 0.1 * np.cos(np.pi * t / 2) ** 2)
    polynomial = rates(*settings, "train.schedule=polynomial", "train.power=3")
    np.testing.assert_allclose(polynomial[100:], 0.1 * (1 - t) ** 3)
    assert Schedule("polynomial", 0.1, 10)(10) == Schedule("cosine", 0.1, 10)(10) == pytest.approx(0)

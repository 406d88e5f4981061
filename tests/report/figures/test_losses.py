"""Curves of the losses, read back from the figures' axes."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.report.figures.losses import LOSS_FIGURES


@pytest.mark.parametrize("name", ["slopes", "boundaries"])
def test_the_pull_is_the_falling_of_the_target_cosine(name):
    """The right panel is -d psi / d theta of the left one, by finite differences: positive where the curve falls."""
    left, right = LOSS_FIGURES[name]().axes
    assert len(left.lines) == len(right.lines) - 1 > 2  # and the zero line
    for value, pull in zip(left.lines, right.lines):
        theta, psi = np.radians(value.get_xdata()), value.get_ydata()
        middles = (pull.get_ydata()[1:] + pull.get_ydata()[:-1]) / 2
        falling = -np.diff(psi) / np.diff(theta)
        smooth = np.abs(middles - falling) < 2e-3
        assert smooth.mean() > 0.98, value.get_label()  # all but the steps where the branch changes
        assert np.abs(falling[smooth]).max() > 0.5


def test_added_terms_and_their_derivatives():
    left, right = LOSS_FIGURES["terms"]().axes
    for value, slope in zip(left.lines, right.lines):
        rate = np.diff(value.get_ydata()) / np.diff(np.radians(value.get_xdata()))
        there = np.isfinite(rate)
        np.testing.assert_allclose(slope.get_ydata()[1:][there], rate[there], rtol=1e-6, err_msg=value.get_label())

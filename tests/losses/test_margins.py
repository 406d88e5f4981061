"""Eq. 4, its derivative, and what holds past pi."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon import Margin
from arcface_gluon.errors import UserError

ANGLES = np.linspace(0, np.pi, 181)
margins = st.tuples(st.floats(0.5, 4), st.floats(0, 1), st.floats(0, 0.5))


@pytest.mark.parametrize("m", [(1, 0, 0), (1.35, 0, 0), (1, 0.5, 0), (1, 0, 0.35), (1, 0.3, 0.2), (0.9, 0.4, 0.15)])
def test_literal_is_the_formula_for_0_to_180_degrees(m):
    value, slope = Margin(*m)(ANGLES)
    for theta, v, d in zip(ANGLES, value, slope):
        assert v == pytest.approx(np.cos(m[0] * theta + m[1]) - m[2])
        assert d == pytest.approx(-m[0] * np.sin(m[0] * theta + m[1]))


@given(margins)
@settings(deadline=None, max_examples=30)
def test_monotone_falls_everywhere_and_equals_eq_4_up_to_pi(m):
    literal, monotone = Margin(*m)(ANGLES), Margin(*m, boundary="monotone")(ANGLES)
    before = m[0] * ANGLES + m[1] < np.pi
    assert np.array_equal(literal[0][before], monotone[0][before])
    assert (np.diff(monotone[0]) < 1e-12).all() and (monotone[1] < 1e-12).all()


@given(margins, st.sampled_from(["literal", "monotone"]))
@settings(deadline=None, max_examples=30)
def test_slope_is_the_derivative_also_across_pi(m, boundary):
    margin, h = Margin(*m, boundary=boundary), 1e-5
    numeric = (margin(ANGLES + h)[0] - margin(ANGLES - h)[0]) / (2 * h)
    np.testing.assert_allclose(margin(ANGLES)[1], numeric, atol=1e-3)


@pytest.mark.parametrize("arguments", [(0, 0, 0), (-1, 0.5, 0), (1, float("nan"), 0), (1, 0, float("inf"))])
def test_senseless_margins_are_refused(arguments):
    with pytest.raises(UserError, match="margin m"):
        Margin(*arguments)


def test_unknown_boundary_is_refused():
    with pytest.raises(UserError, match="literal, monotone"):
        Margin(1, 0.5, 0, boundary="easy")


def test_repr_names_what_differs():
    assert repr(Margin()) == "Margin(1, 0.5, 0)"
    assert repr(Margin(1, 0, 0.35, "monotone")) == "Margin(1, 0, 0.35, boundary='monotone')"

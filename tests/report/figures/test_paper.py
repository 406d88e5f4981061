"""The paper's figures against its equations."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.report.figures import paper as paper_figures
from arcface_gluon.report.figures.paper import PAPER_FIGURES, decision_margins, geometry, target_logits
from arcface_gluon.report.figures.run import svg_markup


def test_target_logits_are_equation_4_between_20_and_100_degrees():
    (axis,) = target_logits().axes
    assert axis.get_xlim() == (20, 100)
    curves = {line.get_label(): line.get_xydata().T for line in axis.get_lines()}
    assert len(curves) == 6
    degrees, logits = curves["CM1 (1, 0.3, 0.2)"]
    np.testing.assert_allclose(logits, 64 * (np.cos(np.radians(degrees) + 0.3) - 0.2), atol=1e-9)
    degrees, logits = curves["SphereFace (1.35, 0, 0)"]
    np.testing.assert_allclose(logits, 64 * np.cos(1.35 * np.radians(degrees)), atol=1e-9)


@pytest.mark.parametrize(
    "panel, boundary",
    [
        (0, lambda first: first),
        (1, lambda first: 1.35 * first),
        (2, lambda first: np.degrees(np.arccos(np.cos(np.radians(first)) - 0.35))),
        (3, lambda first: first + np.degrees(0.5)),
    ],
    ids=["softmax", "sphereface", "cosface", "arcface"],
)
def test_decision_margins_lie_between_the_boundaries_of_the_two_classes(panel, boundary):
    axis = decision_margins().axes[panel]
    _, first_class, second_class = axis.collections
    first, second = np.concatenate([path.vertices for path in first_class.get_paths()]).T
    np.testing.assert_allclose(second, boundary(first), atol=0.3)
    second, first = np.concatenate([path.vertices for path in second_class.get_paths()]).T
    np.testing.assert_allclose(second, boundary(first), atol=0.3)


def test_walks_on_the_sphere_have_the_length_asked_for():
    start, towards = paper_figures._point(-38, 12), paper_figures._point(42, -12)
    for angle in (0.1, 0.5, 2.0):
        end = paper_figures._walk(start, towards, angle)
        assert np.linalg.norm(end) == pytest.approx(1)
        assert np.arccos(start @ end) == pytest.approx(angle)
    reached = paper_figures._walk(start, towards, np.arccos(start @ towards))
    np.testing.assert_allclose(reached, towards, atol=1e-12)


def test_geometry_draws_all_four_constraints_on_the_sphere():
    figure = geometry()
    assert [axis.get_title() for axis in figure.axes] == [
        "(A) Margin-Loss",
        "(B) Intra-Loss",
        "(C) Inter-Loss",
        "(D) Triplet-Loss",
    ]
    for axis in figure.axes:
        for line in axis.get_lines():
            assert (np.hypot(*line.get_xydata().T) <= 1 + 1e-9).all(), "outside the sphere"


@pytest.mark.parametrize("number", PAPER_FIGURES)
def test_every_figure_draws(number):
    assert "<path" in svg_markup(PAPER_FIGURES[number](), "figure", f"Figure {number}")

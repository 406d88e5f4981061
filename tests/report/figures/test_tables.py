"""The figures beside Tables 8 and 9: what is drawn."""

from __future__ import annotations

import numpy as np

from arcface_gluon.report.figures.tables import average_precisions, trillion_roc


def test_the_curve_ends_where_scores_were_kept_and_the_tables_rate_is_marked():
    fpr, tpr = [0.0, 1e-11, 1e-9, 9e-7], [0.1, 0.3, 0.5, 0.8]
    (axis,) = trillion_roc({"net": (fpr, tpr, 4.3e11)}).axes
    assert axis.get_xlim() == (1 / 4.3e11, 1e-6)
    curve, mark = axis.lines
    assert curve.get_xdata().tolist() == [1 / 4.3e11, 1e-11, 1e-9, 9e-7] and curve.get_ydata().tolist() == tpr
    assert mark.get_xdata() == [1e-9, 1e-9] and [text.get_text() for text in axis.texts] == ["Table 8"]
    (axis,) = trillion_roc({"net": ([0.0, 0.5], [0.1, 0.8], 100)}).axes
    assert axis.get_xlim()[1] == 1 and len(axis.lines) == 1 and not axis.texts


def test_persons_are_drawn_from_the_best_found_on():
    figure = average_precisions({"centres": np.array([0.25, 1.0]), "+ MLP": np.array([0.5, 0.5, 0.5, 1.0])})
    first, second = figure.axes[0].lines
    assert first.get_xdata().tolist() == [0, 50, 100] and first.get_ydata().tolist() == [1, 0.25, 0.25]
    assert second.get_xdata().tolist() == [0, 25, 50, 75, 100]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["centres: mean 62.50%", "+ MLP: mean 62.50%"]

"""Figures show the data they are given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from arcface_gluon.report.figures import run as figures

ROWS = [
    {"iteration": 10, "loss": 3.0, "accuracy": 0.1, "lr": 0.1},
    {"iteration": 20, "loss": float("nan"), "accuracy": 0.2, "lr": 0.1},
    {"iteration": 20, "verification": {"lfw": {"accuracy": 0.9}, "agedb_30": {"accuracy": 0.8}}},
    {"iteration": 30, "loss": 1.0, "accuracy": 0.3, "lr": 0.01},
]


def lines(axis):
    return {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}


def test_loss_curves_leave_out_what_is_not_finite():
    loss, rate = figures.loss_curves(ROWS).axes
    assert list(lines(loss).values()) == [[[10, 3], [30, 1]]]
    assert list(lines(rate).values()) == [[[10, 0.1], [20, 0.1], [30, 0.01]]]
    assert rate.get_yscale() == "log"


def test_a_panel_without_data_is_left_out():
    assert len(figures.loss_curves([{"iteration": 1, "loss": 2.0}]).axes) == 1
    assert len(figures.loss_curves([{"iteration": 1, "lr": 0.0}]).axes) == 1


def test_accuracy_curves_are_in_per_cent_for_training_and_every_set():
    (axis,) = figures.accuracy_curves(ROWS).axes
    shown = lines(axis)
    assert set(shown) == {"training batches", "lfw", "agedb_30"}
    np.testing.assert_allclose(shown["training batches"], [[10, 10], [20, 20], [30, 30]])
    np.testing.assert_allclose(shown["lfw"], [[20, 90]])


def test_a_long_run_is_averaged_within_its_extremes():
    rows = [{"iteration": i, "loss": float(i % 10)} for i in range(100_000)]
    axis = figures.loss_curves(rows).axes[0]
    (curve,) = lines(axis).values()
    assert len(curve) == 500
    np.testing.assert_allclose([y for _, y in curve], 4.5, atol=0.1)
    assert axis.collections[0].get_paths()[0].get_extents().height == 9


def test_roc_starts_at_one_false_accept_of_each_set():
    fpr, tpr = np.array([0, 0, 0.01, 0.01, 1]), np.array([0, 0.6, 0.6, 0.9, 1])
    (axis,) = figures.roc_figure({"lfw": (fpr, tpr, 100), "large": (fpr, tpr, 1000)}).axes
    assert axis.get_xlim() == (1e-3, 1)
    assert lines(axis)["lfw"][:2] == [[0.01, 0.6], [0.01, 0.6]] and lines(axis)["lfw"][-1] == [1, 1]
    assert lines(axis)["large"][0] == [1e-3, 0.6]


@pytest.mark.parametrize("impostor", [[80.0, 90.0, 170.0], []])
def test_angle_histogram_is_in_per_cent_of_each_kind(impostor):
    figure = figures.angle_histogram(np.array([10.0, 11.0, 40.0, 41.0]), np.array(impostor), 60.0)
    (axis,) = figure.axes
    assert axis.get_xlim()[1] >= max(120, *impostor, 0)
    assert max(axis.patches[0].get_xy()[:, 1]) == 50
    assert len(axis.patches) == (2 if impostor else 1)
    assert lines(axis)["threshold 60.0°"][0][0] == 60


def test_svg_takes_the_pages_colour_has_its_own_ids_and_says_what_it_is():
    figure = figures.loss_curves(ROWS)
    markup = figures.svg_markup(figure, "loss", 'Loss & "rate"')
    root = ET.fromstring(markup)
    assert root.get("aria-label") == 'Loss & "rate"' and root.get("viewBox") and not root.get("width")
    assert figures.INK not in markup and "currentColor" in markup
    ids = re.findall(r'\bid="([^"]*)"', markup)
    assert ids and all(name.startswith("loss-") for name in ids) and len(set(ids)) == len(ids)
    assert set(re.findall(r"(?:url\(|href=\")#([^)\"]*)", markup)) <= set(ids)
    assert ">iteration<" in markup, "text stays text"
    assert not re.search(r"https?://(?!www\.w3\.org/)", markup)


def test_saved_figures_are_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        figures.save_figure(figures.loss_curves(ROWS), tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlibs_own_settings_stay():
    before = dict(matplotlib.rcParams)
    figures.svg_markup(figures.loss_curves(ROWS), "loss", "")
    assert dict(matplotlib.rcParams) == before

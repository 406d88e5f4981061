"""What the figures of angles draw, read back from the axes."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.report.figures.angles import pair_angles_panels, plane_embeddings, target_angles
from arcface_gluon.report.figures.run import save_figure


def test_plane_embeddings_puts_samples_on_the_circle_and_lines_on_the_centres():
    labels = np.repeat(np.arange(3), 4)
    embeddings = np.random.default_rng(0).normal(size=(12, 2)) * 5
    centres = np.array([[2.0, 0], [0, 3], [-1, -1]])
    axis = plane_embeddings({"Softmax": (embeddings, labels, centres)}).axes[0]
    _, *drawn = axis.lines  # the first is the circle
    for label, (dots, line) in enumerate(zip(drawn[::2], drawn[1::2])):
        expected = embeddings[labels == label]
        np.testing.assert_allclose(dots.get_xydata(), expected / np.linalg.norm(expected, axis=1, keepdims=True))
        np.testing.assert_allclose(line.get_xydata()[1], centres[label] / np.linalg.norm(centres[label]))
        assert dots.get_color() == line.get_color()
    assert len({dots.get_marker() for dots in drawn[::2]}) == 3


def test_target_angles_draws_each_phase_in_per_cent_of_its_images():
    counts = [0] * 180
    counts[30], counts[31], counts[90] = 3, 1, 4
    rows = [
        {"iteration": 1, "loss": 3.0},
        {"iteration": 5, "target_angles": {"phase": "start", "first": 1, "counts": counts}},
        {"iteration": 50, "target_angles": {"phase": "end", "first": 46, "counts": counts}},
    ]
    axis = target_angles(rows).axes[0]
    values, edges, _ = axis.patches[0].get_data()
    assert values[edges[:-1] == 30] == 50 and values[edges[:-1] == 90] == 50 and values.sum() == 100
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["start (iteration 1)", "end (iteration 46)"]


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_a_panel_a_set_with_the_means_in_its_title(count, tmp_path):
    panels = {f"set {i}": (np.full(5, 10.0 + i), np.full(7, 70.0)) for i in range(count)}
    figure = pair_angles_panels(panels)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == [f"set {i}\nmeans {10 + i}.0° and 70.0°" for i in range(count)]
    assert all(axis.get_xlim() == (0, 120) for axis in shown)
    save_figure(figure, tmp_path / "seven")
    assert (tmp_path / "seven.png").stat().st_size > 1000 and (tmp_path / "seven.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "genuine, impostor, title",
    [(3, 2, "means 40.0° and 80.0°"), (3, 0, "mean 40.0°, no impostor pairs"), (0, 2, "no genuine pairs, mean 80.0°")],
)
def test_a_panel_says_which_kind_of_pair_it_lacks(genuine, impostor, title):
    figure = pair_angles_panels({"a set": (np.full(genuine, 40.0), np.full(impostor, 80.0))})
    assert figure.axes[0].get_title() == f"a set\n{title}"

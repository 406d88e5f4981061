"""Figures 3, 4a, 6 and 7 of the paper, from what a run has measured: embeddings, target angles, angles of pairs."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..outside_text import figure_label
from .run import BLUE, COLOURS, DASHES, GREEN, GREY, INK, VERMILLION, styled

PHASE_STYLES = {"start": (BLUE, "-"), "middle": (VERMILLION, "--"), "end": (GREEN, "-.")}
# Eight kinds of dots that stay apart without colour.
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
EIGHT = (*COLOURS, INK, GREY)
_DRAWN = 500  # more dots than this are a picture in the SVG, not a shape each
_BINS = np.arange(0, 181, 2)


@styled
def plane_embeddings(panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Figure 3: two-dimensional embeddings of a few identities, on the circle of their directions.

    Args:
        panels: {title: (embeddings (n, 2), labels (n,), centres (classes, 2))}; eight classes at most. Dots are
            samples, lines the directions of the class centres.
    """
    figure = Figure(figsize=(3.4 * len(panels), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, (embeddings, labels, centres)) in zip(axes, panels.items()):
        turn = np.linspace(0, 2 * np.pi, 400)
        axis.plot(np.cos(turn), np.sin(turn), color=GREY, linewidth=0.7, zorder=1)
        for label, (colour, marker) in enumerate(zip(EIGHT[: len(centres)], MARKERS)):
            x, y = _directions(embeddings[labels == label])
            dots = {"markersize": 5, "alpha": 0.7, "markeredgewidth": 0, "rasterized": len(embeddings) > _DRAWN}
            axis.plot(x, y, marker, color=colour, zorder=3, **dots)
            x, y = _directions(centres[label : label + 1])
            axis.plot([0, x[0]], [0, y[0]], color=colour, linewidth=1.2, zorder=2)
        axis.set(title=figure_label(title), aspect="equal", xlim=(-1.12, 1.12), ylim=(-1.12, 1.12))
        axis.axis("off")
    return figure


@styled
def target_angles(rows: Sequence[dict]) -> Figure:
    """Figure 4a: the angle between training images and their own centres at the start, in the middle and at the end.

    Args:
        rows: the lines of metrics.jsonl; those with `target_angles` ({"phase", "first", "counts": 180 numbers}) are
            drawn.
    """
    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axis = figure.subplots()
    for row in rows:
        found = row.get("target_angles")
        if not found:
            continue
        colour, dash = PHASE_STYLES[found["phase"]]
        counts = np.asarray(found["counts"], np.float64).reshape(90, 2).sum(axis=1)
        label = f"{found['phase']} (iteration {found['first']:,})"
        axis.stairs(100 * counts / counts.sum(), _BINS, color=colour, linestyle=dash, linewidth=1.4, label=label)
        axis.stairs(100 * counts / counts.sum(), _BINS, color=colour, alpha=0.2, fill=True)
    axis.set_xlim(0, 120)
    axis.set_xlabel("angle between the feature and its centre (degrees)")
    axis.set_ylabel("images (%)")
    axis.legend(fontsize=8)
    return figure


@styled
def pair_angles_panels(panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Figures 6 and 7: histograms of the angles of genuine and impostor pairs, a panel for each loss or set.

    Args:
        panels: {title: (genuine, impostor)}, arrays of degrees; where one is empty, the title says so.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis, (title, kinds) in zip(axes.flat, panels.items()):
        for name, angles, colour, dash in zip(("genuine", "impostor"), kinds, (BLUE, VERMILLION), DASHES):
            weights = np.full(len(angles), 100 / max(1, len(angles)))
            style = {"facecolor": colour + "40", "edgecolor": colour, "linewidth": 1.2, "linestyle": dash}
            axis.hist(angles, _BINS, weights=weights, histtype="stepfilled", label=name, **style)
        axis.set_title(f"{figure_label(title)}\n{_means(*kinds)}", fontsize=9)
        axis.set_xlim(0, 120)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("pairs (%)")
    for index in range(len(panels)):
        if index + columns >= len(panels):
            axes.flat[index].set_xlabel("angle (degrees)")
            axes.flat[index].tick_params(labelbottom=True)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _means(genuine, impostor):
    if len(genuine) and len(impostor):
        return f"means {np.mean(genuine):.1f}° and {np.mean(impostor):.1f}°"
    if len(genuine):
        return f"mean {np.mean(genuine):.1f}°, no impostor pairs"
    return f"no genuine pairs, mean {np.mean(impostor):.1f}°"


def _directions(points):
    lengths = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    return (points / lengths).T

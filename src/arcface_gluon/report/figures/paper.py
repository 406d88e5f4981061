"""Figures 1, 4b and 5 of the paper, each computed from the margin's formula (Eq. 4) as the head trains with it.

`PAPER_FIGURES` has them by number; `save_figure` writes one as PNG and SVG.
"""

from __future__ import annotations

from typing import Mapping

import numpy as np
from matplotlib.figure import Figure

from ...losses.margins import Margin
from .run import BLUE, COLOURS, DASHES, GREEN, GREY, INK, VERMILLION, styled

# The settings of Table 2 that Figure 4b compares.
MARGINS = {
    "Norm-Softmax (1, 0, 0)": Margin(1, 0, 0),
    "SphereFace (1.35, 0, 0)": Margin(1.35, 0, 0),
    "ArcFace (1, 0.5, 0)": Margin(1, 0.5, 0),
    "CosFace (1, 0, 0.35)": Margin(1, 0, 0.35),
    "CM1 (1, 0.3, 0.2)": Margin(1, 0.3, 0.2),
    "CM2 (0.9, 0.4, 0.15)": Margin(0.9, 0.4, 0.15),
}
FOUR = {"Softmax": "Norm-Softmax (1, 0, 0)", "SphereFace": "SphereFace (1.35, 0, 0)"}
FOUR.update(CosFace="CosFace (1, 0, 0.35)", ArcFace="ArcFace (1, 0.5, 0)")


@styled
def target_logits(margins: Mapping[str, Margin] | None = None, scale: float = 64.0) -> Figure:
    """Figure 4b: the target logit s (cos(m1 theta + m2) - m3) against the angle to the centre, 20 to 100 degrees.

    Args:
        margins: {name: Margin}; the paper's six where not given.
        scale: s of Eq. 4.
    """
    degrees = np.linspace(20, 100, 321)
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, (name, margin) in enumerate((margins or MARGINS).items()):
        logits = scale * margin(np.radians(degrees))[0]
        axis.plot(degrees, logits, label=name, color=COLOURS[index % 6], linestyle=DASHES[index % 6])
    axis.set_xlim(20, 100)
    axis.set_xlabel("angle between the feature and its centre (degrees)")
    axis.set_ylabel("target logit")
    axis.legend(fontsize=8)
    return figure


@styled
def decision_margins() -> Figure:
    """Figure 5: two classes; where each loss counts an embedding at angles (theta 1, theta 2) to them as its own.

    Class 1 begins where psi(theta 1) > cos(theta 2), class 2 where psi(theta 2) > cos(theta 1), psi being the margin's
    target cosine; the decision margin is what belongs to neither, the dashed line the boundary without a margin.
    """
    degrees = np.linspace(0, 90, 361)
    first, second = np.meshgrid(np.radians(degrees), np.radians(degrees))
    figure = Figure(figsize=(9.2, 2.7), layout="constrained")
    for axis, (name, setting) in zip(figure.subplots(1, 4, sharey=True), FOUR.items()):
        margin = MARGINS[setting]
        mine = margin(first)[0] - np.cos(second)
        other = margin(second)[0] - np.cos(first)
        axis.contourf(degrees, degrees, np.maximum(mine, other), [-10, 0], colors=[GREY], alpha=0.45)
        axis.contour(degrees, degrees, mine, [0], colors=[BLUE], linewidths=1.4)
        axis.contour(degrees, degrees, other, [0], colors=[VERMILLION], linewidths=1.4)
        axis.plot([0, 90], [0, 90], color=INK, linestyle="--", linewidth=1)
        axis.text(20, 72, "class 1", color=BLUE, ha="center")
        axis.text(70, 15, "class 2", color=VERMILLION, ha="center")
        axis.set(
            title=name, aspect="equal", xlim=(0, 90), ylim=(0, 90), xticks=range(0, 91, 30), yticks=range(0, 91, 30)
        )
        axis.set_xlabel("θ₁ (degrees)")
        axis.grid(False)
    figure.axes[0].set_ylabel("θ₂ (degrees)")
    return figure


@styled
def geometry(margin: float = 0.5) -> Figure:
    """Figure 1: what margin, Intra, Inter and Triplet losses ask for, as arcs on the sphere of embeddings.

    Args:
        margin: length of the margin's arc, in radians.
    """
    figure = Figure(figsize=(9.2, 2.9), layout="constrained")
    axes = figure.subplots(1, 4)
    titles = ("(A) Margin-Loss", "(B) Intra-Loss", "(C) Inter-Loss", "(D) Triplet-Loss")
    for axis, title, draw in zip(axes, titles, (_margin, _intra, _inter, _triplet)):
        axis.set(title=title, aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
        axis.axis("off")
        _sphere(axis)
        draw(axis, margin)
    return figure


PAPER_FIGURES = {"1": geometry, "4b": target_logits, "5": decision_margins}

# Places on the sphere, (longitude, latitude) in degrees as seen from the front.
_CENTRES = ((-38, 12), (42, -12))
_SAMPLE = (-12, 22)


def _margin(axis, margin):
    # Arcs from a sample to both centres; the margin lengthens the one to its own.
    own, other, sample = _point(*_CENTRES[0]), _point(*_CENTRES[1]), _point(*_SAMPLE)
    beyond = _walk(own, sample, np.arccos(own @ sample) + margin)
    _arc(axis, own, sample, BLUE)
    _arc(axis, sample, beyond, GREEN, linewidth=3)
    _arc(axis, sample, other, VERMILLION, linestyle="--")
    _label(axis, own, "$W_1$", BLUE, "s")
    _label(axis, other, "$W_2$", VERMILLION, "s")
    _label(axis, sample, "$x$", BLUE, "o")
    axis.annotate(
        "m",
        _flat(_walk(own, beyond, np.arccos(own @ beyond) - margin / 2)),
        (0, 6),
        textcoords="offset points",
        color=GREEN,
    )


def _intra(axis, _):
    # Every sample is drawn to its centre.
    for (longitude, latitude), name, colour in zip(_CENTRES, ("$W_1$", "$W_2$"), (BLUE, VERMILLION)):
        centre = _point(longitude, latitude)
        for turn in np.radians(range(30, 390, 72)):
            sample = _point(longitude + 24 * np.cos(turn), latitude + 24 * np.sin(turn))
            _arc(axis, sample, _walk(sample, centre, np.arccos(sample @ centre) * 0.7), colour, arrow=True)
            axis.plot(*_flat(sample), "o", color=colour, markersize=4)
        _label(axis, centre, name, colour, "s", (8, -4))


def _inter(axis, _):
    # Centres are driven apart along the arc that joins them.
    own, other = _point(*_CENTRES[0]), _point(*_CENTRES[1])
    _arc(axis, own, other, GREY, linestyle="--")
    between = np.arccos(own @ other)
    _arc(axis, own, _walk(other, own, between + 0.35), BLUE, arrow=True)
    _arc(axis, other, _walk(own, other, between + 0.35), VERMILLION, arrow=True)
    _label(axis, own, "$W_1$", BLUE, "s", (-6, 8))
    _label(axis, other, "$W_2$", VERMILLION, "s", (-6, 8))


def _triplet(axis, margin):
    # The negative stays farther from the anchor than the positive, by the margin.
    anchor, positive, negative = _point(-20, 25), _point(-42, -12), _point(45, -5)
    _arc(axis, anchor, positive, BLUE)
    near = _walk(anchor, negative, np.arccos(anchor @ positive))
    end = _walk(anchor, negative, np.arccos(anchor @ positive) + margin)
    _arc(axis, anchor, negative, VERMILLION, linestyle="--")
    _arc(axis, near, end, GREEN, linewidth=3)
    axis.annotate("m", _flat(_walk(near, end, margin / 2)), (0, 6), textcoords="offset points", color=GREEN)
    _label(axis, anchor, "$x$", BLUE, "o")
    _label(axis, positive, "$x^+$", BLUE, "o")
    _label(axis, negative, "$x^-$", VERMILLION, "o")


def _sphere(axis):
    turn = np.linspace(0, 2 * np.pi, 200)
    axis.fill(np.cos(turn), np.sin(turn), facecolor=GREY, alpha=0.1)
    axis.plot(np.cos(turn), np.sin(turn), color=GREY, linewidth=1)
    span = np.linspace(-90, 90, 60)
    for angle in range(-60, 61, 30):
        axis.plot(*_flat(_point(angle, span)), color=GREY, linewidth=0.4)
        axis.plot(*_flat(_point(span, angle)), color=GREY, linewidth=0.4)


def _point(longitude, latitude):
    # Unit vector(s): x to the right, y up, z towards the reader.
    longitude, latitude = np.broadcast_arrays(np.radians(longitude), np.radians(latitude))
    horizontal = np.cos(latitude)
    return np.stack([horizontal * np.sin(longitude), np.sin(latitude), horizontal * np.cos(longitude)], axis=-1)


def _flat(points):
    return points[..., 0], points[..., 1]


def _walk(start, towards, angle):
    # The point (or points) reached from `start` along the great circle to `towards` after `angle` radians.
    direction = towards - (towards @ start) * start
    direction /= np.linalg.norm(direction)
    angle = np.asarray(angle)[..., None]
    return np.cos(angle) * start + np.sin(angle) * direction


def _arc(axis, start, end, colour, arrow=False, **style):
    path = _walk(start, end, np.linspace(0, np.arccos(np.clip(start @ end, -1, 1)), 40))
    axis.plot(*_flat(path), color=colour, **style)
    if arrow:
        properties = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", _flat(path[-1]), _flat(path[-4]), arrowprops=properties)


def _label(axis, point, text, colour, marker, offset=(5, -12)):
    axis.plot(*_flat(point), marker, color=colour, markersize=6)
    axis.annotate(text, _flat(point), offset, textcoords="offset points", color=INK, fontsize=10)

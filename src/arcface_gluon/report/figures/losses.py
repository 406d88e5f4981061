"""Curves of every loss for its documentation: target cosines, their slopes, what holds past pi, the added terms."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ...losses.adaptive import AdaFace, MagFace
from ...losses.margins import Margin
from .paper import MARGINS
from .run import BLUE, COLOURS, DASHES, GREEN, INK, PURPLE, VERMILLION, styled

_DEGREES = np.linspace(0, 180, 721)
_THETA = np.radians(_DEGREES)
_TARGET = "target cosine ψ(θ)", "pull towards the centre, −dψ/dθ"


@styled
def slopes() -> Figure:
    """Target cosine psi(theta) of the margins of Table 2, and its pull -dpsi/dtheta, over all angles."""
    figure, (left, right) = _two(*_TARGET)
    for index, (name, margin) in enumerate(MARGINS.items()):
        value, slope = margin(_THETA)
        style = {"color": COLOURS[index % 6], "linestyle": DASHES[index % 6]}
        left.plot(_DEGREES, value, label=name, **style)
        right.plot(_DEGREES, -slope, **style)
    right.axhline(0, color=INK, linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


@styled
def boundaries() -> Figure:
    """What holds past m1 theta + m2 = pi: Eq. 4 as printed ("literal"), and the continuation that keeps falling."""
    figure, (left, right) = _two(*_TARGET)
    for name, setting, colour in (
        ("ArcFace 0.5", (1, 0.5, 0), BLUE),
        ("SphereFace 1.35", (1.35, 0, 0), VERMILLION),
    ):
        for boundary, dash in (("literal", "-"), ("monotone", "--")):
            value, slope = Margin(*setting, boundary=boundary)(_THETA)
            left.plot(_DEGREES, value, color=colour, linestyle=dash, label=f"{name}, {boundary}")
            right.plot(_DEGREES, -slope, color=colour, linestyle=dash)
    right.axhline(0, color=INK, linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


@styled
def terms() -> Figure:
    """What Intra, Inter and Triplet add to the loss, and the angle's derivative of it."""
    figure, (left, right) = _two("term", "d term / dθ")
    near, margin = np.radians(50), 0.35  # of the triplet's positive
    semi_hard = np.abs(_THETA - near - margin / 2) < margin / 2
    triplet = np.where(semi_hard, near + margin - _THETA, np.nan)
    for name, value, slope, style in (
        ("Intra, θ to the own centre", _THETA / np.pi, np.full_like(_THETA, 1 / np.pi), ("-", BLUE)),
        ("Inter, θ to another centre", -_THETA / np.pi, np.full_like(_THETA, -1 / np.pi), ("--", VERMILLION)),
        ("Triplet, θ to the negative, positive at 50°", triplet, np.where(semi_hard, -1.0, np.nan), ("-.", GREEN)),
    ):
        left.plot(_DEGREES, value, style[0], color=style[1], label=name)
        right.plot(_DEGREES, slope, style[0], color=style[1])
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


@styled
def later_losses() -> Figure:
    """MagFace and AdaFace: target cosine at three lengths; CurricularFace: what a negative's cosine counts for."""
    figure = Figure(figsize=(9.2, 3.3), layout="constrained")
    axes = figure.subplots(1, 3)
    for length, colour, dash in ((10, BLUE, "-"), (60, VERMILLION, "--"), (110, GREEN, "-.")):
        value = MagFace()(_THETA, np.full_like(_THETA, length))[0]
        axes[0].plot(_DEGREES, value, dash, color=colour, label=f"|x| = {length}")
    for quality, colour, dash in ((-1, BLUE, "-"), (0, VERMILLION, "--"), (1, GREEN, "-.")):
        value = AdaFace().at_quality(_THETA, quality)[0]
        axes[1].plot(_DEGREES, value, dash, color=colour, label=f"quality z = {quality}")
    cosine = np.linspace(-1, 1, 401)
    target = 0.3
    for t, colour, dash in ((0.0, BLUE, "-"), (0.3, VERMILLION, "--"), (0.7, GREEN, "-.")):
        counted = np.where(cosine > target, cosine * (t + cosine), cosine)
        axes[2].plot(cosine, counted, dash, color=colour, label=f"t = {t:g}")
    axes[2].axvline(target, color=PURPLE, linewidth=1)
    axes[2].annotate("cos(θᵧ + m)", (target, -0.9), (4, 0), textcoords="offset points", color=PURPLE, fontsize=8)
    for axis, title in zip(axes, ("MagFace", "AdaFace", "CurricularFace")):
        axis.set_title(title)
        axis.legend(fontsize=8, loc="upper left" if title == "CurricularFace" else "upper right")
    for axis in axes[:2]:
        axis.set(xlim=(0, 180), xticks=range(0, 181, 45), xlabel="θ (degrees)", ylabel="target cosine ψ(θ)")
    axes[2].set(xlabel="cosine of another class", ylabel="cosine that enters the softmax")
    return figure


LOSS_FIGURES = {"slopes": slopes, "boundaries": boundaries, "terms": terms, "later": later_losses}


def _two(*labels):
    """A figure with two panels over the angle, whose vertical axes have these labels."""
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, label in zip(axes, labels):
        axis.set(xlim=(0, 180), xticks=range(0, 181, 30), xlabel="θ (degrees)", ylabel=label)
    return figure, axes

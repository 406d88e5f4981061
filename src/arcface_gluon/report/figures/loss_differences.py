"""Differences of losses on unseen people, with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from matplotlib.figure import Figure

from ..outside_text import figure_label
from .run import BLUE, GREY, INK, WIDTH, styled

if TYPE_CHECKING:
    from ...protocols.unseen_pairs import Interval


@styled
def loss_differences(differences: Mapping[str, Mapping[str, Interval | None]], reference: str, title: str) -> Figure:
    """A panel a measure: each loss's difference to the reference in points, with its 95 % interval.

    Args:
        differences: {loss: {measure: interval}}; those that are resolved are drawn in colour.
        reference: the loss that the others are compared with.
        title: of the figure.
    """
    measures = list(next(iter(differences.values())))
    height = 0.9 + 0.22 * len(differences)
    figure = Figure(figsize=(WIDTH * len(measures) / 2 + 1.2, height), layout="constrained")
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, measures):
        for place, found in enumerate(differences.values()):
            one = found[measure]
            if one is not None:
                colour = BLUE if one.resolved else GREY
                axis.plot([one.low, one.high], [place, place], color=colour)
                axis.plot(one.mean, place, "o", color=colour, markersize=4)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_xlabel(f"{figure_label(measure)}\nless {figure_label(reference)} (points)")
    axes[0].set_yticks(range(len(differences)), [figure_label(loss) for loss in differences])
    axes[0].invert_yaxis()
    figure.suptitle(figure_label(title), size="small")
    return figure

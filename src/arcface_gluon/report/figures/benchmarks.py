"""Figures 8 and 9 of the paper: the curves of MegaFace and of IJB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ..outside_text import figure_label
from .run import COLOURS, DASHES, WIDTH, draw_roc, styled

if TYPE_CHECKING:
    from ...protocols.megaface import Identification
    from ...protocols.scores.curves import VerificationCurve

_FIRST_FAR = 1e-6  # where the paper's axes begin
_MARKERS = ("o", "s", "^", "D")


@styled
def megaface_curves(results: Mapping[str, Mapping[tuple[int, int], Identification]]) -> Figure:
    """Figure 8: rank-1 against the number of distractors, and CMC and ROC among the most distractors.

    Args:
        results: {protocol: {(size, set): protocols.identification.Identification}}. The first panel shows the mean over
            the sets and their range, the others the first set.
    """
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    sizes_axis, ranks_axis, roc_axis = figure.subplots(1, 3)
    curves, lowest = {}, 1.0
    for index, (protocol, measured) in enumerate(results.items()):
        style = {"color": COLOURS[index % 6], "linestyle": DASHES[index % 6], "label": figure_label(protocol)}
        sizes, rates = _rank1_by_size(measured)
        low, mean, high = rates.T
        sizes_axis.fill_between(sizes, low, high, color=style["color"], alpha=0.2, linewidth=0)
        sizes_axis.plot(sizes, mean, marker=_MARKERS[index % 4], markersize=4, **style)
        size = max(sizes)
        result = measured[size, min(number for found, number in measured if found == size)]
        ranks, shares = result.cmc_points()
        ranks = [rank + 1 for rank in ranks] + [result.distractors + 1]
        ranks_axis.step(ranks, [*shares, shares[-1]], where="post", **style)
        lowest = min(lowest, rates.min(), shares[0])
        curves[protocol] = (*result.curve.points(), result.curve.total)
    bottom = np.floor(lowest * 20) / 20 - 0.01 if lowest > 0.1 else 0
    for axis, label in ((sizes_axis, "distractors"), (ranks_axis, f"rank among {size:,} distractors")):
        axis.set(xscale="log", xlabel=label, ylim=(bottom, 1.005))
        axis.xaxis.set_major_formatter(FuncFormatter(_count))
    sizes_axis.set_ylabel("rank-1 identification rate")
    sizes_axis.set_xticks(sizes)
    sizes_axis.xaxis.set_minor_locator(NullLocator())
    ranks_axis.set_ylabel("identification rate")
    ranks_axis.set_xlim(1, result.distractors + 1)
    draw_roc(roc_axis, curves, _FIRST_FAR)
    roc_axis.get_legend().remove()
    # Below: a line above the figure (`headed`) would cover one there.
    figure.legend(*sizes_axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(results))
    return figure


@styled
def template_curves(curves: Mapping[str, VerificationCurve]) -> Figure:
    """Figure 9: ROC of 1:1 verification, a panel for each benchmark.

    Args:
        curves: {benchmark: protocols.curves.VerificationCurve}.
    """
    figure = Figure(figsize=(WIDTH * len(curves), 3.5), layout="constrained")
    for axis, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        draw_roc(axis, {name: (*curve.points(), curve.total)}, _FIRST_FAR)
        axis.set_title(figure_label(name))
        axis.get_legend().remove()
    return figure


def _rank1_by_size(measured):
    """Sizes, ascending, and (sizes, 3) least, mean and largest rank-1 rate of the sets."""
    sizes = sorted({size for size, _ in measured})
    rates = [[one.rank1 for (found, _), one in measured.items() if found == size] for size in sizes]
    return sizes, np.array([[min(sets), np.mean(sets), max(sets)] for sets in rates])


def _count(value, _):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"

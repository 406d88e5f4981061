"""Figures beside Tables 8 and 9: Trillion-Pairs' error curve, and how well each person of iQIYI-VID is found."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .run import COLOURS, DASHES, GREY, WIDTH, draw_roc, styled

_TABLE_FPR = 1e-9


@styled
def trillion_roc(
    curves: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray, int]],
) -> Figure:
    """Verification of Trillion-Pairs: true over false positive rate, as far as the impostor scores were kept.

    Args:
        curves: {model: (fpr, tpr, impostors)}.
    """
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    axis = figure.subplots()
    draw_roc(axis, curves)
    end = max(max(fpr) for fpr, _, _ in curves.values())
    axis.set_xlim(right=10 ** np.ceil(np.log10(end)))
    axis.set_xlabel("false positive rate (impostor pairs)")
    axis.set_ylabel("true positive rate (genuine pairs)")
    if axis.get_xlim()[0] < _TABLE_FPR < axis.get_xlim()[1]:
        axis.axvline(_TABLE_FPR, color=GREY, linestyle=":", linewidth=1.2, zorder=0)
        axis.annotate(
            "Table 8", (_TABLE_FPR, 0.02), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points"
        )
    return figure


@styled
def average_precisions(methods: Mapping[str, np.ndarray]) -> Figure:
    """Average precision of each person, from the best found on, a line for each method.

    Args:
        methods: {method: (q,) average precisions}.
    """
    figure = Figure(figsize=(WIDTH, 2.8 + 0.18 * len(methods)), layout="constrained")
    axis = figure.subplots()
    for index, (method, values) in enumerate(methods.items()):
        heights = np.sort(values)[::-1]
        x = 100 * np.arange(len(heights) + 1) / len(heights)
        style = {"color": COLOURS[index % 6], "linestyle": DASHES[index % 6]}
        axis.step(x, np.r_[heights, heights[-1]], where="post", label=f"{method}: mean {values.mean():.2%}", **style)
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("persons, from the best found on (%)")
    axis.set_ylabel("average precision")
    figure.legend(loc="outside upper left", fontsize=8)
    return figure

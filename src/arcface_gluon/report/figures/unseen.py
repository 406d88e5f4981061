"""Detection error trade-off on unseen people, with the interval over people."""

from __future__ import annotations

from typing import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..outside_text import figure_label
from .run import COLOURS, DASHES, WIDTH, styled

_LEAST_RATE = 1e-4  # the axis ends here where all pairs are accepted


@styled
def det_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Genuine pairs refused over impostor pairs accepted, both on logarithmic axes.

    Args:
        curves: {set: {"far", "fnmr", "low", "high"}}, lists of shares, as `protocols.unseen_quality.DetCurve` has them.
    """
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    axis = figure.subplots()
    for index, (name, one) in enumerate(curves.items()):
        far, fnmr, low, high = (np.asarray(one[part], float) for part in ("far", "fnmr", "low", "high"))
        colour = COLOURS[index % 6]
        axis.fill_between(
            far, np.maximum(low, _LEAST_RATE), np.maximum(high, _LEAST_RATE), color=colour, alpha=0.2, linewidth=0
        )
        axis.plot(
            far, np.maximum(fnmr, _LEAST_RATE), color=colour, linestyle=DASHES[index % 6], label=figure_label(name)
        )
    axis.set(
        xscale="log", yscale="log", xlim=(min(min(one["far"]) for one in curves.values()), 1), ylim=(_LEAST_RATE, 1)
    )
    axis.set_xlabel("false accept rate")
    axis.set_ylabel("genuine pairs refused")
    axis.legend(loc="lower left")
    return figure

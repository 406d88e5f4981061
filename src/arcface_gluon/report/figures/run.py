"""Figures of a run: one function each, from data to a matplotlib Figure. No pyplot, so no global state and no display.

All share one style: legible at the width of a phone, the colour-blind safe palette of Okabe and Ito, line styles that
also tell curves apart in black and white.
"""

from __future__ import annotations

import functools
import io
import os
import re
from html import escape
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...files import atomic_write
from ...protocols.verification import one_kind
from ..outside_text import figure_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..mode import Mode

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 3)))
INK = "#1b1f24"  # text and axes; becomes the page's own text colour inside a page
GREY = "#8a93a0"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "arcface-gluon",  # the same data give the same file
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
WIDTH = 4.6  # inches: at a phone's width the 9 point text keeps its size
_MOST_POINTS = 500


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a figure function in the shared style, leaving matplotlib's settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args, **options):
        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return wrapper


@styled
def loss_curves(rows: Sequence[dict]) -> Figure:
    """Loss and learning rate over iterations, a panel each; one without data is left out.

    Args:
        rows: the lines of metrics.jsonl: dictionaries with `iteration` and `loss` and `lr`, or without.
    """
    panels = [key for key in ("loss", "lr") if len(_series(rows, key)[0])]
    heights = [2.4 if key == "loss" else 1.1 for key in panels]
    figure, axes = _panels(heights)
    for axis, key in zip(axes, panels):
        x, y = _series(rows, key)
        if key == "loss":
            _trace(axis, x, y, BLUE)
            axis.set_ylabel("loss")
        else:
            axis.step(x, y, where="post", color=INK)
            axis.set_ylabel("learning rate")
            if (y > 0).all():
                axis.set_yscale("log")
                # 0.01, not 10 with a small superscript.
                axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    return figure


@styled
def accuracy_curves(rows: Sequence[dict]) -> Figure:
    """Accuracy (per cent) over iterations, of the training batches and of the verification sets.

    Args:
        rows: the lines of metrics.jsonl: dictionaries with `iteration` and any of `accuracy` (fraction of the training
            batch) and `verification` ({set: {"accuracy": fraction}}).
    """
    figure, (axis,) = _panels([3.5])
    x, y = _series(rows, "accuracy")
    if len(x):
        _trace(axis, x, 100 * y, BLUE, label="training batches")
    for index, name in enumerate(dict.fromkeys(name for row in rows for name in row.get("verification", {}))):
        x, y = _series(rows, "verification", name)
        style = {"color": COLOURS[1 + index % 5], "linestyle": DASHES[1 + index % 5]}
        axis.plot(x, 100 * y, marker="o", markersize=3, label=figure_label(name), **style)
    axis.set_ylabel("accuracy (%)")
    axis.legend(loc="lower right")
    return figure


@styled
def roc_figure(curves: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray, int]]) -> Figure:
    """True over false accept rate, the latter on a logarithmic axis.

    Args:
        curves: {set name: (fpr, tpr, impostors)}; the axis begins where one impostor pair of the largest set stands.
    """
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    draw_roc(figure.subplots(), curves)
    return figure


def draw_roc(
    axis: Axes,
    curves: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray, int]],
    first: float = 0.0,
) -> None:
    """The curves of `roc_figure` on an axis of a figure that is being drawn, from the false accept rate `first` on."""
    start = max(first, 1 / max((impostors for _, _, impostors in curves.values()), default=1000))
    lowest = 1.0
    for index, (name, (fpr, tpr, impostors)) in enumerate(curves.items()):
        # A curve begins at the rate of one of its own impostor pairs: less cannot be measured.
        fpr, tpr = np.asarray(fpr), np.asarray(tpr)
        least = max(first, 1 / impostors)
        begin = int(np.searchsorted(fpr, least))
        x = np.r_[least, fpr[begin:]]
        y = np.r_[tpr[max(begin - 1, 0)], tpr[begin:]]
        lowest = min(lowest, y[0])
        style = {"color": COLOURS[index % 6], "linestyle": DASHES[index % 6]}
        axis.step(x, y, where="post", label=figure_label(name), **style)
    axis.set_xscale("log")
    axis.set_xlim(start, 1)
    axis.set_ylim(np.floor(lowest * 20) / 20 - 0.01 if lowest > 0.1 else 0, 1.005)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"1e{round(np.log10(x))}" if x < 1 else "1"))
    axis.set_xlabel("false accept rate")
    axis.set_ylabel("true accept rate")
    axis.legend(loc="lower right")


@styled
def angle_histogram(genuine: np.ndarray, impostor: np.ndarray, threshold: float | None = None) -> Figure:
    """Histograms of the angles (degrees) of genuine and impostor pairs, each in per cent of its own kind.

    Args:
        genuine, impostor: arrays of angles; either may be empty.
        threshold: angle below which a pair is taken for one person, drawn as a line.
    """
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axis = figure.subplots()
    bins: Any = np.arange(0, max(120, *genuine, *impostor) + 2, 2)
    for name, angles, colour in (("genuine", genuine, BLUE), ("impostor", impostor, VERMILLION)):
        if len(angles):
            label = f"{name} ({len(angles):,})"
            weights = np.full(len(angles), 100 / len(angles))
            style: dict[str, Any] = {"facecolor": colour + "40", "edgecolor": colour, "linewidth": 1.2}
            axis.hist(angles, bins, weights=weights, histtype="stepfilled", label=label, **style)
    if threshold is not None and np.isfinite(threshold):
        axis.axvline(threshold, color=INK, linestyle="--", linewidth=1.1, label=f"threshold {threshold:.1f}°")
    axis.set_xlim(0, bins[-1])
    axis.set_xlabel("angle between the two embeddings (degrees)")
    axis.set_ylabel("pairs (%)")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def svg_markup(figure: Figure, name: str, description: str) -> str:
    """The figure as an <svg> element to put into a page; text is text, in the page's font and colour.

    Args:
        name: unique in the page; prefixes the ids inside.
        description: what a screen reader says.
    """
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "none"}):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue().decode("utf-8")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(font: (?:\w+ )?[\d.]+px) [^;\"]+", r"\1 system-ui, sans-serif", svg)
    svg = re.sub(INK, "currentColor", svg, flags=re.IGNORECASE)
    # The width and height in points would win over the page's style in some mail programs.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)


def headed(figure: Figure, data: str, mode: Mode) -> Figure:
    """The figure with a line above it: the data it is of, and the mode (`report.mode`)."""
    figure.suptitle(f"{data}; {mode}", size="small", parse_math=False)
    return figure


def save_figure(figure: Figure, prefix: str | os.PathLike[str], kinds: Sequence[str] = ("png", "svg")) -> None:
    """Write prefix.png and prefix.svg on white, or one of them."""
    for kind in kinds:
        with matplotlib.rc_context(STYLE), atomic_write(f"{prefix}.{kind}") as file:
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(file, format=kind, dpi=200, facecolor="white", metadata=metadata)


def _panels(heights):
    # A figure with panels of these heights (inches) above each other, over iterations.
    figure = Figure(figsize=(WIDTH, 0.3 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    axes[-1].set_xlabel("iteration")
    axes[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    return figure, axes


def _series(rows, key, name=None):
    # (iterations, values) of the rows that have a finite value; with a name, of that set's verification accuracy, where
    # its pairs are of both kinds.
    points = []
    for row in rows:
        measures = {} if name is None else row.get(key, {}).get(name, {})
        value = row.get(key) if name is None else None if one_kind(measures) else measures.get("accuracy")
        if isinstance(value, (int, float)) and np.isfinite(value):
            points.append((row["iteration"], value))
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return x, y


def _trace(axis, x, y, colour, label=None):
    # Long runs are averaged over stretches of iterations, with a band from the least to the largest value of each.
    if len(x) > _MOST_POINTS:
        starts = np.arange(_MOST_POINTS) * len(x) // _MOST_POINTS
        counts = np.diff(np.r_[starts, len(x)])
        low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        x, y = np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(x, y, color=colour, label=label)

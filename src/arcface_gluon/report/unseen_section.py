"""The part of a run's report on all pairs of unseen people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..protocols.unseen_conditions import ALIKE
from ..protocols.unseen_pairs import paired_interval
from .figures.run import svg_markup
from .figures.unseen import det_curves
from .html import Markup, element, join, section, table
from .unseen import condition_rates, rate_cells

if TYPE_CHECKING:
    from .run_files import RunFiles


def unseen_sections(run: RunFiles) -> Markup | None:
    """Rates with intervals, the DET curve, and what one rate hides; None where nothing was measured."""
    if not run.unseen:
        return None
    text = "Genuine pairs refused at rates of accepted impostors; shaded: 95 % over people."
    markup = Markup(svg_markup(det_curves({one.name: one.quality["det"] for one in run.unseen}), "det", text))
    figure = element("figure", markup, element("figcaption", text))
    shown = [_rates(run.unseen), element("div", figure, class_="figures")]
    return section("All pairs of unseen people", *shown, *(_hidden(one) for one in run.unseen))


def _rates(results):
    measures = list(dict.fromkeys(measure for one in results for measure in one.measures))
    rows = [[one.name, *rate_cells(one, measures)] for one in results]
    caption = (
        "Per cent, with 95 % intervals over people, cut off at 0 and 100; accuracy is balanced, at its best threshold."
    )
    return table(["set", "people", "genuine pairs", "impostor pairs", *measures], rows, caption)


def _hidden(one):
    found, at = one.quality, f"at a FAR of {one.quality['far']:g}"
    middle, ninth, most = (f"{100 * share:.1f}" for share in found["refused"])
    parts = [
        element("h3", one.name),
        element(
            "p",
            f"Genuine pairs refused {at} (cosine {found['cosine']:.3f}): half of the people at most {middle} %, nine "
            f"in ten at most {ninth} %, the worst {most} %.",
            class_="note",
        ),
        table(
            ["person", "genuine pairs refused", "impostor pairs accepted"],
            [[name, f"{100 * refused:.1f} %", f"{100 * accepted:.3g} %"] for name, refused, accepted in found["worst"]],
            f"The people whose genuine pairs are refused most {at}.",
        ),
        table(
            ["length of the shorter embedding", "genuine pairs", "accepted, per cent"],
            [[f"{low:.3g} to {high:.3g}", f"{pairs:,}", _share(*rates)] for low, high, pairs, *rates in found["norms"]],
            f"Genuine pairs in quarters by the length of their shorter embedding, {at}; 95 % intervals over people.",
        ),
    ]
    parts += _conditions(one, at)
    if found["promises"]:
        rows = [
            [name, f"{promised:g}", f"{rate:.3g} ({low:.3g} to {high:.3g})"]
            for name, promised, rate, low, high in found["promises"]
        ]
        heads = ["threshold of", "FAR there", "FAR on these people (95 % over people)"]
        parts.append(table(heads, rows, "What the thresholds of verification sets promise, and keep on other people."))
    return join(*parts)


def _share(rate, low=None, high=None):
    """In per cent; results of before have no interval."""
    return f"{100 * rate:.2f}" + ("" if low is None else f" ({100 * low:.2f} to {100 * high:.2f})")


def _with_interval(found):
    return found.false, *np.quantile(found.false_draws, (0.025, 0.975))


def _conditions(one, at):
    rows = [
        [
            found.condition if found.kind == ALIKE else "",
            f"both {found.kind}" if found.of_value else found.kind,
            f"{found.genuine:,}",
            str(paired_interval([100 * found.accepted], [100 * found.draws], one.identities)),
            f"{found.impostors:,}",
            "{:.3g} ({:.3g} to {:.3g})".format(*(100 * share for share in _with_interval(found))),
        ]
        for found in condition_rates(one)
    ]
    heads = ["condition", "pairs", "genuine pairs", "accepted, per cent", "impostor pairs", "accepted, per cent"]
    caption = f"Pairs by the conditions of their images, {at} over all pairs, with 95 % intervals over people."
    return [table(heads, rows, caption)] if rows else []

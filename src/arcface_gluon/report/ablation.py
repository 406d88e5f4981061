"""Table 2 from the runs of an ablation: accuracy of each loss, mean ± std over seeds, beside the paper's."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Mapping, Sequence

from scipy.stats import kendalltau

from ..data.verification.sets import SET_COLUMNS
from ..files import atomic_write, read_json
from ..protocols.verification import one_kind
from ..run_layout import SUMMARY, is_finished, runs_of
from .figures.run import save_figure, svg_markup
from .html import Markup, element, page, section, table
from .loss_tables import unseen_tables
from .measured_page import write_measured
from .outside_text import markdown_text
from .paper import paper_tables, paper_value
from .tables import markdown_table

TABLE = "table2_losses"
_CAPTION = (
    "Verification accuracy in per cent. “Paper” is Table 2 as printed [CASIA, ResNet50], “here” what was measured, "
    "mean ± standard deviation over n seeds; both of the sum of image and mirror."
)
_UNSEEN_CAPTION = (
    "Per cent. “Paper” is the mean of the row of Table 2 with the uncertainty of one run on so many pairs (95 %, "
    "binomial). The others are means over n seeds with their 95 % intervals over seeds and people. “Accuracy” is the "
    "mean of the rates of genuine pairs accepted and impostor pairs refused, at its best threshold. Training images at "
    "their own centre: over the last tenth of the run; below 99 % a loss was not trained out. Where n is 1, intervals "
    "are over people alone; all are cut off at 0 and 100."
)
_DIFFERENCE_CAPTION = (
    "Differences in points over the n seeds that both have and the same drawn people, with 95 % intervals, each for "
    "itself: no correction for their number. A star, resolved: the interval leaves out 0, by two seeds or more."
)


@dataclass(frozen=True)
class LossRow:
    """One loss: its row of the paper, and {set: accuracies in per cent, one a seed}."""

    loss: str
    table: str
    row: str
    accuracies: dict[str, list[float]]

    def paper(self, column: str) -> float | None:
        """The paper's cell, or None."""
        return paper_value(self.table, self.row, column) if self.table else None


def collect_rows(folder: str | os.PathLike[str], losses: Mapping[str, dict]) -> list[LossRow]:
    """All finished runs of an ablation.

    Args:
        folder: with seed-<k>/<loss>/summary.json.
        losses: {name: entry of recipes/losses.py}, in the table's order; losses without a run have no accuracies.
    """
    rows = []
    for name, entry in losses.items():
        accuracies = {}
        for run in filter(is_finished, runs_of(folder, name).values()):
            for test_set, result in read_json(run / SUMMARY)["verification"].items():
                if not one_kind(result):
                    accuracies.setdefault(test_set, []).append(100 * result["accuracy"])
        rows.append(LossRow(name, entry["paper"].get("table", ""), entry["paper"].get("row", ""), accuracies))
    return rows


def rank_agreements(rows: list[LossRow]) -> list[str]:
    """Kendall's tau-b between our order of the losses and the paper's, a sentence for each verification set.

    A set of the paper is compared with its own column, any other with the mean of the paper's columns. Only rows of the
    CVPR paper's Table 2 that have a number on both sides take part.
    """
    columns = paper_tables()[TABLE]["columns"]
    sentences = []
    for test_set in _sets(rows):
        own = [SET_COLUMNS[test_set]] if SET_COLUMNS.get(test_set) in columns else columns
        theirs, ours, spreads = [], [], []
        for row in rows:
            values, cells = row.accuracies.get(test_set), [row.paper(column) for column in own]
            known = [cell for cell in cells if cell is not None]
            if values and row.table == TABLE and len(known) == len(cells):
                theirs.append(mean(known))
                ours.append(mean(values))
                spreads += [stdev(values)] if len(values) > 1 else []
        if len(ours) < 3:
            continue
        tau, p = kendalltau(theirs, ours)
        sentence = (
            f"{test_set} against the paper's {' + '.join(own)}: Kendall's tau = {tau:.2f} (p = {p:.2g}) over "
            f"{len(ours)} losses"
        )
        if spreads:
            sentence += (
                f"; standard deviation between the losses' means {stdev(ours):.2f}, "
                f"between the seeds of a loss {median(spreads):.2f} (median)"
            )
        sentences.append(sentence + ".")
    return sentences


def write_ablation(
    folder: str | os.PathLike[str],
    losses: Mapping[str, dict],
    facts: Sequence[str],
    command: str,
    docs: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Write ablation.md, ablation.csv and ablation.html into the ablation's folder; gives the rank agreements.

    Args:
        facts: sentences about the setting: date, data, iterations.
        command: that measures the same.
        docs: a page whose part `measured` becomes what ablation.md has, with the figures in figures/ beside it.

    Raises:
        UserError: `docs` has no such part.
    """
    folder, rows = Path(folder), collect_rows(folder, losses)
    sets, agreements = _sets(rows), rank_agreements(rows)
    heads, lines = _grid(rows, sets)
    unseen = unseen_tables(folder, losses)
    text = ["```sh", command, "```", "", *(f"{markdown_text(fact)}\n" for fact in facts), _CAPTION, ""]
    text += [*markdown_table(heads, lines), "", *(f"- {markdown_text(sentence)}" for sentence in agreements)]
    with atomic_write(folder / "ablation.md", "w") as file:
        parts = ["# Table 2: the losses", "", *text, *_unseen_markdown(unseen, "ablation")]
        file.write("\n".join(parts).rstrip() + "\n")
    with atomic_write(folder / "ablation.html", "w") as file:
        notes = [element("p", text, class_="note") for text in (*facts, *agreements)]
        title = "Table 2: the losses"
        first = [element("h1", title), element("pre", command), table(heads, lines, _CAPTION, texts=heads[1:2]), *notes]
        file.write(page(title, *first, *map(_unseen_section, unseen)))
    _save_figures(unseen, folder / "ablation")
    with atomic_write(folder / "ablation.csv", "w") as file:
        _write_csv(file, rows, sets)
    if docs is not None:
        stem = Path(docs).stem
        write_measured(docs, [*text, *_unseen_markdown(unseen, f"figures/{stem}")])
        _save_figures(unseen, Path(docs).parent / "figures" / stem, ("svg",))
    return [*agreements, *(sentence for one in unseen for sentence in one.sentences)]


def _save_figures(unseen, prefix, kinds=("png", "svg")):
    for one in unseen:
        if one.figure is not None:
            save_figure(one.figure, f"{prefix}-{one.name}", kinds)


def _unseen_markdown(unseen, prefix):
    lines = []
    for one in unseen:
        lines += [
            "",
            f"## All pairs of {markdown_text(one.name)}",
            "",
            markdown_text(one.facts),
            "",
            _UNSEEN_CAPTION,
            "",
        ]
        lines += markdown_table(one.heads, one.rows)
        if one.differences:
            lines += ["", _DIFFERENCE_CAPTION, "", *markdown_table(one.difference_heads, one.differences)]
        if one.figure is not None:
            lines += ["", f"![Differences to ArcFace on {markdown_text(one.name)}]({prefix}-{one.name}.svg)"]
        lines += ["", *(f"- {markdown_text(sentence)}" for sentence in one.sentences)]
    return lines


def _unseen_section(one):
    parts = [element("p", one.facts, class_="note"), table(one.heads, one.rows, _UNSEEN_CAPTION, texts=one.heads[2:3])]
    if one.differences:
        parts.append(table(one.difference_heads, one.differences, _DIFFERENCE_CAPTION))
    if one.figure is not None:
        what = f"Differences of the losses to ArcFace on {one.name}, with 95 % intervals"
        parts.append(Markup(svg_markup(one.figure, f"unseen-{one.name.replace('.', '-')}", what)))
    return section(f"All pairs of {one.name}", *parts, *(element("p", text, class_="note") for text in one.sentences))


def _sets(rows):
    return list(dict.fromkeys(test_set for row in rows for test_set in row.accuracies))


def _grid(rows, sets):
    columns = paper_tables()[TABLE]["columns"]
    heads, cells = ["loss", "row of Table 2"], []
    for column in columns:
        heads.append(f"{column}: paper")
        cells.append(lambda row, column=column: _number(row.paper(column)))
        for test_set in (name for name in sets if SET_COLUMNS.get(name) == column):
            heads.append(f"{column}: here")
            cells.append(lambda row, name=test_set: _mean_and_spread(row.accuracies.get(name)))
    for test_set in (name for name in sets if SET_COLUMNS.get(name) not in columns):
        heads.append(f"{test_set}: here")
        cells.append(lambda row, name=test_set: _mean_and_spread(row.accuracies.get(name)))
    heads.append("n")
    lines = []
    for row in rows:
        n = max((len(values) for values in row.accuracies.values()), default=0)
        lines.append([row.loss, row.row, *(cell(row) for cell in cells), str(n)])
    return heads, lines


def _write_csv(file, rows, sets):
    columns = paper_tables()[TABLE]["columns"]
    writer = csv.writer(file, lineterminator="\n")
    heads = [f"{name} {what}" for name in sets for what in ("mean", "std", "seeds")]
    writer.writerow(["loss", "row", *(f"paper {column}" for column in columns), *heads])
    for row in rows:
        cells = []
        for name in sets:
            values = row.accuracies.get(name, [])
            cells += [f"{mean(values):.4f}" if values else "", f"{stdev(values):.4f}" if len(values) > 1 else ""]
            cells.append(" ".join(f"{value:.4f}" for value in values))
        paper = ["" if row.paper(column) is None else row.paper(column) for column in columns]
        writer.writerow([row.loss, row.row, *paper, *cells])


def _number(value):
    return "" if value is None else f"{value:.2f}"


def _mean_and_spread(values):
    if not values:
        return ""
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")

"""The paper's Table 1 with the data sets that are here, Tables 2 to 9 with what was measured; as HTML and Markdown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from statistics import mean, stdev
from typing import Iterable, Sequence

from ..data.catalogue.present import ABSENT, Presence, check_all
from ..data.catalogue.table1 import TABLE1
from ..files import atomic_write
from .html import element, page, section, table
from .measurements import collect
from .outside_text import markdown_text
from .paper import paper_tables, paper_value

# What fills a table: {table: {rows that begin with: (command, data it needs)}}; of several beginnings the first counts.
_LOSSES = ("make ablation DATA=casia", "CASIA-WebFace with lfw.bin, cfp_fp.bin and agedb_30.bin")
_MS1MV2 = "the model of `make train RECIPE=ms1mv2_r100` (MS1MV2)"
_CASIA = "the model of `make train RECIPE=casia_r50` (CASIA-WebFace)"
_CASIA_R100 = "the model of `make train RECIPE=casia_r100` (CASIA-WebFace)"
_DEEPGLINT = "the model of `make train RECIPE=deepglint_r100` (DeepGlint-Face)"
_ASIAN = "the model of `make train RECIPE=ms1mv2_asian_r100` (MS1MV2 and Asian-DeepGlint)"
_MEGAFACE = "DATA=/data/megaface"
_TRILLION = "DATA=/data/trillion-pairs"
_IQIYI = "DATA=/data/iqiyi"
HOW_TO_FILL = {
    "table2_losses": {"": _LOSSES},
    "table2_losses_journal": {"": _LOSSES},
    "table3_angles_degrees": {
        "": ("make eval-angles DATA=casia", "the runs of `make ablation DATA=casia`, and lfw.bin")
    },
    "table4_lfw_ytf": {
        "": (
            "make eval-lfw RECIPE=ms1mv2_r100; make eval-ytf RECIPE=ms1mv2_r100 DATA=/data/ytf",
            f"{_MS1MV2}, lfw.bin and YTF",
        )
    },
    "table5_calfw_cplfw": {
        "": ("make eval-lfw RECIPE=ms1mv2_r100", f"{_MS1MV2}, lfw.bin, calfw.bin and cplfw.bin"),
    },
    "table6_megaface": {
        "CASIA": (
            f"make eval-megaface RECIPE=casia_r50 {_MEGAFACE}",
            f"{_CASIA}, MegaFace and FaceScrub; rows R: the noise lists",
        ),
        "MS1MV2, R100, CosFace": (
            f"make eval-megaface MODEL=runs/ms1mv2_r100-cosface ROW='MS1MV2, R100, CosFace' {_MEGAFACE}",
            "the model of `make train RECIPE=ms1mv2_r100 LOSS=cosface` (MS1MV2); MegaFace as above",
        ),
        "MS1MV2": (f"make eval-megaface RECIPE=ms1mv2_r100 {_MEGAFACE}", f"{_MS1MV2}; MegaFace as above"),
    },
    "table7_ijb": {
        "VGG2": (
            "make eval-ijb RECIPE=vgg2_r50 DATA=/data/ijb",
            "the model of `make train RECIPE=vgg2_r50`, IJB-B and IJB-C",
        ),
        "MS1MV2": ("make eval-ijb RECIPE=ms1mv2_r100 DATA=/data/ijb", f"{_MS1MV2}, IJB-B and IJB-C"),
    },
    "table8_trillion_pairs": {
        "CASIA": (f"make eval-trillion RECIPE=casia_r100 {_TRILLION}", f"{_CASIA_R100}, Trillion-Pairs"),
        "MS1MV2+Asian": (f"make eval-trillion RECIPE=ms1mv2_asian_r100 {_TRILLION}", f"{_ASIAN}, Trillion-Pairs"),
        "MS1MV2": (f"make eval-trillion RECIPE=ms1mv2_r100 {_TRILLION}", f"{_MS1MV2}, Trillion-Pairs"),
        "DeepGlint": (f"make eval-trillion RECIPE=deepglint_r100 {_TRILLION}", f"{_DEEPGLINT}, Trillion-Pairs"),
    },
    "table9_iqiyi_vid": {
        "+ Ensemble": (
            f"make eval-iqiyi MODEL='runs/ms1mv2_asian_r100 …' {_IQIYI}",
            f"{_ASIAN}, more models (other seeds or networks), iQIYI-VID",
        ),
        "+ Context": (
            f"make eval-iqiyi MODEL='runs/ms1mv2_asian_r100 …' CONTEXT=context.npy {_IQIYI}",
            "the models as above, iQIYI-VID, and an array of context features, a row a video",
        ),
        "": (f"make eval-iqiyi RECIPE=ms1mv2_asian_r100 {_IQIYI}", f"{_ASIAN}, iQIYI-VID"),
    },
}
_SOURCE = ("data", "mode", "model", "date")  # columns on the right of each table
_TABLE1 = "Table 1: Data sets, and which of them are here"
_DATA_HEADS = ("set", "for", "identities: paper", "images: paper", "state", "here", "place")
_GAP_HEADS = ("table", "blank", "command", "data")
_UNITS = {"%": "In per cent", "degrees": "In degrees", "fraction": "As fractions"}
_NOTE = (
    "“Paper” is the number as printed, “here” what was measured under runs/, averaged over seeds. The difference is "
    "in brackets, only where training and test data are the paper's own, and measured in its mode. Rows marked “cited” "
    "are other works' numbers."
)


@dataclass(frozen=True)
class Coverage:
    """How much of the paper is measured. Cells are those that the paper itself measured and did not cite."""

    cells: int
    filled: int
    other_data: int
    gaps: list[tuple[str, str, int, str, str]]  # table's key, first row, blank cells, command, data
    problems: list[str]

    @property
    def missing(self) -> int:
        return self.cells - self.filled

    @property
    def verdict(self) -> str:
        other = f", {self.other_data} more measured on other data" if self.other_data else ""
        return f"{self.filled} of the paper's {self.cells} own cells are measured on its data{other}."


def write_tables(
    runs_dir: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
) -> Coverage:
    """Collect all measurements under `runs_dir` and write tables.html and tables.md into `folder` (runs_dir itself).

    Args:
        runs_dir: folder of runs.
        folder: where to.
        data: folder of data sets, for Table 1; where it is not there, nor is any set.

    Raises:
        UserError: there is no such folder, or it cannot be written to.
    """
    measurements, problems = collect(runs_dir)
    coverage = _coverage(measurements, problems)
    tables = [(key, *_grid(key, measurements)) for key in paper_tables()]
    sets = _table1(data)
    folder = Path(folder or runs_dir)
    with atomic_write(folder / "tables.html", "w") as file:
        file.write(_html(sets, tables, coverage))
    with atomic_write(folder / "tables.md", "w") as file:
        file.write(_markdown(sets, tables, coverage))
    return coverage


def _table1(data):
    """Rows of Table 1: the paper's sizes, and what is in the folder of data sets."""
    states = check_all(data) if data is not None and Path(data).is_dir() else map(Presence, TABLE1, repeat(ABSENT))
    return [
        [
            one.data_set.title,
            "train" if one.data_set.kind == "training" else "test",
            one.data_set.identities,
            one.data_set.images,
            one.state,
            "; ".join(filter(None, [one.found, *(f"missing: {text}" for text in one.missing)])),
            str(one.place or ""),
        ]
        for one in states
    ]


def table_of_run(key: str, folder: str | os.PathLike[str], demos: bool = False) -> list[str]:
    """Markdown lines of one table of the paper with what was measured in one run's folder; on demo sets if asked."""
    return markdown_table(*_grid(key, collect(folder, demos)[0]))


def _grid(key, measurements):
    """(heads, rows of strings) of one table: a line for each row, data, mode and model; blank where nothing is."""
    printed = paper_tables()[key]
    heads = ["row"]
    for column in printed["columns"]:
        heads += [f"{column}: paper", "here"]
    rows = []
    mine = [found for found in measurements if found.table == key]
    for row in dict.fromkeys([*printed["rows"], *(found.row for found in mine)]):
        sources = sorted({_source(found) for found in mine if found.row == row}) or [("", "", "")]
        for data, mode, model in sources:
            group = [found for found in mine if found.row == row and _source(found) == (data, mode, model)]
            name = f"{row} (cited)" if row in printed["cited"] else row
            cells = [text for column in printed["columns"] for text in _cells(key, row, column, group)]
            rows.append([name, *cells, data, mode, model, max((found.date for found in group), default="")])
    return [*heads, *_SOURCE], rows


def _source(found):
    return found.data, str(found.mode or "not noted"), found.model


def _cells(key, row, column, group):
    # The paper's cell, and ours with the difference.
    digits = paper_tables()[key]["decimals"]
    paper = paper_value(key, row, column)
    found = [one for one in group if one.column == column]
    values = [one.value for one in found]
    ours = f"{mean(values):.{digits}f}" if values else ""
    if len(values) > 1:
        ours += f" ± {stdev(values):.{digits}f}, n = {len(values)}"
    comparable = values and paper is not None and all(one.paper_data for one in found)
    if comparable:
        ours += f" ({mean(values) - paper:+.{digits}f})".replace("-", "−")
    return ["" if paper is None else f"{paper:.{digits}f}", ours]


def _coverage(measurements, problems):
    own = {(found.table, found.row, found.column) for found in measurements if found.paper_data}
    other = {(found.table, found.row, found.column) for found in measurements} - own
    cells, gaps = set(), {}
    for key, printed in paper_tables().items():
        for row in printed["rows"]:
            if row in printed["cited"]:
                continue
            for column in printed["columns"]:
                cell = (key, row, column)
                if paper_value(*cell) is None:
                    continue
                cells.add(cell)
                if cell not in own:
                    start = next(start for start in HOW_TO_FILL[key] if row.startswith(start))
                    gaps[key, start] = gaps.get((key, start), 0) + 1
    listed = [(key, start, count, *HOW_TO_FILL[key][start]) for (key, start), count in gaps.items()]
    return Coverage(len(cells), len(cells & own), len(cells & other), listed, problems)


def _title(key):
    printed = paper_tables()[key]
    setting = f" {printed['setting']}" if "setting" in printed else ""
    return f"Table {printed['number']}: {printed['title']}{setting}", f"{_UNITS[printed['unit']]}."


def describe_gap(gap: tuple[str, str, int, str, str]) -> list[str]:
    """An entry of `Coverage.gaps` as cells: table and rows, blank cells, command, data."""
    key, start, count, command, data = gap
    rows = f", rows {start}" if start else ""
    return [f"Table {paper_tables()[key]['number']}{rows}", str(count), command, data]


def _html(sets, tables, coverage):
    parts = [
        element("h1", "The paper's tables, and what was measured here"),
        element("p", coverage.verdict, class_="verdict"),
    ]
    parts.append(element("p", _NOTE, class_="note"))
    if coverage.problems:
        items = (element("li", problem) for problem in coverage.problems)
        parts.append(section("Files that could not be used", element("ul", *items, class_="note")))
    parts.append(section(_TABLE1, table(_DATA_HEADS, sets, texts=("set", *_DATA_HEADS[4:]))))
    for key, heads, rows in tables:
        title, unit = _title(key)
        parts.append(section(title, table(heads, rows, unit, _SOURCE)))
    if coverage.gaps:
        parts.append(
            section("What is missing", table(_GAP_HEADS, map(describe_gap, coverage.gaps), texts=_GAP_HEADS[2:]))
        )
    return page("ArcFace: the paper's tables", *parts)


def _markdown(sets, tables, coverage):
    lines = ["# The paper's tables, and what was measured here", "", coverage.verdict, "", _NOTE, ""]
    lines += [f"- Not used: {markdown_text(problem)}" for problem in coverage.problems]
    lines += ["", f"## {_TABLE1}", "", *markdown_table(_DATA_HEADS, sets)]
    for key, heads, rows in tables:
        title, unit = _title(key)
        lines += ["", f"## {title}", "", unit, "", *markdown_table(heads, rows)]
    if coverage.gaps:
        lines += ["", "## What is missing", "", *markdown_table(_GAP_HEADS, map(describe_gap, coverage.gaps))]
    return "\n".join(lines) + "\n"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""

    def line(cells):
        return "| " + " | ".join(map(markdown_text, cells)) + " |"

    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]

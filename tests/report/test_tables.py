"""Collecting measurements into the paper's tables."""

from __future__ import annotations

import json
import re

import pytest
from helpers import ROOT, tiny_jpeg

from arcface_gluon.data import write_training_set
from arcface_gluon.errors import UserError
from arcface_gluon.report.measurements import collect
from arcface_gluon.report.mode import papers_mode, papers_mode_of_set
from arcface_gluon.report.tables import HOW_TO_FILL, write_tables

CASIA = {"path": "/data/casia", "images": 490_623, "identities": 10_572}
MEGAFACE = {
    "table": "table6_megaface",
    "row": "MS1MV2, R100, ArcFace, R",
    "column": "Ver: TAR at FAR 1e-6",
    "value": 98.31,
    "data": "MegaFace, refined",
    "model": "ms1mv2_r100",
    "date": "2026-11-24",
    "command": "make eval-megaface",
    "paper_data": True,
}


def write_run(runs, name="casia_r50", accuracies=None, data=CASIA, paper=("table2_losses", "ArcFace (0.5)")):
    folder = runs / name
    folder.mkdir(parents=True)
    recipe = {"network": {"name": "r50"}, "data": {"path": "casia"}, "paper": dict(zip(("table", "row"), paper))}
    accuracies = accuracies or {"lfw": 0.995, "orl": 0.9}
    verification = {key: {"accuracy": value, "whole_set": key != "orl"} for key, value in accuracies.items()}
    summary = {"iterations": 32000, "verification": verification, "data": data, "date": "2026-11-24", "recipe": name}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "summary.json").write_text(json.dumps(summary))


def write_results(runs, *entries, name="megaface"):
    folder = runs / "evaluation" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(entries))


def line_of(runs, row, table="## Table 2:"):
    """Cells of a row of a table in tables.md."""
    text = (runs / "tables.md").read_text(encoding="utf-8")
    lines = text[text.index(table) :].splitlines()
    return next([cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith(f"| {row} |"))


def test_a_run_fills_the_cells_of_its_row(tmp_path):
    write_run(tmp_path)
    coverage = write_tables(tmp_path)
    source = ["casia", str(papers_mode_of_set("lfw")), "casia_r50: r50, 32,000 iterations", "2026-11-24"]
    assert line_of(tmp_path, "ArcFace (0.5)") == [
        "ArcFace (0.5)",
        "99.53",
        "99.50 (−0.03)",
        "95.56",
        "",
        "95.15",
        "",
        *source,
    ]
    assert line_of(tmp_path, "ArcFace (0.4)")[1:] == ["99.53", "", "95.41", "", "94.98", "", "", "", "", ""]
    assert (coverage.filled, coverage.other_data, coverage.problems) == (1, 0, [])


def test_a_run_on_other_data_is_shown_without_a_difference(tmp_path):
    write_run(tmp_path, data={"path": "datasets/orl", "images": 300, "identities": 30})
    coverage = write_tables(tmp_path)
    assert line_of(tmp_path, "ArcFace (0.5)")[2] == "99.50"
    assert (coverage.filled, coverage.other_data) == (0, 1)


def test_one_model_fills_all_tables_that_print_it(tmp_path):
    paper = ("table4_lfw_ytf", "MS1MV2, R100, ArcFace")
    data = {"images": 5_822_653, "identities": 85_742}
    write_run(tmp_path, "ms1mv2_r100", {"lfw": 0.9983, "calfw": 0.95}, data, paper)
    coverage = write_tables(tmp_path)
    assert line_of(tmp_path, paper[1], "## Table 4")[2] == "99.83 (+0.00)"
    assert line_of(tmp_path, paper[1], "## Table 5")[2:5] == ["99.83 (+0.01)", "95.45", "95.00 (−0.45)"]
    assert coverage.filled == 3


def test_results_of_protocols_and_rows_of_ones_own(tmp_path):
    write_results(tmp_path, MEGAFACE, {**MEGAFACE, "row": "orl, R18", "data": "demo", "paper_data": False})
    coverage = write_tables(tmp_path)
    assert line_of(tmp_path, MEGAFACE["row"], "## Table 6")[3:5] == ["98.48", "98.31 (−0.17)"]
    assert line_of(tmp_path, "orl, R18", "## Table 6")[1:6] == ["", "", "", "98.31", "demo"]
    assert (coverage.filled, coverage.other_data) == (1, 0)


def test_seeds_of_one_model_are_averaged_and_other_data_stand_apart(tmp_path):
    demo = {**MEGAFACE, "data": "demo", "value": 50, "paper_data": False}
    write_results(tmp_path, {**MEGAFACE, "value": 98.0}, {**MEGAFACE, "value": 98.2}, demo)
    write_tables(tmp_path)
    assert line_of(tmp_path, MEGAFACE["row"], "## Table 6")[4] == "98.10 ± 0.14, n = 2 (−0.38)"
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert text.count(f"| {MEGAFACE['row']} |") == 2 and "| 50.00 | demo |" in text


def test_what_is_missing_is_counted_with_what_fills_it(tmp_path):
    coverage = write_tables(tmp_path)
    assert coverage.filled == 0 and coverage.missing == coverage.cells == sum(gap[2] for gap in coverage.gaps)
    commands = {(key, start): command for key, start, _, command, _ in coverage.gaps}
    assert commands["table2_losses", ""] == "make ablation DATA=casia"
    assert commands["table6_megaface", "CASIA"] == "make eval-megaface RECIPE=casia_r50 DATA=/data/megaface"
    assert "RECIPE=ms1mv2_asian_r100" in commands["table8_trillion_pairs", "MS1MV2+Asian"]
    assert "RECIPE=ms1mv2_r100 " in commands["table8_trillion_pairs", "MS1MV2"]
    for name in ("tables.md", "tables.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert coverage.verdict in text.replace("&#x27;", "'") and "make eval-megaface RECIPE=casia_r50" in text
    write_results(tmp_path, MEGAFACE)
    assert write_tables(tmp_path).missing == coverage.missing - 1


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"value": 1}, "entry 1 lacks table, row, column"),
        ({**MEGAFACE, "table": "table10"}, "no table 'table10'"),
        ({**MEGAFACE, "column": "rank 1"}, "has no column 'rank 1' but Id: rank-1"),
        ({**MEGAFACE, "value": "98"}, "the value '98' is not a number"),
        ({**MEGAFACE, "value": float("nan")}, "the value nan is not a number"),
        ({**MEGAFACE, "colour": 1}, "has unknown colour"),
        ("98", "is not a measurement but str"),
    ],
)
def test_a_wrong_entry_is_named_and_the_rest_is_used(tmp_path, entry, words):
    write_results(tmp_path, entry, name="bad")
    write_results(tmp_path, MEGAFACE)
    coverage = write_tables(tmp_path)
    assert coverage.filled == 1 and len(coverage.problems) == 1
    assert "results/bad.json" in coverage.problems[0] and words in coverage.problems[0]
    assert "results/bad.json" in (tmp_path / "tables.html").read_text(encoding="utf-8")


def test_damaged_files_are_named(tmp_path):
    write_run(tmp_path)
    write_run(tmp_path, "broken")
    (tmp_path / "broken" / "summary.json").write_text("[]")
    write_results(tmp_path)
    (tmp_path / "evaluation" / "results" / "cut.json").write_text("[{")
    found, problems = collect(tmp_path)
    assert len(found) == 1 and len(problems) == 2
    assert "broken/summary.json" in problems[0] and "cut.json is not valid JSON" in problems[1]


def test_the_command_says_what_is_measured_and_what_fills_the_rest(command, tmp_path):
    write_run(tmp_path / "runs")
    write_results(tmp_path / "runs", "98", name="bad")
    said = command("tables", "--out", "pages").stdout
    assert said.startswith("1 of the paper's 130 own cells are measured on its data.")
    assert "results/bad.json, entry 1 is not a measurement" in said
    assert "129 are missing:" in said and "make eval-iqiyi RECIPE=ms1mv2_asian_r100 DATA=/data/iqiyi" in said
    assert "tables: pages/tables.html" in said and (tmp_path / "pages" / "tables.html").is_file()
    assert "nowhere is not there" in command("tables", "--runs", "nowhere", check=2).stderr


def test_commands_that_fill_gaps_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    recipes = {path.stem for path in (ROOT / "recipes").glob("*.py")}
    texts = [text for rows in HOW_TO_FILL.values() for cell in rows.values() for text in cell]
    called = {name for text in texts for name in re.findall(r"make ([a-z-]+)", text)}
    assert called <= targets and {"train", "eval-trillion", "eval-iqiyi"} <= called
    assert {name for text in texts for name in re.findall(r"RECIPE=(\w+)", text)} <= recipes


def test_no_folder_of_runs(tmp_path):
    with pytest.raises(UserError, match="nothing is not there"):
        write_tables(tmp_path / "nothing")


def test_no_difference_where_one_of_the_seeds_is_not_of_the_papers_data(tmp_path):
    write_results(tmp_path, {**MEGAFACE, "value": 98.0}, {**MEGAFACE, "value": 98.2, "paper_data": False})
    write_tables(tmp_path)
    assert line_of(tmp_path, MEGAFACE["row"], "## Table 6")[4] == "98.10 ± 0.14, n = 2"


def test_other_modes_stand_apart_and_are_not_compared(tmp_path):
    usual = papers_mode(MEGAFACE["table"])
    single = {**MEGAFACE, "value": 90.0, "mode": {"flip": False, "rule": usual.rule}}
    write_results(tmp_path, {**MEGAFACE, "mode": {"flip": True, "rule": usual.rule}}, single)
    coverage = write_tables(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert f"| 98.31 (−0.17) | MegaFace, refined | {usual} |" in text
    assert "| 90.00 | MegaFace, refined | single crop; a tie is a success |" in text
    assert (coverage.filled, coverage.problems) == (1, [])
    html = (tmp_path / "tables.html").read_text(encoding="utf-8")
    assert "single crop; a tie is a success" in html
    write_results(tmp_path, {**MEGAFACE, "mode": "single"})
    assert "the mode 'single' is none" in write_tables(tmp_path).problems[0]


def test_without_a_mode_what_added_the_mirror_is_not_compared(tmp_path):
    """Files of versions that added the mirror to IJB's crops, and did not note it."""
    ijb = {**MEGAFACE, "table": "table7_ijb", "row": "MS1MV2, R100, ArcFace", "column": "IJB-C TAR at FAR 1e-4"}
    ytf = {**MEGAFACE, "table": "table4_lfw_ytf", "row": "MS1MV2, R100, ArcFace", "column": "YTF"}
    write_results(tmp_path, {**ijb, "value": 0.957}, {**ytf, "value": 98.0})
    assert [(one.column, one.paper_data) for one in collect(tmp_path)[0]] == [(ijb["column"], False), ("YTF", True)]


def test_demos_enter_no_table(tmp_path):
    write_results(tmp_path, {**MEGAFACE, "demo": True, "row": "orl, R18", "paper_data": False})
    coverage = write_tables(tmp_path)
    assert "orl, R18" not in (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert (coverage.filled, coverage.other_data, collect(tmp_path)[0]) == (0, 0, [])
    assert len(collect(tmp_path, demos=True)[0]) == 1


def test_table_1_says_which_sets_are_here(tmp_path):
    write_training_set(tmp_path / "data/casia", ((tiny_jpeg(k), k) for k in range(3)), (8, 8))
    (tmp_path / "runs").mkdir()
    write_tables(tmp_path / "runs", data=tmp_path / "data")
    row = line_of(tmp_path / "runs", "CASIA", "## Table 1:")
    assert row[:6] == ["CASIA", "train", "10K", "0.5M", "incomplete", row[5]] and "3 identities, 3 images" in row[5]
    assert line_of(tmp_path / "runs", "YTF", "## Table 1:")[1:5] == ["test", "1,595", "3,425 videos", "absent"]
    assert "Table 1" in (tmp_path / "runs/tables.html").read_text()
    write_tables(tmp_path / "runs", data=tmp_path / "nothing")
    assert line_of(tmp_path / "runs", "CASIA", "## Table 1:")[4] == "absent"

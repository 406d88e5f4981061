"""The table of an ablation from run folders made by hand."""

from __future__ import annotations

import csv
import json

import pytest

from arcface_gluon import recipe
from arcface_gluon.report.ablation import collect_rows, rank_agreements, write_ablation
from arcface_gluon.run_layout import run_place, runs_of

LOSSES = recipe.losses()


def make_run(folder, loss, seed, **accuracies):
    place = run_place(folder, loss, seed)
    place.mkdir(parents=True)
    summary = {"verification": {name: {"accuracy": value} for name, value in accuracies.items()}}
    (place / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def folder(tmp_path):
    for seed in range(2):
        make_run(tmp_path, "arcface", seed, lfw=0.99 + 0.002 * seed, orl=0.8)
        make_run(tmp_path, "cosface", seed, lfw=0.98, orl=0.7 + 0.1 * seed)
        make_run(tmp_path, "norm-softmax", seed, lfw=0.9, orl=0.6)
        make_run(tmp_path, "norm-softmax-s20", seed, lfw=0.95, orl=0.9)
    return tmp_path


def test_rows_hold_every_loss_in_order_and_one_accuracy_a_seed(folder):
    rows = collect_rows(folder, LOSSES)
    assert [row.loss for row in rows] == list(LOSSES)
    found = {row.loss: row for row in rows}
    assert found["arcface"].accuracies == {"lfw": pytest.approx([99.0, 99.2]), "orl": pytest.approx([80, 80])}
    assert found["arcface"].paper("LFW") == 99.53 and found["norm-softmax-s20"].paper("LFW") == 99.2
    assert found["triplet"].accuracies == {}


def test_agreement_is_by_the_papers_table_alone(folder):
    lfw, orl = rank_agreements(collect_rows(folder, LOSSES))
    # LFW: arcface 99.53 > cosface 99.51 > norm-softmax 98.56 in the paper, and here; s = 20 is of another edition.
    assert lfw.startswith("lfw against the paper's LFW: Kendall's tau = 1.00") and "over 3 losses" in lfw
    assert orl.startswith("orl against the paper's LFW + CFP-FP + AgeDB-30: Kendall's tau = 1.00")


def test_a_reversed_order_is_said(tmp_path):
    for place, loss in enumerate(("arcface", "cosface", "norm-softmax", "sphereface")):
        make_run(tmp_path, loss, 0, lfw=0.5 + 0.1 * ([0, 1, 3, 2][place]))
    assert "tau = -1.00" in rank_agreements(collect_rows(tmp_path, LOSSES))[0]


def test_files(folder):
    page = folder / "page.md"
    page.write_text("# Title\n\n<!-- measured -->\nold\n<!-- end of what was measured -->\n\nBy hand.\n")
    sentences = write_ablation(folder, LOSSES, ["Measured today."], "make x", page)
    text = (folder / "ablation.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| arcface |"))
    assert line == "| arcface | ArcFace (0.5) | 99.53 | 99.10 ± 0.14 | 95.56 | 95.15 | 80.00 ± 0.00 | 2 |"
    before, after = page.read_text().split(text.partition("# Table 2: the losses\n\n")[2].strip())
    assert before.startswith("# Title") and after.endswith("By hand.\n") and "old" not in before + after
    assert "Measured today." in text and "make x" in text and all(sentence in text for sentence in sentences)
    rows = {row["loss"]: row for row in csv.DictReader((folder / "ablation.csv").open())}
    assert rows["cosface"]["orl seeds"] == "70.0000 80.0000" and rows["cosface"]["paper LFW"] == "99.51"
    assert rows["triplet"]["orl mean"] == ""
    assert "99.10 ± 0.14" in (folder / "ablation.html").read_text()


def test_a_row_is_found_whatever_its_settings_and_a_run_that_has_not_ended_is_not(tmp_path):
    row = "arcface+train.lr_steps=[70,98]"
    for seed in (0, 2, 10):
        make_run(tmp_path, row, seed, lfw=0.9)
    run_place(tmp_path, row, 3).mkdir(parents=True)
    (tmp_path / "seed-x" / row).mkdir(parents=True)
    assert list(runs_of(tmp_path, row)) == [0, 2, 3, 10] and runs_of(tmp_path, "arcface") == {}
    (found,) = collect_rows(tmp_path, {row: {"paper": {}}})
    assert len(found.accuracies["lfw"]) == 3


def test_an_empty_folder_gives_the_papers_side(tmp_path):
    assert write_ablation(tmp_path, LOSSES, [], "make x") == []
    assert "| triplet | Triplet (0.35) | 98.98 | 91.90 | 89.98 | 0 |" in (tmp_path / "ablation.md").read_text()


def test_two_losses_have_no_rank_agreement(tmp_path):
    for accuracy, loss in ((0.9, "arcface"), (0.8, "cosface")):
        make_run(tmp_path, loss, 0, lfw=accuracy)
    assert rank_agreements(collect_rows(tmp_path, LOSSES)) == []
    make_run(tmp_path, "norm-softmax", 0, lfw=0.7)
    (sentence,) = rank_agreements(collect_rows(tmp_path, LOSSES))
    assert "over 3 losses" in sentence

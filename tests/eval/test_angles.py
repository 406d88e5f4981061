"""Table 3 of a run: identities out of pairs, and the whole script on a small run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import TINY

from arcface_gluon.errors import UserError
from arcface_gluon.report.measurements import collect
from arcface_gluon.report.mode import papers_mode


@pytest.fixture(scope="module")
def angles(script):
    return script("eval/angles.py")


def test_genuine_pairs_connect_images_to_identities(angles):
    # a-b and b-c are of one person, d-e of another; f is in an impostor pair only, g in a pair with itself.
    genuine = [("a", "b", True), ("d", "e", True), ("c", "b", True), ("g", "g", True)]
    pairs = [*genuine[:2], ("a", "d", False), *genuine[2:], ("f", "a", False)]
    images = [image for first, second, _ in pairs for image in (first, second)]
    kept, labels = angles.identities_of_pairs(images, [same for *_, same in pairs])
    assert kept == ["a", "b", "d", "e", "c"]
    groups = {}
    for image, label in zip(kept, labels):
        groups.setdefault(label, set()).add(image)
    assert sorted(groups.values(), key=sorted) == [{"a", "b", "c"}, {"d", "e"}]
    assert set(np.unique(labels)) == {0, 1}


def test_a_set_without_genuine_pairs_is_refused(angles):
    with pytest.raises(UserError, match="no genuine pair"):
        angles.identities_of_pairs(["a", "b"], [False])


@pytest.mark.parametrize(
    "identities, images, test_set, pairs, flip, papers",
    [
        (10_572, 494_414, "lfw", 6000, False, True),
        (30, 300, "lfw", 6000, False, False),
        (10_572, 494_414, "agedb_30", 6000, False, False),  # as many pairs as LFW has
        (10_572, 494_414, "lfw", 600, False, False),
        (10_572, 5_000, "lfw", 6000, False, False),
        (10_572, 494_414, "lfw", 6000, True, False),
    ],
)
def test_only_casia_and_lfw_are_the_papers_sets(angles, identities, images, test_set, pairs, flip, papers):
    mode = replace(papers_mode("table3_angles_degrees"), flip=flip)
    issame = np.arange(pairs) % 600 < 300  # LFW's order
    assert angles.on_paper_data({"identities": identities, "images": images}, test_set, issame, mode) == papers


def test_every_loss_of_an_ablation_has_a_row_with_its_seeds_and_the_papers_below_where_there_is_one(
    angles, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for seed, loss in ((0, "ns-intra"), (1, "ns-intra"), (0, "arcface-intra"), (1, "arcface")):
        run = tmp_path / "runs" / "ablation-orl" / f"seed-{seed}" / loss
        run.mkdir(parents=True)
        if loss != "arcface":  # which has not ended
            (run / "summary.json").touch()
    runs = angles.chosen_runs([], "datasets/orl", "orl")
    assert [(loss, len(places)) for loss, places in runs.items()] == [("ns-intra", 2), ("arcface-intra", 1)]
    values = dict.fromkeys(["W-EC", "W-Inter", "Intra1", "Inter1", "Intra2"], 10.0)
    measured = [
        angles.Measured("ns-intra", "IntraL", [{**values, "Inter2": 20.0}, {**values, "Inter2": 22.0}]),
        angles.Measured("triplet", None, [{**values, "W-EC": None, "Inter2": 30.0}]),
    ]
    lines = angles.table(measured, "single crop")
    assert "Degrees (single crop)" in lines[0]
    assert lines[-3].startswith("| ns-intra | here, n = 2 | 10.00 ± 0.00 |") and lines[-3].endswith("| 21.00 ± 1.41 |")
    assert lines[-2] == "| IntraL in the paper | paper | 8.83 | 31.34 | 17.50 | 24.07 | 12.94 | 26.28 |"
    assert lines[-1] == "| triplet | here, n = 1 |  | 10.00 | 10.00 | 10.00 | 10.00 | 30.00 |"


@pytest.mark.slow
def test_a_run_is_measured_beside_the_paper(command, orl, tmp_path):
    common = [f"data.path={orl}", "train.iterations=2", "train.contexts=2", *TINY]
    for loss in ("arcface", "triplet"):
        command("train", "orl", *common, f"loss={loss}", f"run.name={loss}", "data.validation=orl")
    done = subprocess.run(
        [sys.executable, "-m", "arcface_gluon", "eval", "angles", "runs/arcface", "runs/triplet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    table = (tmp_path / "runs" / "angles" / "table3.md").read_text()
    assert table.strip() in done.stdout
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line[:1] == "|"]
    rows = {line[0]: dict(zip(lines[0], line)) for line in lines}
    assert rows["ArcFace in the paper"]["W-EC"] == "14.29"
    assert rows["runs/triplet"]["W-EC"] == "", "the Triplet-Loss has no centres"
    assert all(0 < float(cell) < 180 for cell in (rows["runs/arcface"]["Inter1"], rows["runs/triplet"]["Intra2"]))
    entries = json.loads((tmp_path / "runs" / "triplet" / "results" / "angles.json").read_text())
    assert {entry["row"] for entry in entries} == {"Intra1", "Inter1", "Intra2", "Inter2"}
    found, problems = collect(tmp_path / "runs")
    assert not problems and sum(one.table == "table3_angles_degrees" for one in found) == 10

"""Verifications of runs and other models: where they go, and which count in the paper's tables."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from arcface_gluon.data.verification.sets import SETS
from arcface_gluon.errors import UserError
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.measurements import collect
from arcface_gluon.report.results import keep_benchmark, keep_verification, subject_of, subject_of_features
from arcface_gluon.report.run_files import read_run


@pytest.fixture
def whole():
    """A verification of as many pairs as LFW, CALFW and CPLFW have, in LFW's order."""
    rng = np.random.default_rng(2)
    issame = np.arange(SETS["calfw"].pairs) % 600 < 300
    embeddings = rng.normal(size=(len(issame), 2, 4))
    embeddings[issame, 1] = embeddings[issame, 0] + 0.5 * rng.normal(size=(issame.sum(), 4))
    return evaluate_pairs(embeddings.reshape(-1, 4), issame)


@pytest.fixture
def run(run_dir):
    """The run folder with a last checkpoint."""
    for iteration in ("00000200", "00000400"):
        folder = run_dir / "checkpoints" / iteration
        folder.mkdir(parents=True)
        (folder / "network.json").write_text("{}")
    return run_dir


@pytest.fixture
def no_report(monkeypatch):
    """Leave the report, which takes a second, to one test."""
    monkeypatch.setattr("arcface_gluon.report.results.write_report", lambda folder: None)


def test_ready_features_are_of_the_model_noted_beside_them(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.json").write_text(json.dumps({"model": str(run)}))
    assert subject_of_features("x.npy").folder == run
    for noted in ("gone", None):
        (tmp_path / "x.json").write_text(json.dumps({"model": noted}))
        assert (subject_of_features("x.npy").name, str(subject_of_features("x.npy").folder)) == ("x", "runs/x")
    assert subject_of_features("other.bin").name == "other"


def test_names_and_folders(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (subject_of(run).name, subject_of(run).folder) == ("casia_r50: r50, 400 iterations", run)
    earlier = subject_of(run / "checkpoints" / "00000200")
    assert (earlier.name, earlier.folder) == ("casia_r50: r50, 200 iterations", run)
    (tmp_path / "zoo" / "r100-arcface").mkdir(parents=True)
    for path, name in (
        ("zoo/r100-arcface/model-symbol.json", "r100-arcface"),
        ("zoo/r100-arcface/model-0012.params", "r100-arcface"),
        ("zoo/r100-arcface/model", "r100-arcface"),
        ("zoo/r100-arcface", "r100-arcface"),
        ("zoo/fresnet-symbol.json", "fresnet"),
        ("zoo/fresnet-0001.params", "fresnet"),
    ):
        subject = subject_of(path)
        assert (subject.name, str(subject.folder), subject.recipe) == (name, f"runs/{name}", {})


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("recipe.json", "[1]", "recipe.json holds no JSON object"),
        ("recipe.json", "null", "recipe.json holds no JSON object"),
        ("recipe.json", '{"network": []}', "recipe.json is no recipe of a run: its network"),
        ("summary.json", "3", "summary.json holds no JSON object"),
    ],
)
def test_a_runs_files_of_other_content_are_refused_in_a_line(run, file, text, words):
    (run / file).write_text(text)
    with pytest.raises(UserError, match=words):
        subject_of(run)


def test_a_set_that_the_training_did_not_verify_joins_the_runs_row(run, whole):
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["paper"] = {"table": "table5_calfw_cplfw", "row": "MS1MV2, R100, ArcFace"}
    (run / "recipe.json").write_text(json.dumps(recipe))
    lines = keep_verification(subject_of(run), "calfw", whole, command="make eval-lfw")
    assert len(lines) == 1 and lines[0].startswith("paper 95.45% (Table 5, MS1MV2, R100, ArcFace); not its training")
    found, problems = collect(run.parent)
    table = [one for one in found if one.table == "table5_calfw_cplfw"]
    assert not problems and {one.column for one in table} == {"LFW", "CALFW"}
    assert {(one.row, one.model) for one in table} == {("MS1MV2, R100, ArcFace", "casia_r50: r50, 400 iterations")}
    assert {one.column: one.data for one in table} == {
        "LFW": "datasets/casia; 200 pairs only",
        "CALFW": "datasets/casia",
    }
    stored = json.loads((run / "verification" / "calfw.json").read_text())
    assert stored["accuracy"] == whole.accuracy and stored["command"] == "make eval-lfw"
    assert "calfw" in (run / "report.html").read_text()


def test_the_papers_training_set_is_compared(run, whole, no_report):
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["paper"] = {"table": "table5_calfw_cplfw", "row": "MS1MV2, R100, ArcFace"}
    (run / "recipe.json").write_text(json.dumps(recipe))
    summary = json.loads((run / "summary.json").read_text())
    summary["data"] = {"path": "ms1mv2", "images": 5_822_653, "identities": 85_742}
    (run / "summary.json").write_text(json.dumps(summary))
    (line,) = keep_verification(subject_of(run), "cplfw", whole)
    difference = f"{100 * whole.accuracy - 92.08:+.2f}".replace("-", "−")
    assert line == f"paper 92.08% (Table 5, MS1MV2, R100, ArcFace): {difference}"
    # The word of the user, the order of the pairs, their number, the mode.
    for options, comparable in (({"whole": False}, False), ({"whole": True}, True), ({"flip": False}, False)):
        (line,) = keep_verification(subject_of(run), "cplfw", whole, **options)
        assert ("cannot be compared" not in line) == comparable
    assert "single crop" in line
    small = dataclasses.replace(whole, pairs=5998, distances=whole.distances[1:-1], issame=whole.issame[1:-1])
    (line,) = keep_verification(subject_of(run), "cplfw", small)
    assert "cannot be compared" in line


def test_what_the_summary_has_is_not_counted_twice(run, result, no_report):
    keep_verification(subject_of(run), "lfw", result)
    assert not (run / "results").exists()
    other = dataclasses.replace(result, accuracy=0.5)
    keep_verification(subject_of(run / "checkpoints" / "00000200"), "lfw", other)
    found = [one for one in collect(run.parent)[0] if one.column == "LFW" and one.row == "ArcFace (0.5)"]
    assert {(one.value, one.model) for one in found} == {
        (100 * result.accuracy, "casia_r50: r50, 400 iterations"),
        (50, "casia_r50: r50, 200 iterations"),
    }
    # The report shows what was verified last.
    assert read_run(run).measures["lfw"]["accuracy"] == 0.5


def test_other_models_get_rows_of_their_own(tmp_path, monkeypatch, whole, no_report):
    monkeypatch.chdir(tmp_path)
    subject = subject_of("zoo/resnet-symbol.json")
    assert keep_verification(subject, "lfw", whole) == []
    found, _ = collect("runs")
    assert {(one.table, one.row) for one in found} == {("table4_lfw_ytf", "resnet"), ("table5_calfw_cplfw", "resnet")}
    lines = keep_verification(subject, "lfw", whole, row="MS1MV2, R100, ArcFace")
    assert len(lines) == 2 and all(one.paper_data for one in collect("runs")[0])
    assert keep_verification(subject, "family_album", whole) == []
    assert not (tmp_path / "runs" / "resnet" / "results" / "verification-family_album.json").exists()


def test_a_benchmark_is_compared_where_data_and_protocol_are_the_papers(run):
    cells = {"Id: rank-1 with 1M distractors": 81.0, "Ver: TAR at FAR 1e-6": 97.0}
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["paper"] = {"table": "table4_lfw_ytf", "row": "MS1MV2, R100, ArcFace"}
    (run / "recipe.json").write_text(json.dumps(recipe))

    def keep(subject, whole, **options):
        lines = keep_benchmark(subject, "megaface", "table6_megaface", cells, "MegaFace", whole, **options)
        written = json.loads((run / "results" / f"megaface{'' if whole else '-part'}.json").read_text())
        assert [one["value"] for one in written] == [81.0, 97.0]
        return lines, {(one["row"], one["paper_data"]) for one in written}

    subject = dataclasses.replace(subject_of(run), summary={"data": {"identities": 85_742, "images": 5_822_653}})
    lines, written = keep(subject, True, command="make eval-megaface")
    assert written == {("MS1MV2, R100, ArcFace", True)}
    assert lines[0].endswith("paper 81.03% (Table 6, MS1MV2, R100, ArcFace): −0.03") and len(lines) == 2
    lines, written = keep(subject, True, suffix=", R")
    assert written == {("MS1MV2, R100, ArcFace, R", True)} and "98.35%" in lines[0]
    lines, written = keep(subject, False)
    assert written == {("MS1MV2, R100, ArcFace", False)} and "cannot be compared" in lines[0]
    assert keep(dataclasses.replace(subject, summary={}), True)[1] == {("MS1MV2, R100, ArcFace", False)}
    assert keep(subject, True, row="MS1MV2, R100, CosFace")[1] == {("MS1MV2, R100, CosFace", True)}
    assert keep(dataclasses.replace(subject, recipe={}), True) == ([], {(subject.name, False)})

"""`arcface-gluon figures`: what is drawn from what, what is left out, and small networks for Figure 3."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcface_gluon.cli import figures, main
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.verification_store import save_verification


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, verified on two sets, one with target angles."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("arcface", "triplet"):
        folder = tmp_path / "runs" / name
        for test_set in ("lfw", "orl"):
            save_verification(folder, test_set, evaluate_pairs(random.normal(size=(80, 8)), np.arange(40) % 2 == 0))
        (folder / "summary.json").write_text("{}")
    record = {"iteration": 1, "target_angles": {"phase": "start", "first": 1, "counts": [1] * 180}}
    (tmp_path / "runs" / "arcface" / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path / "runs"


@pytest.mark.slow
def test_curves_need_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "1", "4b", "5", "slopes", "boundaries", "terms", "later", "--docs", "docs"]) == 0
    names = {"figure-1", "figure-4b", "figure-5", "slopes", "boundaries", "terms", "later"}
    assert {path.name for path in (tmp_path / "runs" / "figures").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {f"{name}.svg" for name in names}


def test_figures_of_runs(runs, capsys):
    named = ["figures", "4a", "6", "7", "--run", "runs/arcface", "--run", "runs/triplet", "--docs", "docs"]
    assert main(named) == 0
    for folder in (runs / "figures", runs.parent / "docs"):
        assert {path.stem for path in folder.glob("*.svg")} == {"figure-4a", "figure-6", "figure-7"}


def test_figure_6_takes_both_losses_of_an_ablation(runs):
    for loss in ("arcface", "triplet"):
        (runs / "ablation-mine" / "seed-0").mkdir(parents=True, exist_ok=True)
        (runs / loss).rename(runs / "ablation-mine" / "seed-0" / loss)
    (runs / "ablation-other" / "seed-0" / "arcface").mkdir(parents=True)
    assert main(["figures", "6"]) == 0
    assert (runs / "figures" / "figure-6.svg").is_file()


@pytest.mark.parametrize("option", ["--run", "--bin"])
def test_what_is_named_must_be_there(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    assert main(["figures", option, "nowhere"]) == 2
    assert "nowhere is not there" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_panels_are_the_runs_and_the_sets(runs):
    panels = figures._pair_angles(runs / "arcface", [])
    assert list(panels) == ["LFW", "orl"], "the paper's names where it has them"
    genuine, impostor = panels["LFW"]
    assert len(genuine) == len(impostor) == 20 and (genuine >= 0).all() and (genuine <= 180).all()


def test_what_there_is_no_data_for_is_left_out_or_named(runs, capsys):
    assert main(["figures", "figure-6"]) == 2
    assert "name them with --run" in capsys.readouterr().err
    assert main(["figures", "4a", "--run", "runs/triplet"]) == 2
    assert "no target angles" in capsys.readouterr().err
    assert main(["figures", "8"]) == 2
    assert "no figure '8'" in capsys.readouterr().err


@pytest.mark.slow
def test_figure_3_trains_two_networks_once(orl, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "_PLANE", [*figures._PLANE, "train.iterations=3", "train.batch_size=16"])
    for _ in range(2):
        assert main(["figures", "3", "--data", str(orl)]) == 0
    assert capsys.readouterr().out.count("training ") == 2
    assert (tmp_path / "runs" / "figures" / "figure-3.svg").stat().st_size > 1000

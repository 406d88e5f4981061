"""The experiments: what a verdict says, that all rows can be built, and the page made of runs by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import load_script

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.unseen_pairs import Interval
from arcface_gluon.report.unseen import save_unseen

experiments = load_script("eval/experiments.py")


@pytest.mark.parametrize(
    "interval,better,alike",
    [
        ((2, 1, 3), "holds", "does not hold: better"),
        ((-2, -3, -1), "does not hold: it is worse", "does not hold: worse"),
        ((0.1, -0.5, 0.7), "does not hold: the difference is small", "holds: the difference is small"),
        ((1, -1, 3), "open: no difference is resolved", "open: no difference is resolved, but"),
        ((0.5, 0.2, 0.8), "holds", "holds: the difference is small"),
    ],
)
def test_a_verdict_follows_from_the_interval(interval, better, alike):
    assert experiments.verdict(Interval(*interval, 3), equal=False).startswith(better)
    assert experiments.verdict(Interval(*interval, 3), equal=True).startswith(alike)
    assert experiments.verdict(Interval(*interval, 1), equal=False).startswith("open: one seed")


def test_every_row_can_be_built(tmp_path):
    for one in experiments.EXPERIMENTS.values():
        if not one.needs_amx:
            (loss,) = experiments.ablation.chosen_losses(one.row)
            assert experiments.ablation.prepare("synthetic", [], tmp_path, 0, loss).loss == one.row
    with pytest.raises(UserError, match="no experiment 'sub-centre'; did you mean 'sub-centres'"):
        experiments.main(["sub-centre"])


def unseen_people(name, folder, monkeypatch):
    """An experiment, with a set of unseen people beside its training set in a folder, to which it goes."""
    monkeypatch.chdir(folder)
    one = experiments.EXPERIMENTS[name]
    unseen = folder / "datasets" / one.data / "unseen-0.3"
    unseen.mkdir(parents=True)
    (unseen / "train.rec").touch()
    return one


@pytest.fixture
def noisy_runs(tmp_path, monkeypatch):
    """Four seeds of both rows of the experiment with wrong labels, measured on forty people."""
    one = unseen_people("sub-centres", tmp_path, monkeypatch)
    environment = {"devices": ["cpu(0)"], "processor": "CPU", "OMP_NUM_THREADS": "2"}
    for seed in range(4):
        for loss, spread in ((one.row, 0.3), (one.reference, 0.8)):
            rng = np.random.default_rng(seed)
            run = tmp_path / "runs" / "ablation-synthetic-noise" / f"seed-{seed}" / loss
            run.mkdir(parents=True)
            (run / "summary.json").write_text(json.dumps({"date": "2026-11-26", "environment": environment}))
            (run / "recipe.json").write_text(json.dumps({"head": {"kind": "margin"}}))
            embeddings = rng.normal(size=(40, 1, 8)) + spread * rng.normal(size=(40, 5, 8))
            save_unseen(run, "unseen-0.3", {}, embeddings.reshape(-1, 8), np.repeat(np.arange(40), 5))
    return tmp_path / "runs"


def test_the_page_says_claim_figures_and_verdict(noisy_runs):
    tried = {"sub-centres": experiments.EXPERIMENTS["sub-centres"]}
    text = "\n".join(experiments.report(tried, ["bfloat16"], noisy_runs, "command"))
    assert "Sub-center ArcFace" in text and "| unseen-0.3 | TAR@FAR=1e-2 | " in text
    assert all(line.endswith("| 4 | holds |") for line in text.splitlines() if line.startswith("| unseen-0.3 "))
    assert "2026-11-26 on cpu(0) of CPU with 2 threads" in text
    assert "for want of AMX on this processor: bfloat16" in text


def test_the_command_trains_both_rows_on_the_data_of_the_claim_and_writes_the_page(noisy_runs, monkeypatch):
    asked = []
    monkeypatch.setattr(experiments, "prepare", asked.append)

    def train_all(base, jobs, at_once):
        asked.extend((base, str(job.place), job.values.data.path, at_once) for job in jobs)
        yield from (None, "sub-centre, seed 0")

    monkeypatch.setattr(experiments.ablation, "train_all", train_all)
    page = noisy_runs / "page.md"
    page.write_text("# Title\n\n<!-- measured -->\n<!-- end of what was measured -->\n")
    status = experiments.main(["sub-centres", "--seeds", "1", "--jobs", "2", "--docs", str(page)])
    folder = "runs/ablation-synthetic-noise/seed-0"
    data = "synthetic-noise"
    assert asked == [data, *(("synthetic", f"{folder}/{loss}", data, 2) for loss in ("arcface", "sub-centre"))]
    assert status == 1  # one run failed
    written = (noisy_runs / "experiments.md").read_text().partition("# Experiments\n\n")[2].strip()
    assert written.startswith("```sh\narcface-gluon eval experiments sub-centres") and written in page.read_text()


def test_a_gain_across_a_condition_is_compared_with_the_gain_alike_in_it(tmp_path, monkeypatch):
    one = unseen_people("cross-pose", tmp_path, monkeypatch)
    pose = np.tile(["frontal", "left"], 40 * 3)
    for seed in range(4):
        # Both tell people apart in one pose; the reference mistakes the other pose for another person more often.
        for loss, turn in ((one.row, 0.2), (one.reference, 1.0)):
            rng = np.random.default_rng(seed)
            run = tmp_path / "runs" / "ablation-synthetic" / f"seed-{seed}" / loss
            run.mkdir(parents=True)
            people, turned = rng.normal(size=(40, 1, 16)), rng.normal(size=(40, 2, 16))
            embeddings = people + turn * np.tile(turned, (1, 3, 1)) + 0.4 * rng.normal(size=(40, 6, 16))
            embeddings, labels = embeddings.reshape(-1, 16), np.repeat(np.arange(40), 6)
            save_unseen(run, "unseen-0.3", {}, embeddings, labels, conditions={"pose": pose})
    alike, across, gain = experiments._across(tmp_path / "runs" / "ablation-synthetic", one, "unseen-0.3")
    assert alike[1] == "TAR@FAR=1e-3, alike in pose" and across[1] == "TAR@FAR=1e-3, across in pose"
    difference = [float(cells[4].split()[0].replace("−", "-")) for cells in (alike, across, gain)]
    assert difference[2] == pytest.approx(difference[1] - difference[0], abs=0.02)
    assert gain[5:] == ["4", "holds"] and alike[6] == across[6] == ""

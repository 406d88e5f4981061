"""The ablation's script: what counts as done, and a small one from end to end."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import TINY

from arcface_gluon import recipe
from arcface_gluon.data import write_training_set
from arcface_gluon.data.images.sources import RecordImages
from arcface_gluon.errors import UserError
from arcface_gluon.files import write_json
from arcface_gluon.report.unseen import save_unseen


@pytest.fixture(scope="module")
def ablation(script):
    return script("eval/ablation.py")


def test_by_default_every_row_of_the_paper_and_no_later_loss(ablation):
    chosen = ablation.chosen_losses(None)
    assert len(chosen) == 19 and "norm-softmax-s20" in chosen and "magface" not in chosen
    assert list(ablation.chosen_losses("magface,arcface")) == ["magface", "arcface"]
    with pytest.raises(UserError, match="unknown loss 'x'"):
        ablation.chosen_losses("x")


def test_a_run_with_other_settings_is_neither_taken_nor_overwritten(ablation, tmp_path):
    def job(rate, *more):
        return ablation.prepare("orl", [f"train.lr={rate}", "data.path=nowhere", *more], tmp_path, 0, "arcface")

    place = job(0.2).place
    assert place == tmp_path / "seed-0" / "arcface" and not ablation.finished(job(0.2))
    place.mkdir(parents=True)
    write_json(place / "recipe.json", job(0.2).values)
    assert not ablation.finished(job(0.2))
    (place / "summary.json").write_text("{}")
    assert ablation.finished(job(0.2))
    with pytest.raises(UserError, match="was trained with train.lr=0.2, not 0.1"):
        ablation.finished(job(0.1))
    assert ablation.finished(job(0.2, "train.loss_scale=4", "data.threads=7"))  # of float16 alone; of no effect


def test_a_run_that_was_not_measured_on_all_unseen_people_is_not_done(ablation, tmp_path):
    data = tmp_path / "data"
    (data / "unseen-0.3").mkdir(parents=True)
    (data / "train.rec").touch()
    write_training_set(data / "unseen-0.3", [(b"\xff\xd8\xff\xe0", label) for label in (0, 0, 1, 1)], (8, 8))
    job = ablation.prepare("orl", [f"data.path={data}"], tmp_path, 0, "arcface")
    job.place.mkdir(parents=True)
    write_json(job.place / "recipe.json", job.values)
    (job.place / "summary.json").write_text("{}")
    assert list(ablation.unseen_sets(job)) == ["unseen-0.3"] and not ablation.finished(job)
    embeddings = np.random.default_rng(0).normal(size=(4, 8))
    for fingerprint in ("another", RecordImages(data / "unseen-0.3" / "train.rec").fingerprint()):
        save_unseen(job.place, "unseen-0.3", {"set": fingerprint}, embeddings, [0, 0, 1, 1])
        assert ablation.finished(job) == (fingerprint != "another")


def test_what_a_table_says_of_itself_is_of_the_runs_that_are_in_it(ablation, tmp_path):
    environment = {"devices": ["cpu(0)"], "processor": "CPU", "OMP_NUM_THREADS": "1"}
    for seed, loss in ((0, "arcface"), (4, "arcface"), (0, "softmax"), (1, "triplet")):
        place = tmp_path / f"seed-{seed}" / loss
        place.mkdir(parents=True)
        data = {"images": 300, "identities": 30}
        summary = {"date": f"2026-11-2{seed}", "seconds": 60, "data": data, "environment": environment}
        (place / "summary.json").write_text(json.dumps(summary))
    losses = ablation.chosen_losses("arcface,softmax")
    (line,) = ablation.facts(tmp_path, losses, recipe.resolve("orl"), [])
    assert line == (
        "Measured 2026-11-20 to 2026-11-24: s = 32, 300 images of 30 identities, 900 iterations, seeds 0, 4; 3 runs, "
        "3.0 minutes of training on cpu(0) of CPU with 1 thread."
    )
    assert ablation.facts(tmp_path, losses, recipe.resolve("orl"), ["x"])[1].startswith("Failed: x")


def test_a_page_without_a_measured_part_is_refused_before_the_first_run(command, tmp_path):
    (tmp_path / "page.md").write_text("# Title\n")
    error = command("eval", "ablation", "--losses", "arcface", "--docs", "page.md", check=2).stderr
    assert "page.md must have one part between the lines <!-- measured -->" in error
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_a_row_with_settings_of_its_own(ablation, tmp_path):
    chosen = ablation.chosen_losses("arcface,arcface+head.scale=64+train.lr=0.01")
    plain, own = (ablation.prepare("orl", ["train.lr=0.3"], tmp_path, 1, loss) for loss in chosen)
    assert (plain.values.head.scale, plain.values.train.lr) == (32, 0.3)
    assert (own.values.head.scale, own.values.train.lr) == (64, 0.01)
    assert chosen[plain.loss]["paper"] and not chosen[own.loss]["paper"] and own.place.parent == plain.place.parent


@pytest.mark.slow
def test_a_small_ablation_ends_and_is_not_done_twice(orl, tmp_path):
    command = [sys.executable, "-m", "arcface_gluon", "eval", "ablation", "--data", orl, "--seeds", "1", "--losses"]
    settings = [*TINY, "train.iterations=2", "train.validate_every=2", "data.validation=orl"]
    done = subprocess.run([*command, "arcface", "data.validation=no"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and f"gluon: no verification set {orl}/no.bin" in done.stderr
    assert not list(tmp_path.glob("runs/*/ablation.*"))
    for losses in ("arcface", "arcface,softmax,triplet"):
        done = subprocess.run([*command, losses, *settings], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "arcface, seed 0" not in done.stdout and "triplet, seed 0" in done.stdout
    assert "[2/2]" in done.stdout
    folder = tmp_path / "runs" / f"ablation-{orl.name}"
    text = (folder / "ablation.md").read_text()
    for loss in ("arcface", "softmax", "triplet"):
        summary = json.loads((folder / "seed-0" / loss / "summary.json").read_text())
        accuracy = f"{100 * summary['verification']['orl']['accuracy']:.2f}"
        line = next(line for line in text.splitlines() if line.startswith(f"| {loss} |"))
        assert line.endswith(f"| {accuracy} | 1 |")
    assert "## All pairs of unseen" in text and "10 people who were not in training, 100 images, 450 genuine" in text
    assert (
        (folder / "ablation-unseen.svg").is_file()
        and "no centres" in text
        and "<svg" in (folder / "ablation.html").read_text()
    )
    assert "Kendall's tau" in text and "s = 32, 300 images of 30 identities, 2 iter" in text


def test_a_setting_that_one_loss_cannot_have_stops_before_the_first_run(command, tmp_path):
    for more, words in [
        ("head.sub_centres=2", "loss softmax: head.sub_centres goes with head.kind=margin"),
        ("train.batch_size=0", "loss arcface: train.batch_size=0 must be above 0"),
    ]:
        error = command("eval", "ablation", "--data", "orl", "--losses", "arcface,softmax", more, check=2).stderr
        assert words in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_loss_that_fails_is_named_and_the_others_go_on(orl, tmp_path):
    command = [sys.executable, "-m", "arcface_gluon", "eval", "ablation", "--data", orl, "--seeds", "1"]
    settings = [*TINY, "train.iterations=1", "train.validate_every=1", "data.validation=orl"]
    lost = tmp_path / "runs" / f"ablation-{orl.name}" / "seed-0" / "softmax" / "checkpoints" / "00000001"
    lost.mkdir(parents=True)  # a run whose recipe was deleted
    (lost / "state.json").write_text("{}")
    command += ["--losses", "arcface,softmax", *settings]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED with status 2: cannot read" in done.stdout
    text = (tmp_path / "runs" / f"ablation-{orl.name}" / "ablation.md").read_text()
    assert "Failed: softmax, seed 0" in text and "| arcface | ArcFace (0.5) |" in text

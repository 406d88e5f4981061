"""The main path through the command line: prepare, train on four devices, checkpoint, resume, verify, report."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pytest
from helpers import TINY, start


def digests(checkpoint):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in checkpoint.glob("*.params")}


def arguments(orl, iterations, contexts=4, *more):
    return [
        "train",
        "orl",
        f"data.path={orl}",
        f"train.iterations={iterations}",
        f"train.contexts={contexts}",
        "data.validation=orl",
        *TINY,
        *more,
    ]


def test_train_verify_report(command, orl, tmp_path):
    command(*arguments(orl, 6, 4, "train.validate_every=3", "train.checkpoint_every=3"), "--json", "out.json")
    run = tmp_path / "runs" / "orl"
    summary = json.loads((run / "summary.json").read_text())
    assert summary == json.loads((tmp_path / "out.json").read_text())
    assert summary["iterations"] == 6 and summary["seed"] == 0
    assert summary["images_per_second"] > 0 and summary["peak_memory_mib"] > 0
    assert 0.4 < summary["verification"]["orl"]["accuracy"] <= 1
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["iteration"] for line in lines if "verification" in line] == [3, 6]
    assert json.loads((run / "recipe.json").read_text())["train"]["contexts"] == 4
    assert "<html" in (run / "report.html").read_text()

    command("verify", "--model", run, "--bin", orl / "orl.bin", "--json", "verify.json")
    verified = json.loads((tmp_path / "verify.json").read_text())["verification"]["orl"]
    # On one device instead of four, a distance may round to the other side of a threshold.
    assert verified["accuracy"] == pytest.approx(summary["verification"]["orl"]["accuracy"], abs=1 / 900)
    assert verified["auc"] == pytest.approx(summary["verification"]["orl"]["auc"], abs=1e-4)
    # Another run of the same recipe never overwrites the first.
    command(*arguments(orl, 1, 1, "data.validation=[]"))
    assert (tmp_path / "runs" / "orl-2" / "checkpoints" / "00000001").is_dir()


def test_killed_run_resumes_bit_for_bit(command, orl, tmp_path):
    common = arguments(orl, 8, 2, "train.checkpoint_every=2", "train.validate_every=4")
    command(*common, "run.name=straight")
    process = start([*common, "run.name=killed"], tmp_path, stdout=subprocess.DEVNULL)
    checkpoints = tmp_path / "runs" / "killed" / "checkpoints"
    while not (checkpoints / "00000004").is_dir() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (checkpoints / "00000008").exists(), "the run ended before it was killed"
    command(*common, "run.name=killed", "--resume")
    straight = digests(tmp_path / "runs" / "straight" / "checkpoints" / "00000008")
    assert straight and digests(checkpoints / "00000008") == straight
    metrics = [(tmp_path / "runs" / name / "metrics.jsonl").read_text() for name in ("straight", "killed")]
    losses = [[json.loads(line)["loss"] for line in text.splitlines() if '"loss"' in line] for text in metrics]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_run_writes_a_checkpoint(orl, tmp_path, number, status):
    process = start(arguments(orl, 10_000, 1), tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "runs" / "orl" / "metrics.jsonl"
    while (not metrics.exists() or not metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == status
    last = max(os.listdir(tmp_path / "runs" / "orl" / "checkpoints"))
    assert f"resume from runs/orl/checkpoints/{last}" in error and "Traceback" not in error


def test_checkpoint_of_four_shards_loads_on_fewer(command, orl, tmp_path):
    command(*arguments(orl, 2, 4, "data.validation=[]"))
    for contexts in (3, 2, 1):
        done = command(*arguments(orl, 2 + 4 - contexts, contexts, "data.validation=[]"), "--resume")
        assert "resuming" in done.stdout


def test_batch_in_parts_trains_and_resumes_bit_for_bit(command, orl, tmp_path):
    common = [*arguments(orl, 4, 2, "data.validation=[]", "train.accumulate=2")]
    command(*common, "run.name=straight")
    command(*common, "train.iterations=2", "run.name=again")
    command(*common, "run.name=again", "--resume")
    straight = digests(tmp_path / "runs" / "straight" / "checkpoints" / "00000004")
    assert digests(tmp_path / "runs" / "again" / "checkpoints" / "00000004") == straight

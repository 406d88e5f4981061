"""Training on two hosts with a cable between: a run, and what fails between machines."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import TINY
from hosts import ADDRESSES, NAMES, Hosts, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed"),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]
FOR_EVER = 100_000


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with Hosts(tmp_path_factory.mktemp("hosts")) as made:
        yield made


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HOROVOD_GLOO_TIMEOUT_SECONDS", "12")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class Training:
    """`arcface-gluon train` from the first host over both, with its output line by line."""

    def __init__(self, hosts, orl, folder, iterations, *more):
        settings = [f"data.path={orl}", f"train.iterations={iterations}", "train.contexts=1", *TINY, *more]
        places = ",".join(f"{address}:1" for address in ADDRESSES)
        words = [sys.executable, "-m", "arcface_gluon", "train", "orl", "data.validation=[]", *settings]
        self.folder, self.lines = folder, []
        self.checkpoints = folder / "runs" / "orl" / "checkpoints"
        self.process = hosts.start(
            "one",
            [*words, "--np", "2", "--hosts", places],
            folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def until(self, words):
        """Read to a line with `words`."""
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(words, line):
                return
        raise AssertionError("".join(self.lines))

    def end(self):
        """(exit status, whole output)."""
        self.lines.append(self.process.communicate(timeout=120)[0])
        return self.process.returncode, "".join(self.lines)

    def rank(self, number):
        """The process id of a rank."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                environment = (path / "environ").read_bytes().split(b"\0")
                words = (path / "cmdline").read_bytes().split(b"\0")
                here = (path / "cwd").resolve() == self.folder.resolve()
            except OSError:
                continue
            if here and f"HOROVOD_RANK={number}".encode() in environment and b"train" in words:
                return int(path.name)
        raise AssertionError(f"rank {number} is not there: {''.join(self.lines)}")


def iterations(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["iteration"] for line in lines if "loss" in line]


def test_hosts_with_other_interface_names_train_together_and_a_short_loss_of_the_link_costs_nothing(
    hosts, orl, tmp_path
):
    training = Training(hosts, orl, tmp_path, 12)
    training.until("iteration 4 ")
    hosts.link(up=False)
    time.sleep(5)
    hosts.link(up=True)
    status, output = training.end()
    assert status == 0 and "2 processes with 1 devices each" in output, output
    assert iterations(tmp_path / "runs" / "orl") == list(range(1, 13))
    assert len(list((training.checkpoints / "00000012").glob("head-*"))) == 2


def test_a_folder_that_the_other_host_has_for_itself_is_refused_before_the_first_iteration(hosts, orl, tmp_path):
    (tmp_path / "runs").mkdir()
    hosts.hide(tmp_path / "runs")
    try:
        status, output = Training(hosts, orl, tmp_path, 2).end()
    finally:
        hosts.reveal(tmp_path / "runs")
    assert status == 2 and "iteration 1" not in output
    assert re.search("process 1 on two cannot see in .*/runs/orl what process 0 on one writes", output), output
    assert "Traceback" not in output


def test_a_host_that_stops_answering_is_named_with_the_checkpoint_to_go_on_from(hosts, orl, tmp_path):
    training = Training(hosts, orl, tmp_path, FOR_EVER, "train.checkpoint_every=3")
    training.until("iteration 5 ")
    stopped = training.rank(1)
    os.kill(stopped, signal.SIGSTOP)
    try:
        status, output = training.end()
    finally:
        os.kill(stopped, signal.SIGKILL)
    assert status == 75, output
    told = re.search(
        r"process 1 on two ended, or did not answer for (\d+) s, in iteration \d+; (.*), go on with", output
    )
    assert (
        told and 5 < int(told.group(1)) < 40 and "the last good checkpoint is runs/orl/checkpoints/0" in told.group(2)
    )
    assert "Traceback" not in output


def test_a_killed_process_is_told_and_the_training_goes_on_with_the_host_that_is_left(hosts, orl, tmp_path):
    training = Training(hosts, orl, tmp_path, 14, "train.checkpoint_every=3", "--restarts", "1")
    training.until("iteration 5 ")
    os.kill(training.rank(1), signal.SIGKILL)
    hosts.link(up=False)  # the whole host is gone
    try:
        status, output = training.end()
    finally:
        hosts.link(up=True)
    assert status == 0, output
    assert re.search("process 1 on .*; the last good checkpoint is runs/orl/checkpoints/0", output), output
    assert f"restart 1 of 1: 1 processes on {ADDRESSES[0]}" in output
    assert iterations(tmp_path / "runs" / "orl") == list(range(1, 15)) and NAMES


def test_a_full_disk_under_all_ends_them_with_one_cause_and_keeps_what_was_saved(hosts, orl, tmp_path):
    (tmp_path / "runs").mkdir()
    for name in NAMES:  # 12 MiB that both see
        hosts.run(name, "mount", "--bind", hosts.disk, tmp_path / "runs")
    try:
        training = Training(hosts, orl, tmp_path, FOR_EVER, "train.checkpoint_every=3", "train.keep=99")
        status, output = training.end()
        saved = sorted(path.name for path in Path(hosts.disk, "orl", "checkpoints").iterdir())
    finally:
        for name in NAMES:
            hosts.run(name, "umount", tmp_path / "runs")
    assert status == 2, output
    assert "No space left on device; free some space" in output and "shut down" not in output, output
    assert saved[0] == "00000003" and not [name for name in saved if "partial" in name]


def test_a_signal_to_the_launcher_saves_on_both_and_says_go_on(hosts, orl, tmp_path):
    training = Training(hosts, orl, tmp_path, FOR_EVER)
    training.until("iteration 3 ")
    launcher = training.process.pid
    os.kill(launcher, signal.SIGUSR1)
    status, output = training.end()
    assert status == 75, output
    iteration = int(re.search("SIGUSR1: stopped after iteration (\\d+); resume from", output).group(1))
    assert (training.checkpoints / f"{iteration:08d}" / "state.json").exists()

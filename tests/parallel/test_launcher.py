"""The launcher with a stand-in for horovodrun: lines, statuses, signals."""

import argparse
import os
import signal
import sys
import threading
import time

import pytest

from arcface_gluon.cli import launch as command
from arcface_gluon.errors import UserError
from arcface_gluon.parallel import launcher
from arcface_gluon.parallel.launcher import Ending, launch, parse_hosts

pytest.importorskip("psutil")
RANK = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: (print('saved', flush=True), sys.exit(75)))
print('ready', flush=True)
time.sleep(30)
"""
RUN = """
import os, subprocess, sys
environment = {**os.environ, 'HOROVOD_RANK': '0'}
rank = subprocess.Popen([sys.executable, '-c', sys.argv[1]], env=environment, stdout=subprocess.PIPE, text=True)
for line in rank.stdout:
    print(f'[0]<stdout>:{line}', end='', flush=True)
print(f'Process 0 exit with status code {rank.wait()}.')
sys.exit(1)
"""


def test_lines_statuses_and_what_the_launcher_says_itself(capfd):
    script = (
        "print('[0]<stdout>:one'); print('[1]<stdout>:two'); print('Process 1 exit with status code 137.');"
        "print('Process 0 exit with status code 143.'); raise SystemExit('Traceback')"
    )
    ending = launch([sys.executable, "-c", script], grace=1)
    assert (ending.status, ending.rank, ending.lost, ending.said) == (137, 1, True, ["Traceback"])
    assert capfd.readouterr().out == "one\n[1] two\n"
    assert launch([sys.executable, "-c", ""], grace=1) == Ending()
    ending = launch([sys.executable, "-c", "raise SystemExit('no host')"], grace=1)
    assert (ending.status, ending.rank, ending.lost, ending.said) == (1, None, False, ["no host"])


def signal_when_ready(capfd, number):
    def wait():
        while "ready" not in capfd.readouterr().out:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait).start()


def test_a_signal_goes_to_the_processes_not_to_the_launcher_who_would_kill_them(capfd):
    before = signal.getsignal(signal.SIGUSR1)
    signal_when_ready(capfd, signal.SIGUSR1)
    ending = launch([sys.executable, "-c", RUN, RANK], grace=20)
    assert (ending.status, ending.signalled, ending.lost) == (75, True, False)
    assert "saved" in capfd.readouterr().out and signal.getsignal(signal.SIGUSR1) is before


def test_after_the_grace_they_are_ended(capfd):
    signal_when_ready(capfd, signal.SIGTERM)
    began = time.monotonic()
    deaf = RANK.replace("SIGUSR1", "SIGTERM").replace("sys.exit(75)", "None").replace("30", "2")
    ending = launch([sys.executable, "-c", RUN, deaf], grace=0.5)
    assert ending.signalled and ending.status == 143 and time.monotonic() - began < 15


def test_hosts_as_they_are_written():
    assert parse_hosts("a:4, 10.0.0.2") == [("a", 4), ("10.0.0.2", 1)]
    for wrong in ("a:0", "a b", "a:4,", "a:x"):
        with pytest.raises(UserError, match="is not host:processes"):
            parse_hosts(wrong)
    with pytest.raises(UserError, match="names a host twice"):
        parse_hosts("a:1,a:2")
    with pytest.raises(UserError, match=r"no\.such\.host\.invalid has no address"):
        launcher.is_here("no.such.host.invalid")
    assert launcher.is_here("localhost")


def test_restarts_go_on_from_the_last_checkpoint_with_the_hosts_left(command_line, monkeypatch, tmp_path):
    started, endings = [], [Ending(137, 1), Ending(75, 0), Ending()]
    monkeypatch.setattr(command, "installed", lambda: True)
    monkeypatch.setattr(command, "reachable", lambda hosts: hosts[:1])
    monkeypatch.setattr(command, "horovodrun", lambda *given: given)

    def run(words, grace):
        started.append(words)
        (tmp_path / "runs" / "orl" / "checkpoints" / "00000004").mkdir(parents=True, exist_ok=True)
        return endings.pop(0)

    monkeypatch.setattr(command, "launch", run)
    done = command_line(0, "--np", "4", "--hosts", "a:2,b:2", "--restarts", "2", "--logs", "kept")
    assert [str(logs) for _, _, logs, _ in started] == ["kept", "kept/restart-1", "kept/restart-2"]
    assert [(processes, len(hosts), "--auto-resume" in words) for processes, hosts, _, words in started] == [
        (4, 2, False),
        (2, 1, True),
        (2, 1, True),
    ]
    assert "process 1 on a was ended by SIGKILL" in done and "restart 2 of 2: 2 processes on a" in done
    endings[:] = [Ending(2, 1)] * 3
    started.clear()
    command_line(2, "--np", "2", "--restarts", "2")
    assert len(started) == 1  # bad input is no loss
    endings[:] = [Ending(137, 1)] * 3
    assert "checkpoints/00000004; --resume goes on" in command_line(75, "--np", "2", "--resume")
    # A process that is lost before its run has a folder has nothing to do with the run before.
    lock = tmp_path / "runs" / "orl" / "training.lock"
    lock.write_text("of another training")
    endings[:] = [Ending(137, 1)] * 2
    started.clear()
    assert "there is no checkpoint" in command_line(75, "--np", "2", "--restarts", "1") and lock.exists()
    assert ["--auto-resume" in words for *_, words in started] == [False, False]


@pytest.fixture
def command_line(command, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train.rec", "train.idx", "property"):
        (tmp_path / "data" / name).write_text("1,112,112")

    def run(status, *options):
        done = _command("train", "orl", "data.path=data", *options, check=status)
        return done.stdout + done.stderr

    _command = command
    return run


@pytest.mark.parametrize("launcher, count, rank", command._LAUNCHERS)
def test_processes_that_know_nothing_of_each_other_are_refused(command_line, monkeypatch, launcher, count, rank):
    monkeypatch.setenv(count, "4")
    monkeypatch.setenv(rank, "0")
    told = command_line(2)
    assert f"{launcher} started 4 processes" in told and "--np 4 (NP=4)" in told and f"unset {count}" in told


def test_one_of_horovods_processes_and_the_shell_of_an_allocation_are_not(monkeypatch):
    alone = argparse.Namespace(np=None, hosts=None)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("HOROVOD_RANK", "3")
    assert not command.several(alone)
    monkeypatch.delenv("HOROVOD_RANK")
    with pytest.raises(UserError, match="srun started 4"):
        command.several(alone)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(UserError, match="srun started 2"):
        command.several(alone)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert not command.several(alone)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert not command.several(alone)


def test_options_that_do_not_go_together(command_line):
    assert "--np must be at least 1" in command_line(2, "--np", "-1")
    assert "--np must be at least 1" in command_line(2, "--np", "0")
    assert "--hosts=a:2 says where processes are started; say how many with --np" in command_line(2, "--hosts", "a:2")
    assert "has fewer places than --np=3" in command_line(2, "--np", "3", "--hosts", "a,b")

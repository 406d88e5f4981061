"""Two processes on loopback: the same training as one process with as many devices, and what happens when one dies."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import bytes_of_a_rank
import losses_of_a_rank
import mxnet as mx
import numpy as np
import pytest
from helpers import TINY

from arcface_gluon import recipe
from arcface_gluon.parallel.cost import Machine, Network, Setting, cost

HOROVOD = importlib.util.find_spec("horovod") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not HOROVOD and not os.environ.get("REQUIRE_HOROVOD"), reason="Horovod is not installed: make setup HOROVOD=1"
    ),
]


def command(orl, iterations, contexts, *more):
    settings = [f"data.path={orl}", f"train.iterations={iterations}", f"train.contexts={contexts}", *TINY]
    return [sys.executable, "-m", "arcface_gluon", "train", "orl", "data.validation=[]", *settings, *more]


def horovodrun(processes, arguments, folder):
    launcher = Path(sys.executable).parent / "horovodrun"
    return subprocess.Popen(
        [launcher, "-np", str(processes), "--gloo", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def momenta(checkpoint):
    arrays = mx.nd.load(str(checkpoint / "momentum.params"))
    return np.concatenate([arrays[name].asnumpy().ravel() for name in sorted(arrays)])


def centres(checkpoint):
    return np.concatenate([mx.nd.load(str(p))["weight"].asnumpy() for p in sorted(checkpoint.glob("head-*.params"))])


def test_two_processes_equal_one_with_as_many_devices(orl, tmp_path):
    # A small rate: at the usual ones, runs of this network that differ in a last bit (sums in another order) part
    # within a few iterations, on one machine as well.
    small = ["train.batch_size=64", "train.lr=2e-6", "head.scale=16"]
    subprocess.run(command(orl, 20, 4, *small, "run.name=one"), cwd=tmp_path, check=True, capture_output=True)
    process = horovodrun(2, command(orl, 20, 2, *small, "run.name=two"), tmp_path)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    one, two = (tmp_path / "runs" / name for name in ("one", "two"))
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    one, two = one / "checkpoints" / "00000020", two / "checkpoints" / "00000020"
    assert len(list(two.glob("head-*.params"))) == 4 and len(list(two.glob("devices-*.params"))) == 2
    assert np.linalg.norm(centres(two) - centres(one)) < 1e-4 * np.linalg.norm(centres(one))
    moved, expected = (momenta(run) for run in (two, one))
    # The momenta of shifts before a BatchNorm are rounding alone.
    assert np.linalg.norm(moved - expected) < 1e-2 * np.linalg.norm(expected)
    # The momenta of a checkpoint by two processes go on in one.
    resumed = command(orl, 22, 3, "run.name=two", "--resume")
    done = subprocess.run(resumed, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "after iteration 20" in done.stdout, done.stderr


def test_a_rank_that_dies_stops_the_others(orl, tmp_path):
    words = command(orl, 100_000, 1, "train.checkpoint_every=2", "--np", "2", "--logs", "logs")
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    checkpoints = tmp_path / "runs" / "orl" / "checkpoints"
    while not list(checkpoints.glob("0*")) and process.poll() is None:
        time.sleep(0.1)
    started = subprocess.run(["pgrep", "-f", str(orl)], capture_output=True, text=True).stdout.split()
    trainers = [pid for pid in map(int, started) if is_rank(pid, 1)]
    assert trainers
    os.kill(trainers[0], signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 75, output
    assert not [pid for pid in map(int, started) if is_rank(pid, 0)], "rank 0 is still there"
    assert "Traceback" not in output, output
    assert re.search("process 1 on .* was ended by SIGKILL after .* s; the last good checkpoint is runs/orl/ch", output)
    assert "training orl on 2 processes" in (tmp_path / "logs" / "rank.0" / "stdout").read_text()


def is_rank(pid, rank):
    """Whether a process is the trainer of that rank, and alive."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return f"HOROVOD_RANK={rank}".encode() in environment and b"arcface_gluon" in command_line.split(b"\0")


def test_other_recipes_on_other_ranks_are_refused(orl, tmp_path):
    script = 'exec "$@" train.lr=0.0$((HOROVOD_RANK + 1))'
    process = horovodrun(2, ["sh", "-c", script, "sh", *command(orl, 2, 1)], tmp_path)
    output = process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert re.search("process 1 on .* has another recipe than process 0", output), output


def test_every_loss_over_two_processes_equals_one(tmp_path):
    script = Path(losses_of_a_rank.__file__)
    process = horovodrun(2, [sys.executable, script, tmp_path], tmp_path)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    ranks = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for name in recipe.losses():
        expected = losses_of_a_rank.steps(name, *losses_of_a_rank.batch(), [mx.cpu(0), mx.cpu(1)])
        for key, value in expected.items():
            parts = [rank[key] for rank in ranks if key in rank]
            found = np.concatenate(parts) if "gradient" in key else parts[0]
            np.testing.assert_allclose(found, value, atol=2e-5 * max(np.abs(value).max(), 1e-3), err_msg=key)


@pytest.mark.parametrize("count", [2, 3])
def test_what_the_plan_counts_goes_over_the_wire(tmp_path, count):
    """Measured on the loopback interface of a network namespace, where nothing else sends."""
    words = [sys.executable, bytes_of_a_rank.__file__, tmp_path / "bytes.json"]
    launcher = [Path(sys.executable).parent / "horovodrun", "-np", str(count), "--gloo", *words]
    alone = ["unshare", "--net", "--uts", "sh", "-c", 'hostname localhost && ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run([*alone, *launcher], capture_output=True, text=True, timeout=200)
    if "unshare" in done.stderr:
        pytest.skip(f"network namespaces cannot be made: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads((tmp_path / "bytes.json").read_text())
    setting = Setting(bytes_of_a_rank.CLASSES, count, bytes_of_a_rank.BATCH, bytes_of_a_rank.SIZE, processes=count)
    planned = cost(setting, Network(bytes_of_a_rank.PARAMETERS, 1, 1), Machine(1, 1, 1))
    print(count, measured, planned.sent_head, planned.sent_backbone)
    for part, bytes_of_a_process in (("head", planned.sent_head), ("backbone", planned.sent_backbone)):
        wire, counted = measured[part]
        assert counted == pytest.approx(bytes_of_a_process, rel=1e-3), part
        assert wire == pytest.approx(count * bytes_of_a_process, rel=0.05), part

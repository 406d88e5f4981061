"""`train` from the command line: resuming, full disks, little memory, bad sets and other trainings."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import cv2
import numpy as np
import pytest
from helpers import TINY, start

from arcface_gluon import recipe
from arcface_gluon.cli.memory import MemoryAdvice
from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.errors import UserError
from arcface_gluon.files import write_json


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (112, 112, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder with 8 images of 4 identities and two verification sets, of which one cannot be evaluated."""
    folder = tmp_path_factory.mktemp("data")
    write_training_set(folder, ((jpeg(i), i // 2) for i in range(8)))
    images = [jpeg(i % 8) for i in range(40)]
    write_bin(folder / "set.bin", images, [True, False] * 10)
    write_bin(folder / "broken.bin", [*images[:-1], b"\xff\xd8no image"], [True, False] * 10)
    return folder


def train(folder, *more, iterations=2):
    settings = [f"train.iterations={iterations}", "train.contexts=1", "data.validation=[]", "train.batch_size=4"]
    return ["train", "orl", f"data.path={folder}", *TINY, *settings, *more]


def last_line(text):
    return text.rstrip().splitlines()[-1]


def test_a_resumed_run_goes_on_with_its_own_recipe_and_what_the_call_overrides(command, records, tmp_path):
    command(*train(records, "loss=cosface", "head.scale=16", "train.lr=0.01"))
    # The loss leads to the run's name; it must not bring back its own settings.
    done = command("train", "orl", "loss=cosface", "--resume", "train.iterations=4")
    run = tmp_path / "runs" / "orl-cosface"
    values = recipe.resolve(run / "recipe.json")
    assert (values.head.scale, values.train.lr, values.train.iterations) == (16, 0.01, 4)
    assert values.network.options == {"width": 0.125, "units": [1, 1, 1, 1]} and values.data.path == str(records)
    changed = [line for line in done.stdout.splitlines() if line.startswith("changed")]
    assert changed == ["changed since: train.iterations = 4, was 2"]
    assert [json.loads(line)["lr"] for line in (run / "metrics.jsonl").read_text().splitlines() if '"lr"' in line] == [
        0.01
    ] * 4


def test_a_run_is_gone_on_with_if_there_is_something_and_begun_if_not(command, records, tmp_path):
    arguments = [*train(records, iterations=1), "--auto-resume"]
    assert "training orl" in command(*arguments).stdout
    done = command("train", "orl", "--auto-resume", "train.iterations=2").stdout
    assert re.search(r"resuming runs/orl after iteration 1, saved 20\d\d-", done) and "nothing is left" not in done
    summary = (tmp_path / "runs/orl/summary.json").read_text()
    done = command("train", "orl", "--auto-resume", "--json", "again.json").stdout
    assert "nothing is left to train" in done and (tmp_path / "runs/orl/summary.json").read_text() == summary
    assert json.loads((tmp_path / "again.json").read_text())["iterations"] == 2
    for path in (tmp_path / "runs/orl").glob("checkpoints/*"):  # as one that was killed before the first
        shutil.rmtree(path, ignore_errors=True)
    assert "resume" in command("train", "orl", "--resume", check=2).stderr
    assert "resuming" not in command(*arguments).stdout
    assert os.listdir(tmp_path / "runs") == ["orl"]
    lines = (tmp_path / "runs/orl/metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["iteration"] for line in lines} == {1}
    assert "not allowed with" in command("train", "orl", "--resume", "--auto-resume", check=2).stderr


def test_the_precision_is_chosen_once_and_its_reason_kept(command, records, tmp_path, monkeypatch):
    from arcface_gluon.models import precision

    asked, real = [], precision.why_float32
    monkeypatch.setattr(precision, "why_float32", lambda *words, **named: asked.append(1) or real(*words, **named))
    told = command(*train(records, "train.dtype=auto", iterations=1)).stderr
    summary = json.loads((tmp_path / "runs" / "orl" / "summary.json").read_text())
    assert len(asked) == 1 and summary["dtype"] == "float32"
    assert "whose channels are no multiple of 32" in summary["dtype_because"]
    assert f"train.dtype=auto is float32: {summary['dtype_because']}\n" in told


def test_a_changed_recipe_of_a_run_is_told(command, records, tmp_path):
    command(*train(records))
    path = tmp_path / "runs" / "orl" / "recipe.json"
    path.write_text(path.read_text().replace('"lr": 0.05', '"lr": 0.06'))
    error = command("train", "orl", "--resume", "train.iterations=4", check=2).stderr
    assert "recipe.json was changed" in last_line(error)


def test_the_last_good_checkpoint_is_taken_and_the_damaged_one_named(command, records, tmp_path):
    command(*train(records, "train.checkpoint_every=1"))
    checkpoints = tmp_path / "runs" / "orl" / "checkpoints"
    state = checkpoints / "00000002" / "state.json"
    state.write_text(state.read_text().replace('"iteration": 2', '"iteration": 3'))
    done = command("train", "orl", "--resume", "train.iterations=3")
    assert "00000002/state.json is damaged or missing: the checkpoint before it is taken" in done.stdout
    assert "resuming runs/orl after iteration 1" in done.stdout
    assert sorted(os.listdir(checkpoints)) == ["00000001", "00000002", "00000002.damaged", "00000003"]


def test_a_set_that_cannot_be_evaluated_stops_the_run_before_its_first_iteration(command, records, tmp_path):
    error = command(*train(records, "data.validation=broken"), check=2).stderr
    assert "broken.bin" in last_line(error) and "cannot be decoded" in last_line(error)
    assert not (tmp_path / "runs" / "orl").exists()


@pytest.mark.slow
def test_a_disk_one_byte_too_small_publishes_no_checkpoint(command, records, tmp_path):
    command(*train(records, "run.name=whole", iterations=1))
    whole = tmp_path / "runs" / "whole" / "checkpoints" / "00000001"
    size = max(path.stat().st_size for path in whole.iterdir()) - 1

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    arguments = train(records, "run.name=short", iterations=1)
    process = start(arguments, tmp_path, preexec_fn=limit, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = process.communicate()[1]
    assert process.returncode == 2
    assert "cannot write runs/short/checkpoints/00000001: File too large" in last_line(error)
    assert not list((tmp_path / "runs" / "short").glob("checkpoints/*"))


@pytest.mark.slow
def test_without_a_terminal_progress_is_a_line_every_log_every(command, records, tmp_path):
    arguments = train(records, "train.log_every=2", "data.validation=set", iterations=5)
    done = command(*arguments)
    assert "iteration 5: validating" in done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("iteration")]
    assert [line.split(":")[0] for line in lines] == [f"iteration {i} of 5" for i in (2, 4, 5)]
    for word in ("images/s, data ", ", loss ", "accuracy", "lr 0.05, ", " left"):
        assert word in lines[0], lines[0]
    assert "iteration" not in command(*arguments, "--quiet").stderr


@pytest.mark.slow
def test_two_trainings_in_one_folder_are_refused_and_evaluation_is_not(command, records, tmp_path):
    arguments = train(records, "train.checkpoint_every=2", iterations=100_000)
    first = start(arguments, tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run = tmp_path / "runs" / "orl"
        while first.poll() is None and not list(run.glob("checkpoints/0*")):
            time.sleep(0.05)
        error = last_line(command("train", "orl", "--resume", check=2).stderr)
        assert f"another training is writing to runs/orl: process {first.pid} on " in error
        command("verify", "--model", sorted(run.glob("checkpoints/0*"))[0], "--bin", records / "set.bin")
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert (run / "training.lock").is_file()
    last = max(int(path.name) for path in run.glob("checkpoints/[0-9]*"))
    assert "resuming" in command("train", "orl", "--resume", f"train.iterations={last + 1}").stdout
    assert not (run / "training.lock").exists()


def values_of(*overrides):
    return recipe.resolve("casia_r50", overrides)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr("arcface_gluon.cli.memory.available_memory", lambda device: 12 << 30)


def test_the_papers_batch_on_a_cpu_is_warned_of_with_settings_that_fit(little_memory):
    import mxnet as mx

    line = MemoryAdvice(values_of(), 10_572, [mx.cpu()]).warning()
    assert line.startswith("warning: train.batch_size=512 of r50 needs about 5") and "12.0 GiB are free" in line
    for option in ("train.accumulate=8 ", "head.block_rows=", "head.sample_rate=", "arcface-gluon plan"):
        assert option in line
    # CPU contexts share their memory, so that more of them do not help.
    four = MemoryAdvice(values_of(), 10_572, [mx.cpu(i) for i in range(4)])
    assert four.needed == pytest.approx(MemoryAdvice(values_of(), 10_572, [mx.cpu()]).needed, rel=0.05)
    assert MemoryAdvice(values_of("train.accumulate=8"), 10_572, [mx.cpu()]).warning() is None


# What MXNet 1.9.1 says of a GPU whose memory ends: in its pools, in a plain allocation, in cuDNN and in cuBLAS.
_GPU = (
    "src/storage/./pooled_storage_manager.h:187: cudaMalloc retry failed: out of memory",
    "src/storage/./gpu_device_storage.h:63: Check failed: err == cudaSuccess (2 vs. 0) : CUDA: out of memory",
    "src/operator/nn/./cudnn/cudnn_convolution-inl.h:123: Check failed: e == CUDNN_STATUS_SUCCESS (2 vs. 0) : cuDNN: "
    "CUDNN_STATUS_ALLOC_FAILED",
    "src/common/cuda_utils.h:41: Check failed: e == 0 (3 vs. 0) : cuBLAS: CUBLAS_STATUS_ALLOC_FAILED",
)


@pytest.mark.parametrize(
    "error",
    [
        *(MemoryError(), RuntimeError("std::bad_alloc"), OSError(12, "Cannot allocate memory")),
        *(
            type("MXNetError", (RuntimeError,), {})(f'Traceback (most recent call last):\n  File "{text}"')
            for text in _GPU
        ),
    ],
)
def test_memory_that_ends_is_one_line_with_what_helps(little_memory, error):
    import mxnet as mx

    words = "out of memory: .*train.accumulate=8.*head.block_rows=16384.*head.sample_rate=0.1"
    with pytest.raises(UserError, match=words), MemoryAdvice(values_of(), 10_572, [mx.cpu()]):
        raise error
    with pytest.raises(KeyError), MemoryAdvice(values_of(), 10_572, [mx.cpu()]):
        raise KeyError


def test_the_runs_file_of_the_recipe_can_be_trained_again(command, records, tmp_path):
    assert "training orl on cpu(0): " in command(*train(records)).stdout
    write_json(tmp_path / "mine.json", recipe.resolve(tmp_path / "runs" / "orl" / "recipe.json"))
    command("train", "mine.json", "run.name=again", "train.iterations=1")
    assert (tmp_path / "runs" / "again" / "summary.json").is_file()

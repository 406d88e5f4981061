"""A disk that is full, at any point of each command: one line, status 2, nothing lost; with space, it goes on."""

import json
import shutil
import subprocess

import pytest
from jobs import JOBS, last_run, leftovers, outcome, train
from process import run

PARTS = (0.1, 0.4, 0.6, 0.85)  # of the space that a command needs
PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    """Function that makes a disk of so many bytes, or makes it larger; gives its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def resize(size):
        option = f"{'remount,' if mounted else ''}size={size}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("this machine allows no mounts: full disks are only tried by limits on the size of files")
        mounted.append(size)
        return folder

    yield resize
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def used(folder):
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def check_refusal(done):
    """One line after whatever was said before, and the status of bad input."""
    assert done.status == 2 and "Traceback" not in done.output, done.output
    last = done.output.splitlines()[-1]
    assert "cannot write" in last or "No space left" in last or "File too large" in last, last


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_full_disk(job, part, data, model, tmp_path, disk, straight, ledger):
    before, whole, wanted = straight(job)
    folder = disk(before + int(part * (whole - before)))
    job.prepare(folder, model)
    check_refusal(run(job.command(data, model), folder))
    disk(4 * whole)
    done = run(job.again(folder, data, model), folder)
    assert done.status == 0, done.output
    assert outcome(job.result(folder)) == wanted and not leftovers(job.result(folder))
    ledger.full[job.name] = ledger.full.get(job.name, 0) + 1


@pytest.fixture(scope="module")
def straight(data, model, tmp_path_factory):
    """Function of a job: (bytes before it, bytes after it, what it leaves) where nothing is full."""
    found = {}

    def measure(job):
        if job.name not in found:
            folder = tmp_path_factory.mktemp("straight")
            job.prepare(folder, model)
            before = used(folder)
            done = run(job.command(data, model), folder)
            assert done.status == 0, done.output
            found[job.name] = before, used(folder), outcome(job.result(folder))
        return found[job.name]

    return measure


@pytest.mark.parametrize("name", ["backbone.params", "head-00000000.params", "devices-00.params", "state.json"])
def test_short_write_of_a_checkpoint(name, data, model, tmp_path, straight, ledger):
    """The last byte of one file does not fit: no checkpoint appears, and training goes on from the one before."""
    job = JOBS[0]
    folder, size = tmp_path / "run", (model / "checkpoints" / "00000004" / name).stat().st_size
    check_refusal(run(train(data), folder, file_limit=size - 1))
    assert not list(last_run(folder).glob("checkpoints/[0-9]*"))
    assert run(job.again(folder, data, model), folder).status == 0
    assert outcome(last_run(folder)) == straight(job)[2]
    ledger.full["checkpoint, a byte short"] = ledger.full.get("checkpoint, a byte short", 0) + 1


def test_metrics_that_cannot_grow(data, model, tmp_path, ledger):
    shutil.copytree(model, tmp_path / "run" / "runs" / "t")
    metrics = tmp_path / "run" / "runs" / "t" / "metrics.jsonl"
    before = metrics.read_text() + json.dumps({"iteration": 4, "long": [0] * (1 << 20)}) + "\n"
    metrics.write_text(before)
    command = [*train(data), "train.iterations=6", "--resume"]
    check_refusal(run(command, tmp_path / "run", file_limit=len(before) + 10))
    assert metrics.read_text().startswith(before)
    assert run(command, tmp_path / "run").status == 0
    iterations = [json.loads(line)["iteration"] for line in metrics.read_text().splitlines()]
    assert iterations == sorted(iterations) and iterations[-1] == 6
    ledger.full["metrics.jsonl"] = 1


def test_report_that_cannot_be_written(model, tmp_path, ledger):
    shutil.copytree(model, tmp_path / "run" / "t")
    report = tmp_path / "run" / "t" / "report.html"
    before = report.read_bytes()
    for limit in (PAGE, len(before) // 2, len(before) - 1):
        check_refusal(run(["report", "t"], tmp_path / "run", file_limit=limit))
        assert report.read_bytes() == before and not leftovers(tmp_path / "run")
        ledger.full["report.html"] = ledger.full.get("report.html", 0) + 1
    assert run(["report", "t"], tmp_path / "run").status == 0

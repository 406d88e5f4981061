"""Embeddings, evaluations and validations by two processes: those of one to the bit, and what happens when one dies."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers import TINY

psutil = pytest.importorskip("psutil", reason="needs psutil: make setup HOROVOD=1")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed"),
]


def words(*command):
    return [sys.executable, "-m", "arcface_gluon", *map(str, command)]


def done(folder, *command, status=0):
    found = subprocess.run(words(*command), cwd=folder, capture_output=True, text=True)
    assert found.returncode == status and "Traceback" not in found.stderr, found.stdout + found.stderr
    return found.stdout + found.stderr


@pytest.fixture(scope="module")
def place(orl, tmp_path_factory):
    """A folder with a run that two processes have trained and validated."""
    folder = tmp_path_factory.mktemp("place")
    tiny = [*TINY, f"data.path={orl}", "train.iterations=2", "train.validate_every=2"]
    done(folder, "train", "orl", *tiny, "--np", "2")
    return folder


def test_a_validation_by_two_processes_is_what_one_measures(place):
    lines = [json.loads(line) for line in (place / "runs/orl/metrics.jsonl").read_text().splitlines()]
    (validated,) = [line["verification"]["orl"] for line in lines if "verification" in line]
    done(place, "verify", "--model", "runs/orl", "--json", "one.json")
    measured = json.loads((place / "one.json").read_text())["verification"]["orl"]
    shared = validated.keys() & measured.keys()
    assert "auc" in shared and all(validated[name] == measured[name] for name in shared)


def test_embeddings_and_evaluations_are_those_of_one_process(place, orl):
    for command in (
        ("embed", orl / "train.rec", "--model", "runs/orl", "--out", "faces.npy"),
        ("verify", "--model", "runs/orl", "--json", "found.json"),
        ("eval", "ytf", "--model", "runs/orl", "--data", "demo", "--json", "found.json"),
    ):
        kept = [place / "faces.npy", place / "faces.txt"] if command[0] == "embed" else [place / "found.json"]
        done(place, *command)
        expected = [path.read_bytes() for path in kept]
        for path in (*kept, *place.glob("runs/**/embeddings/*")):
            path.unlink()
        output = done(place, *command, "--np", "2")
        assert [path.read_bytes().replace(b" --np 2", b"") for path in kept] == expected, command
        assert "[1]" not in output


def test_a_damaged_image_of_another_process_is_one_line(place, orl):
    names = [f"{number}.jpg" for number in range(70)]
    done(place, "unpack", orl / "train.rec", "images")
    pictures = sorted((place / "images").rglob("*.jp*g"))
    for name, picture in zip(names, pictures):
        (place / name).write_bytes(picture.read_bytes())
    (place / names[40]).write_bytes(b"no picture")  # in the second batch, the second process's
    (place / "list.txt").write_text("\n".join(names))
    embed = ("embed", "list.txt", "--model", "runs/orl", "--out", "some.npy", "--np", "2")
    lines = done(place, *embed, status=2).splitlines()
    assert len([line for line in lines if "40.jpg" in line]) == 1 and not (place / "some.npy").exists()
    done(place, *embed, "--skip-missing")
    assert (place / "some.skipped.txt").read_text() == "40.jpg\n"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_process_is_told_and_the_same_command_goes_on(place, rank):
    pictures = sorted((place / "images").rglob("*.jp*g")) * 4
    (place / "long.txt").write_text("\n".join(map(str, pictures)))
    embed = ("embed", "long.txt", "--model", "runs/orl", "--out", f"long-{rank}.npy", "--np", "2")
    process = subprocess.Popen(words(*embed), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    part = place / f"long-{rank}.npy.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size > 20_000):
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.environ().get("HOROVOD_RANK") == str(rank) and "arcface_gluon" in child.cmdline():
            os.kill(child.pid, signal.SIGKILL)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 75 and "Traceback" not in output, output
    assert f"process {rank} on {socket.gethostname()} was ended by SIGKILL" in output, output
    assert "the same command goes on" in output, output
    assert not (place / f"long-{rank}.npy").exists()
    done(place, *embed)
    assert len((place / f"long-{rank}.txt").read_text().splitlines()) == len(pictures)

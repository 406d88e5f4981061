"""What is given to make reaches the program as it was written, and nothing of it is run."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from helpers import ROOT

ODD = 'it\'s $(touch made) `touch made` $HOME "x" a;b & c|d * $(shell touch made) ${PATH}'


@pytest.fixture
def make(tmp_path):
    """Run a target with a stand-in for the program; gives the arguments of its calls."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    for name in ("setup.py", "constraints.txt", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    stand_in = tmp_path / ".venv" / "bin" / "arcface-gluon"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text(
        "#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]), file=open('calls', 'a'))\n"
    )
    stand_in.chmod(0o755)
    (tmp_path / ".venv" / ".ready").write_text("cpu\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(*arguments):
        subprocess.run(["make", "-s", *arguments], cwd=tmp_path, check=True, env=environment, timeout=60)
        return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return run


@pytest.mark.parametrize("name", ["DATA", "LOSS", "SET", "SEED"])
def test_values_of_a_training_arrive_whole(make, tmp_path, name):
    option = {"DATA": [f"data.path={ODD}"], "LOSS": [f"loss={ODD}"], "SET": ["--set", ODD], "SEED": [f"seed={ODD}"]}
    assert make("train", f"{name}={ODD}") == [["data", "orl"], ["train", "orl", *option[name]]]
    assert not (tmp_path / "made").exists()


def test_a_recipe_and_dictionaries_arrive_whole(make, tmp_path):
    assert make("train", f"RECIPE={ODD}", "SET=network.options={'width':0.25} train.lr=0.1", "RESUME=1") == [
        ["train", ODD, "--resume", "--set", "network.options={'width':0.25} train.lr=0.1"]
    ]
    assert make("train", "RECIPE=a", "RESUME=auto")[-1] == ["train", "a", "--auto-resume"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "target, name",
    [("ytf", "ytf"), ("megaface", "megaface"), ("ijb", "ijb"), ("trillion", "trillion"), ("iqiyi", "iqiyi")],
)
def test_an_evaluation_takes_a_model_or_features(make, tmp_path, target, name):
    ((*called,),) = [make(f"eval-{target}", f"MODEL={ODD}", f"DATA={ODD}", f"ROW={ODD}", "ARGS=--sizes 10 *")[-1:]]
    assert called[0][:8] == ["eval", name, "--model", ODD, "--row", ODD, "--data", ODD]
    assert called[0][8:] == ["--sizes", "10", "*"]
    assert make(f"eval-{target}", f"FEATURES={ODD}")[-1] == ["eval", name, "--features", ODD, "--data", "demo"]
    assert not (tmp_path / "made").exists()


def test_sets_figures_and_the_ablation(make, tmp_path):
    assert make("eval-lfw", "RECIPE=casia_r50", f"BIN={ODD}")[-1] == [
        *("eval", "verification", "--recipe", "casia_r50", "--bin", ODD)
    ]
    assert make("figures", f"MODEL={ODD}", f"BIN={ODD}")[-1][:5] == ["figures", "--run", ODD, "--bin", ODD]
    assert make("ablation", f"DATA={ODD}", "SEEDS=2", f"LOSS={ODD}")[-1] == [
        *("eval", "ablation", "--data", ODD, "--seeds", "2", "--losses", ODD)
    ]
    assert make("eval-angles", f"MODEL={ODD}", f"BIN={ODD}")[-1][2:] == [ODD, "--recipe", "orl", "--bin", ODD]
    assert not (tmp_path / "made").exists()


def test_switches_are_1_or_0_and_nothing_in_them_is_run(make, tmp_path):
    lfw = ["eval", "verification", "--model", "m"]
    for flip, options in (("1", ["--flip"]), ("0", ["--no-flip"]), ("", [])):
        assert make("eval-lfw", "MODEL=m", f"FLIP={flip}")[-1] == [*lfw, *options]
    assert make("train", "RECIPE=casia_r50", "RESUME=0")[-1] == ["train", "casia_r50"]
    assert make("eval-ijb", "MODEL=m", "SKIP=1")[-1][-1] == "--skip-missing"
    calls = len(make("eval-ijb", "MODEL=m", "SKIP=0"))
    for target, name in [("eval-lfw", "FLIP"), ("eval-ijb", "SKIP"), ("train", "RESUME")]:
        for value in ("2", "1 1", "yes", ODD, "$(shell touch made)", "`touch made`"):
            with pytest.raises(subprocess.CalledProcessError):
                make(target, "MODEL=m", "RECIPE=casia_r50", f"{name}={value}")
    for name in ("GPU", "HOROVOD", "INTEROP", "DETECT", "PEERS", "DOCS"):
        make("eval-lfw", "MODEL=m", f"{name}=$(shell touch made)")
    assert not (tmp_path / "made").exists()
    assert len(make("eval-lfw", "MODEL=m")) == calls + 7


def test_folders_of_photographs_arrive_whole(make, tmp_path):
    assert make("align", f"IN={ODD}", f"OUT={ODD}", "ARGS=--faces all") == [["align", ODD, ODD, "--faces", "all"]]
    assert make("demo", f"MODEL={ODD}", "ARGS=--port 0")[-1] == ["demo", "--model", ODD, "--port", "0"]
    assert make("from-photos", f"PHOTOS={ODD}", f"SET={ODD}")[-1] == [
        *("from-photos", ODD, "--out", "datasets/mine", "--recipe", "orl", "--set", ODD)
    ]
    assert not (tmp_path / "made").exists()


def test_processes_hosts_and_restarts_of_a_training_arrive(make):
    words = make("train", "NP=4", "HOSTS=a:2,b:2", "RESTARTS=3", "GRACE=60", "DATA=x")[-1]
    asked = ["--np", "4", "--hosts", "a:2,b:2", "--restarts", "3", "--grace", "60", "data.path=x"]
    assert words == ["train", "orl", *asked]

"""Every option of a recipe that touches training, by two processes: what one process with as many devices trains."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import options_of_a_rank
import pytest
from options_of_a_rank import CASES, CASES_WITH_AMX, ELSEWHERE, LOW, SMALL

from arcface_gluon import blas, recipe

TWO = [Path(sys.executable).parent / "horovodrun", "-np", "2", "--gloo"]
needs_horovod = pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")


def test_every_option_is_tried():
    settings = [setting for case in (*CASES.values(), *CASES_WITH_AMX.values()) for setting in (*case, *SMALL)]
    tried = {setting.split("=")[0] for setting in settings}
    assert set(recipe.options()) - tried == ELSEWHERE - tried


@pytest.mark.slow
@needs_horovod
def test_two_processes_train_with_every_option_what_one_trains(orl, tmp_path):
    train(orl, tmp_path, CASES)
    for case in CASES:
        compare(tmp_path, case, "on the way" in case)


@pytest.mark.slow
@needs_horovod
@pytest.mark.skipif(blas.why_no_amx() is not None, reason="needs a processor with AMX")
def test_in_bfloat16_too(orl, tmp_path):
    train(orl, tmp_path, [LOW])
    compare(tmp_path, LOW)


def train(orl, folder, cases):
    """Train by one process and by two, into folders of these names."""
    script = Path(options_of_a_rank.__file__)
    # A thread each, as another number of them adds up in another order.
    words = ["env", f"PYTHONPATH={script.parents[1]}", "OMP_NUM_THREADS=1", sys.executable, script, orl]
    for start, place in (([], folder / "one"), (TWO, folder / "two")):
        place.mkdir()
        done = subprocess.run([*start, *words, place, *cases], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


def compare(folder, case, rounded=False):
    """What both have trained is the same; `rounded`: but for what goes between the two."""
    one = np.load(folder / "one" / f"{case} 0.npz")
    ranks = [np.load(folder / "two" / f"{case} {rank}.npz") for rank in range(2)]
    for key, expected in one.items():
        (found, *_) = [rank[key] for rank in ranks if key in rank]
        if key == "momenta":
            apart = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            assert apart < 1e-2 and (apart > 1e-6 if rounded else True), (case, apart)
        elif key != "losses" and not rounded:
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), err_msg=(case, key))
    np.testing.assert_allclose(ranks[0]["losses"], one["losses"], rtol=1e-4, err_msg=case)
    assert len(one["losses"]) and one["iteration"] == (2 if case == "stopped early" else 3), case

"""Every option of a recipe that touches training, by two processes: what one process with as many devices trains."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import options_of_a_rank
import pytest
from options_of_a_rank import CASES, ELSEWHERE, SMALL

from arcface_gluon import recipe


def test_every_option_is_tried():
    settings = [setting for case in CASES.values() for setting in (*case, *SMALL)]
    tried = {setting.split("=")[0] for setting in settings}
    assert set(recipe.options()) - tried == ELSEWHERE - tried


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="Horovod is not installed")
def test_two_processes_train_with_every_option_what_one_trains(orl, tmp_path):
    script = Path(options_of_a_rank.__file__)
    launcher = [Path(sys.executable).parent / "horovodrun", "-np", "2", "--gloo"]
    # A thread each, as another number of them adds up in another order.
    words = ["env", f"PYTHONPATH={script.parents[1]}", "OMP_NUM_THREADS=1", sys.executable, script, orl]
    for start, folder in (([], tmp_path / "one"), (launcher, tmp_path / "two")):
        folder.mkdir()
        done = subprocess.run([*start, *words, folder], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    for case in CASES:
        one = np.load(tmp_path / "one" / f"{case} 0.npz")
        ranks = [np.load(tmp_path / "two" / f"{case} {rank}.npz") for rank in range(2)]
        rounded = "on the way" in case  # what goes between them
        for key, expected in one.items():
            (found, *_) = [rank[key] for rank in ranks if key in rank]
            if key == "momenta":
                apart = np.linalg.norm(found - expected) / np.linalg.norm(expected)
                assert apart < 1e-2 and (apart > 1e-6 if rounded else True), (case, apart)
            elif key != "losses" and not rounded:
                np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), err_msg=(case, key))
        np.testing.assert_allclose(ranks[0]["losses"], one["losses"], rtol=1e-4, err_msg=case)
        assert len(one["losses"]) and one["iteration"] == (2 if case == "stopped early" else 3), case

"""Every reader reads a damaged or hostile file or refuses it in one line, within a memory limit (`fuzzing`)."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import READERS

# Inputs for each; 5,400 in all.
EXAMPLES = {"lists of data sets": 200, "recipes (.json)": 100, "overrides": 400, "symbols (.json)": 200, "images": 1500}
USUAL = 500


@pytest.mark.parametrize("name", READERS)
def test_a_reader_survives(name, ledger):
    count = EXAMPLES.get(name, USUAL)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzzing.py")), name, str(count)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ledger.fuzz[name] = count

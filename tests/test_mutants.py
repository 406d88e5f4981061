"""scripts/mutants.py: what it changes, and which tests it runs."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import mutants  # noqa: E402

pytestmark = pytest.mark.skipif(sys.version_info < (3, 9), reason="ast.unparse")


def test_each_change_is_of_one_place():
    source = "if a < b and c:\n    x = min(a + 1, True)"
    expected = {
        *("if a <= b and c:\n    x = min(a + 1, True)", "if a < b or c:\n    x = min(a + 1, True)"),
        *("if not (a < b and c):\n    x = min(a + 1, True)", "if a < b and c:\n    x = max(a + 1, True)"),
        *("if a < b and c:\n    x = min(a - 1, True)", "if a < b and c:\n    x = min(a + 2, True)"),
        "if a < b and c:\n    x = min(a + 1, False)",
    }
    assert {mutants.mutate(source, random.Random(seed)) for seed in range(200)} == expected
    assert mutants.mutate('"""Text."""\nx = y', random.Random(0)) is None


def test_the_tests_that_mirror_a_file():
    assert mutants.tests_of(Path("src/arcface_gluon/protocols/angles.py")) == ["tests/protocols/test_angles.py"]
    assert mutants.tests_of(Path("eval/ijb.py")) == ["tests/eval/test_ijb.py"]
    assert "tests/losses/test_sharded_head.py" in mutants.tests_of(Path("src/arcface_gluon/losses/shard.py"))

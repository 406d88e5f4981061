"""The Python in the docs runs as it stands, and paths that they name are there."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_a_margin_and_a_training_loop():
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(source, "docs/extending.md", "exec"), names)
    assert np.isfinite(names["losses"]).all() and names["losses"][-1] < names["losses"][0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    ours = r"(?:src|recipes|datasets|eval|tests|benchmarks|docs|data|models|losses|protocols|parallel|training)"
    named = set(re.findall(rf"`({ours}/[\w/]+\.(?:py|md))`", text))
    named |= {str((page.parent / link).resolve()) for link in re.findall(r"\]\(([\w/.-]+\.(?:md|svg|png))", text)}
    roots = (ROOT, ROOT / "src/arcface_gluon")
    assert not [name for name in named if not any((root / name).exists() for root in roots)]

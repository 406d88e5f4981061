"""The Python in the docs runs as it stands, and the files that they name are there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from arcface_gluon.cli import COMMANDS
from arcface_gluon.cli.modules import modules
from arcface_gluon.data import FaceRecords, read_bin

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted((ROOT / "docs").glob("*.md"))]

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def python_of(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def run(source, names):
    exec(compile(source, "docs", "exec"), names)
    return names


def test_a_margin_and_a_training_loop():
    source = python_of("docs/extending.md")[-1]
    losses = run(source, {})["losses"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def test_sets_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("faces/a/1", "faces/a/2", "faces/b/1", "a1", "a2", "b1"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f"{name}.jpg", np.full((112, 112, 3), 90, np.uint8))
    from_folder, pairs, merging = python_of("datasets/README.md")
    names = run(from_folder, {})
    run(pairs, names)
    assert FaceRecords("datasets/mine").labels().tolist() == [0, 0, 1]
    assert list(read_bin("datasets/mine/mine.bin")[1]) == [True, False]
    for part in ("ms1mv2", "asian"):
        shutil.copytree("datasets/mine", f"datasets/{part}")
    run(merging, {})
    assert FaceRecords("datasets/ms1mv2_asian").labels().tolist() == [0, 0, 1, 2, 2, 3]


@pages
def test_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    ours = r"(?:src|recipes|datasets|eval|tests|benchmarks|docs|data|models|losses|protocols|parallel|training)"
    named = set(re.findall(rf"`({ours}/[\w/]+\.(?:py|md))`", text))
    named |= {str((page.parent / link).resolve()) for link in re.findall(r"\]\(([\w/.-]+\.(?:md|svg|png))", text)}
    roots = (ROOT, ROOT / "src/arcface_gluon")
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


@pages
def test_named_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert not set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)).difference(targets)
    assert not set(re.findall(r"(?:^|`)arcface-gluon ([a-z-]+)", text, re.MULTILINE)).difference(COMMANDS)
    for kind, folder in (("eval", "eval"), ("data", "datasets")):
        named = re.findall(rf"(?:^|`)arcface-gluon {kind} ([a-z-]+)(?!\.py|[a-z-])", text, re.MULTILINE)
        assert not set(named).difference(modules(folder))
    scripts = re.findall(r"(?:^|`)python ([\w/]+\.py)", text, re.MULTILINE)
    assert not [script for script in scripts if not (ROOT / script).is_file()]


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path):
    run_shell("docs/tutorial.md", tmp_path)
    assert len(np.load(tmp_path / "faces.npy")) > 0
    assert (tmp_path / "runs/orl/report.html").is_file() and (tmp_path / "runs/tables.html").is_file()


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    cells = json.loads((ROOT / "docs/python.ipynb").read_text(encoding="utf-8"))["cells"]
    source = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert not any(cell.get("outputs") for cell in cells)  # a figure that nobody measured would stay there
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last = map(float, re.search(r"loss ([\d.]+) -> ([\d.]+)", done.stdout).groups())
    assert last < first and "accuracy" in done.stdout


def test_the_size_of_what_is_of_ones_own_is_as_the_page_says():
    # That nothing else is needed is what the next test shows: it has these files alone.
    sources = [re.match(r"# (\S+)\n(.*)", source, re.DOTALL).groups() for source in python_of("docs/extending.md")[:-1]]
    lines = {name: sum(bool(line.strip()) for line in text.splitlines()) for name, text in sources}
    said = re.findall(r"\| `(\w+\.py)` \| (\d+) \| 0 \| 0 \|", (ROOT / "docs/extending.md").read_text(encoding="utf-8"))
    assert {name: int(count) for name, count in said} == lines


@pytest.mark.slow
def test_what_is_of_ones_own_works_from_files_alone(tmp_path):
    for source in python_of("docs/extending.md")[:-1]:
        (tmp_path / re.match(r"# (\S+)", source)[1]).write_text(source)
    run_shell("docs/extending.md", tmp_path)
    rates = [
        json.loads(line)["lr"] for line in (tmp_path / "runs/b/metrics.jsonl").read_text().splitlines() if "lr" in line
    ]
    assert rates[-1] == pytest.approx(0.05 / 1.01)
    recipes = [json.loads((tmp_path / f"runs/{name}/recipe.json").read_text()) for name in "ac"]
    assert recipes[0]["head"]["kind"] == "mine:Linear" and recipes[1]["network"]["name"] == "plain:Plain"


def run_shell(page, folder):
    """The commands of a page, one after the other, in a folder."""
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The wheel is the whole product: in an empty folder outside the checkout it trains, evaluates and reports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT, TINY


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Run the command line of the built wheel in an empty folder; gives what it printed."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source"], check=True, timeout=300
    )
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=300)
    (folder / "empty").mkdir()

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "arcface_gluon", *map(str, arguments)],
            cwd=folder / "empty",
            env={**os.environ, "PYTHONPATH": str(folder / "site")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert str(ROOT) not in done.stdout + done.stderr
        return done.stdout

    run.folder = folder / "empty"
    return run


@pytest.mark.slow
def test_from_nothing_to_tables(installed):
    assert "casia_r50" in installed("recipes") and "sub-centre" in installed("losses")
    assert "300 images of 30 people" in installed("data", "orl")
    settings = [*TINY, "train.iterations=2", "train.validate_every=2", "train.checkpoint_every=2"]
    assert "report: runs/orl/report.html" in installed("train", "orl", "--quiet", *settings)
    assert "accuracy" in installed("verify", "--recipe", "orl", "--quiet")
    assert "rank-1" in installed("eval", "megaface", "--recipe", "orl", "--data", "demo", "--quiet").lower()
    assert "lfw" in installed("eval", "verification", "--recipe", "orl", "--data", "demo", "--quiet")
    assert "report.html" in installed("report", "runs/orl")
    assert "tables.html" in installed("tables")
    installed("data", "synthetic", "--identities", "4", "--images", "3", "--pairs", "20")
    assert (installed.folder / "datasets" / "synthetic" / "train.rec").is_file()
    assert "ratio" in installed("bench", "verification", "--quick")


@pytest.mark.slow
def test_a_recipe_of_the_working_folder_comes_first(installed):
    recipes = installed.folder / "recipes"
    recipes.mkdir(exist_ok=True)
    own = 'from arcface_gluon.recipe import inherit\n\nrecipe = inherit("base")\nrecipe.train.lr = 0.03\n'
    (recipes / "orl.py").write_text(f'"""Mine."""\n\n{own}')
    (recipes / "mine.py").write_text(f'"""Another."""\n\n{own}')
    listed = installed("recipes")
    assert "Another." in listed and "Mine." in listed and "casia_r50" in listed
    assert "train.lr = 0.03" in installed("recipes", "orl")

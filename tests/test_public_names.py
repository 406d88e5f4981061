"""Every name that the docs promise imports, and every package says what it offers."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import arcface_gluon

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "datasets/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = ["arcface_gluon"] + [
    found.name for found in pkgutil.walk_packages(arcface_gluon.__path__, "arcface_gluon.") if found.ispkg
]


def resolve(name):
    """What a dotted name stands for: as many modules as there are, then attributes."""
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(".".join(parts[:i]))
    return found


def promised(text):
    """Names in code spans, in the API pages' directives and in imports."""
    names = re.findall(r"`((?:ag|arcface_gluon)(?:\.\w+)+)", text)
    names += re.findall(r"^::: (arcface_gluon[\w.]*)", text, re.MULTILINE)
    names += re.findall(r"\b((?:ag|arcface_gluon)(?:\.\w+)+)\(", text)
    for module, imported in re.findall(r"^from (arcface_gluon[\w.]*) import ([\w, ]+)", text, re.MULTILINE):
        names += [f"{module}.{name.strip()}" for name in imported.split(",")]
    return sorted({re.sub(r"^ag\b", "arcface_gluon", name) for name in names})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_the_docs_are_there(page):
    for name in promised(page.read_text(encoding="utf-8")):
        assert resolve(name) is not None, name


def test_the_docs_promise_some():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {"arcface_gluon.training.Trainer", "arcface_gluon.load_model", "arcface_gluon.embed"} <= set(promised(text))
    with pytest.raises(ImportError):
        resolve("arcface_gluon.training.Teacher")


OPTIONAL = {"arcface_gluon.server": ("flask", "waitress")}
COMMANDS = ("benchmarks", "cli", "datasets", "eval", "recipes")  # found by their files' names, not imported


@pytest.mark.parametrize("package", [name for name in PACKAGES if name.split(".")[1:2] not in [[c] for c in COMMANDS]])
def test_packages_list_what_they_offer(package):
    module = importlib.import_module(package)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    for needed in OPTIONAL.get(package, ()):
        pytest.importorskip(needed, reason=f"{package} needs {needed}, which is an extra")
    for name in module.__all__:
        assert resolve(f"{package}.{name}") is not None


def test_types_are_shipped():
    assert (ROOT / "src/arcface_gluon/py.typed").is_file()
    assert '"py.typed"' in (ROOT / "setup.py").read_text()

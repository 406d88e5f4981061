"""Every public function says what it takes and gives: hints of all parameters and of the result, and a docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "recipes", "datasets", "eval", "benchmarks", "scripts")
# Whose meaning the module's docstring tells, or Gluon.
TOLD_ELSEWHERE = {"add_arguments", "run", "main", "hybrid_forward"}


def public(tree, prefix=""):
    """(name, function, whether it is a method) of a module's public functions."""
    for node in tree.body:
        name = getattr(node, "name", "")
        if isinstance(node, ast.ClassDef) and not name.startswith("_"):
            yield from public(node, f"{prefix}{name}.")
        elif isinstance(node, ast.FunctionDef) and (name == "__init__" or not name.startswith("_")):
            yield prefix + name, node, bool(prefix)


def without_hint(function, method):
    """Names of the parameters without a hint, and "return"."""
    arguments = function.args
    static = any(getattr(decorator, "id", None) == "staticmethod" for decorator in function.decorator_list)
    named = [*arguments.posonlyargs, *arguments.args][1 if method and not static else 0 :]
    named += [*arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
    missing = [argument.arg for argument in named if argument.annotation is None]
    return missing + ["return"] * (function.returns is None and function.name != "__init__")


def found_in(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for entry in public(ast.parse(path.read_text(encoding="utf-8"))):
            yield (path.relative_to(ROOT), *entry)


@pytest.mark.parametrize("folder", FOLDERS)
def test_public_functions_are_hinted_in_full(folder):
    functions = list(found_in(folder))
    assert functions
    bare = [f"{path}: {name}: {missing}" for path, name, *rest in functions if (missing := without_hint(*rest))]
    assert not bare, "\n".join(bare)


def test_public_functions_have_a_docstring():
    """Those of the package; what a method does may be told by its class, a base class or a protocol."""
    bare = [
        f"{path}: {name}"
        for path, name, function, method in found_in("src")
        if not method and function.name not in TOLD_ELSEWHERE and not ast.get_docstring(function)
    ]
    assert not bare, "\n".join(bare)


def test_hints_need_no_newer_python():
    """They are text on Python 3.8 only where the module says so."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            hinted = any(isinstance(node, ast.arg) and node.annotation for node in ast.walk(ast.parse(text)))
            assert not hinted or "from __future__ import annotations" in text, path


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("def f(a: int, *b: int, c: int = 1, **d: int) -> int: ...", []),
        ("def f(a, *b, c=1, **d): ...", ["a", "c", "b", "d", "return"]),
        ("class A:\n def __init__(self, a): ...", ["a"]),
        ("class A:\n @staticmethod\n def f(a) -> int: ...", ["a"]),
        ("class A:\n def f(self) -> int: ...", []),
    ],
)
def test_what_counts_as_hinted(text, missing):
    ((_, function, method),) = public(ast.parse(text))
    assert without_hint(function, method) == missing

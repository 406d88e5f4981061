"""Change one place of the code at a time, in a copy, and tell which changes no test notices (`make mutants`).

    python scripts/mutants.py [--seed N] [--minutes M] [--file src/arcface_gluon/protocols/angles.py …]

A place is sampled from all files (or those named), changed in one of the ways of `changes`, and the tests that mirror
the file are run: tests/<folder>/test_<name>.py, or else the tests of its folder that name it. A change that they pass
has survived; it is printed as a diff. Some survivors mean the same as the code; the others lack a test. Needs Python
3.9.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("recipes", "datasets", "eval", "benchmarks")  # in the package once it is installed
SAMPLED = ("src/arcface_gluon/**/*.py", "eval/*.py", "datasets/*.py")
PAIRS = ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot))
PAIRS += ((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div))
OPERATORS = {**dict(PAIRS), **{after: before for before, after in PAIRS}, ast.FloorDiv: ast.Mult}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil", "match": "search"}


def changes(tree: ast.AST) -> Iterator:
    """Functions that each change one place of `tree`: an operator, a number, a truth value, a condition, a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
            yield lambda node=node: node.ops.__setitem__(0, OPERATORS[type(node.ops[0])]())
        elif isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in OPERATORS:
            yield lambda node=node: setattr(node, "op", OPERATORS[type(node.op)]())
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield lambda node=node: setattr(node, "value", not node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            yield lambda node=node: setattr(node, "value", node.value + 1)
        elif isinstance(node, (ast.If, ast.IfExp)):
            yield lambda node=node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield lambda node=node: setattr(node, "id", NAMES[node.id])
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield lambda node=node: setattr(node, "attr", NAMES[node.attr])


def mutate(source: str, choose: random.Random) -> str | None:
    """`source` with one change; None where there is nothing to change."""
    tree = ast.parse(source)
    places = list(changes(tree))
    if not places:
        return None
    choose.choice(places)()
    return ast.unparse(ast.fix_missing_locations(tree))


def tests_of(file: Path) -> list[str]:
    """The test files that mirror a file, relative as it is."""
    parts = file.parts[2:-1] if file.parts[0] == "src" else file.parts[:-1]
    folder = Path("tests", *parts)
    same = ROOT / folder / f"test_{file.stem}.py"
    if same.is_file():
        return [str(same.relative_to(ROOT))]
    word = re.compile(rf"\b{re.escape(file.parent.name if file.stem == '__init__' else file.stem)}\b")
    found = sorted((ROOT / folder).glob("test_*.py")) if parts else []
    return [str(path.relative_to(ROOT)) for path in found if word.search(path.read_text(encoding="utf-8"))]


def copy_tree(folder: Path) -> None:
    """The tracked files, and the package as it is when it is installed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in BESIDE:
        (folder / "src" / "arcface_gluon" / name).symlink_to(folder / name)


def passes(folder: Path, tests: list[str], seconds: float) -> bool:
    """Whether the tests pass in the copy; one that takes longer than `seconds` has noticed the change too."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow and not faults", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [*command, *tests],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) in (0, 5)  # 5: no test was selected
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--minutes", type=float, default=20, help="when to stop (default 20)")
    parser.add_argument("--file", nargs="+", type=Path, help="sample these files only")
    args = parser.parse_args()
    sampled = args.file or (path for pattern in SAMPLED for path in ROOT.glob(pattern))
    files = sorted({path.resolve().relative_to(ROOT) for path in sampled})
    choose, end, usual = random.Random(args.seed), time.monotonic() + 60 * args.minutes, {}
    tried = survived = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folder = Path(place)
        copy_tree(folder)
        while time.monotonic() < end:
            file = choose.choice(files)
            source, tests = (ROOT / file).read_text(encoding="utf-8"), tests_of(file)
            mutant = mutate(source, choose)
            if file not in usual and mutant is not None:
                began = time.monotonic()
                if not tests:
                    print(f"{file}: no test mirrors it", flush=True)
                elif not passes(folder, tests, 600):
                    print(f"{file}: its tests fail without any change: {' '.join(tests)}", flush=True)
                else:
                    usual[file] = time.monotonic() - began
            if file not in usual:
                files.remove(file)
                if not files:
                    break
                continue
            (folder / file).write_text(mutant, encoding="utf-8")
            noticed = not passes(folder, tests, 30 + 3 * usual[file])
            (folder / file).write_text(source, encoding="utf-8")
            tried, survived = tried + 1, survived + (not noticed)
            if not noticed:
                before = ast.unparse(ast.parse(source)).splitlines()
                print(f"survived {' '.join(tests)}:")
                print(*difflib.unified_diff(before, mutant.splitlines(), str(file), str(file), "", "", 2, ""), sep="\n")
            print(f"{tried} changes, {survived} survived", file=sys.stderr, flush=True)
    print(f"seed {args.seed}: {tried} changes tried, {survived} survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())

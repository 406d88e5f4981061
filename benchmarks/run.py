"""`make bench`: every benchmark with its floor measured in the same run; writes runs/bench/bench.md and bench.json.

    arcface-gluon bench [NAME …] [--quick]

Without a name all are measured; it begins by saying which these are, and how long they take. A benchmark is a module of
this folder with `measure(quick)`, which gives rows
{"what", "value", "unit", "floor", "ratio"}: `floor` is what the same work costs at the least (or the rate that it can
reach at the most) on this machine in this run, `ratio` is value over floor. Rows measured in turns (`floors`) have
"by", the library that the floor is of, and "spread", half the range between the quartiles of the rounds' ratios, too.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

from arcface_gluon import blas, runtime
from arcface_gluon.cli.modules import command_parser, own_module
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import atomic_write, read_json, write_json

from . import docs

# Seconds that each takes on two cores, with PyTorch, pytorch-metric-learning and faiss installed.
ORDER = {
    "backbone": 90, "inference": 40, "head": 180, "search": 40, "pipeline": 100, "extraction": 40, "verification": 10,
    "plan": 40, "precision": 30, "identification": 200, "templates": 40, "serving": 40,
}  # fmt: skip

EXAMPLE = "arcface-gluon bench head verification --quick"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench", __doc__, EXAMPLE)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(ORDER)} (default: all), or a file.py")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of the results")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the tables into this page, docs/benchmarks.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # measure one benchmark, in a process of its own
    args = parser.parse_args(arguments)
    if args.one:
        write_json(args.out / f"{Path(args.one).stem}.json", _module(args.one).measure(quick=args.quick))
        return 0
    unknown = {name for name in args.names if not name.endswith(".py")} - set(ORDER)
    if unknown:
        name = unknown.pop()
        raise UserError(f"unknown benchmark {name!r}{did_you_mean(name, ORDER)}")
    results, load = {}, os.getloadavg()[0]
    names = args.names or list(ORDER)
    if not args.names:
        print("\n".join(announcement(args.quick)), flush=True)
    for name in names:
        print(f"## {name}", flush=True)
        began = time.perf_counter()
        command = [sys.executable, "-m", "arcface_gluon", "bench", "--one", name, "--out", str(args.out)]
        if subprocess.run([*command, *["--quick"] * args.quick]).returncode:
            raise UserError(f"benchmark {name} failed; what it printed stands above")
        results[Path(name).stem] = rows = read_json(args.out / f"{Path(name).stem}.json")
        print(f"{table(rows)}\n({time.perf_counter() - began:.0f} s)", flush=True)
    header = (
        f"Measured {time.strftime('%Y-%m-%d')} on {runtime.processor()}, {runtime.physical_cores()} cores, "
        f"Python {platform.python_version()}, by `make bench`{' (quick)' if args.quick else ''}; {kernels()}; "
        f"load average before it {load:.1f}."
    )
    with atomic_write(args.out / "bench.md", "w") as file:
        file.write(f"{header}\n")
        for name, rows in results.items():
            file.write(f"\n## {name}\n\n{table(rows)}\n")
    write_json(args.out / "bench.json", {"header": header, "results": results})
    print(f"{args.out / 'bench.md'}")
    if args.docs:
        docs.write(args.docs, runtime.processor(), header, {name: table(rows) for name, rows in results.items()})
        print(args.docs)
    return 0


def announcement(quick: bool) -> list[str]:
    """What all benchmarks measure, by the first lines of their files, and how long they take about."""
    lines = []
    for name, seconds in ORDER.items():
        text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
        lines.append(f"  {name:14} {'' if quick else f'{seconds:4} s  '}{first}")
    total = "" if quick else f", about {sum(ORDER.values()) / 60:.0f} minutes on two cores with nothing else running"
    return [f"{len(ORDER)} benchmarks{total}; name some to measure these alone", *lines]


def _module(name):
    return own_module(Path(name)) if name.endswith(".py") else importlib.import_module(f"{__package__}.{name}")


COLUMNS = ("value", "unit", "floor", "by", "ratio", "spread")


def table(rows: Sequence[dict]) -> str:
    """Rows as a Markdown table; columns that are empty in all rows are left out."""
    columns = [column for column in COLUMNS if any(row.get(column) is not None for row in rows)]
    lines = [f"| what | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for row in rows:
        lines.append(f"| {row['what']} | {' | '.join(_cell(row.get(column)) for column in columns)} |")
    return "\n".join(lines)


def kernels() -> str:
    """Which kernels each library that multiplies takes."""
    names = {"NumPy": blas.numpy_kernels(), "dot": blas.mxnet_kernels(), "oneDNN": blas.onednn_instructions()}
    return "kernels: " + ", ".join(f"{name} {value}" for name, value in names.items() if value)


def _cell(value):
    if value is None:
        return ""
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, (int, float))
        else str(value)
    )

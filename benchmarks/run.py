"""`make bench`: every benchmark with its floor measured in the same run; writes runs/bench/bench.md and bench.json.

    arcface-gluon bench [NAME …] [--quick]

Without a name all are measured; it begins by saying which these are, and how long they take. A benchmark is a module of
this folder with `measure(quick)`, which gives rows
{"what", "value", "unit", "floor", "ratio"}: `floor` is what the same work costs at the least (or the rate that it can
reach at the most) on this machine in this run, `ratio` is value over floor. Rows measured in turns (`floors`) have
"by", the library that the floor is of, and "spread", half the range between the quartiles of the rounds' ratios, too;
"profile" is a text that says what the value is made of. `goals` has the goals of the ratios; bench.json has what came
of them. A benchmark's results are kept as soon as it has ended: after an interruption --resume goes on.
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

from arcface_gluon import runtime
from arcface_gluon.cli.modules import command_parser, own_module
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import atomic_write, read_json, write_json

from . import docs, kernels, tables
from .goals import judged

# Seconds that each takes on two cores, with PyTorch, pytorch-metric-learning and faiss installed.
ORDER = {
    "backbone": 105, "inference": 35, "head": 110, "search": 35, "pipeline": 65, "extraction": 30, "verification": 5,
    "plan": 35, "precision": 25, "identification": 220, "templates": 20, "serving": 55,
}  # fmt: skip

RESULTS = "bench.json"
EXAMPLE = "arcface-gluon bench head verification --quick"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench", __doc__, EXAMPLE)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(ORDER)} (default: all), or a file.py")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of the results")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the tables into this page, docs/benchmarks.md")
    parser.add_argument("--resume", action="store_true", help="leave out what an interrupted call has measured")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # measure one benchmark, in a process of its own
    args = parser.parse_args(arguments)
    if args.one:
        write_json(args.out / f"{Path(args.one).stem}.json", _module(args.one).measure(quick=args.quick))
        return 0
    unknown = {name for name in args.names if not name.endswith(".py")} - set(ORDER)
    if unknown:
        name = unknown.pop()
        raise UserError(f"unknown benchmark {name!r}{did_you_mean(name, ORDER)}")
    names = args.names or list(ORDER)
    header, results = _begin(args)
    if not args.names:
        print("\n".join(announcement(args.quick)), flush=True)
    left, began = [name for name in names if Path(name).stem not in results], time.perf_counter()
    for done, name in enumerate(left):
        print(f"## {name}{_time_left(left, done, began, args.quick)}", flush=True)
        command = [sys.executable, "-m", "arcface_gluon", "bench", "--one", name, "--out", str(args.out)]
        since = time.perf_counter()
        if subprocess.run([*command, *["--quick"] * args.quick], env=kernels.environment()).returncode:
            raise UserError(f"benchmark {name} failed; what it printed stands above; --resume goes on with the others")
        stem = Path(name).stem
        results[stem] = judged(stem, read_json(args.out / f"{stem}.json"))
        write_json(args.out / RESULTS, {"header": header, "quick": args.quick, "results": results})
        print(f"{tables.part(stem, results[stem], args.quick)}\n({time.perf_counter() - since:.0f} s)", flush=True)
    parts = {name: tables.part(name, rows, args.quick) for name, rows in results.items()}
    goals = tables.goal_table(parts)
    with atomic_write(args.out / "bench.md", "w") as file:
        file.write(f"{header}\n")
        for name, part in {**({"goals": goals} if goals else {}), **parts}.items():
            file.write(f"\n## {name}\n\n{part}\n")
    print(f"{goals}\n{args.out / 'bench.md'}".strip())
    if args.docs:
        docs.write(args.docs, runtime.processor(), header, parts)
        print(args.docs)
    return 0


def _begin(args):
    """(header, results so far): of the call that is resumed, or none."""
    if args.resume and (args.out / RESULTS).exists():
        found = read_json(args.out / RESULTS)
        if found.get("quick") == args.quick and isinstance(found.get("results"), dict):
            return found["header"], {name: judged(name, rows) for name, rows in found["results"].items()}
    header = (
        f"Measured {time.strftime('%Y-%m-%d')} on {runtime.processor()}, {runtime.physical_cores()} cores, "
        f"Python {platform.python_version()}, by `make bench`{' (quick)' if args.quick else ''}; "
        f"{kernels.taken_there()}; load average before it {os.getloadavg()[0]:.1f}."
    )
    return header, {}


def _time_left(names, done, began, quick):
    """ " (2 of 5; about 3 min left)", by the benchmarks' usual times and how fast those so far went."""
    text = f" ({done + 1} of {len(names)}"
    before, after = (sum(ORDER.get(name, 0) for name in part) for part in (names[:done], names[done:]))
    if quick or not after:
        return f"{text})"
    seconds = after * (time.perf_counter() - began) / before if before else after
    return f"{text}; about {seconds / 60:.1f} min left)"


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

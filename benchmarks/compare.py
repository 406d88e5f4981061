"""What became slower between two runs of the benchmarks, by the ratios to their floors and beyond their spread.

    arcface-gluon bench compare before/bench.json after/bench.json

Ratios to a floor of the same run hold where the machine's speed changed between the two. The exit status is 0 either
way: this is a report, not a test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from arcface_gluon.cli.modules import command_parser
from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json

# Of a ratio whose rounds were not kept: what such a figure changes by from run to run on a busy machine.
USUAL_SPREAD = 0.1

EXAMPLE = "arcface-gluon bench compare before.json after.json"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench compare", __doc__, EXAMPLE)
    parser.add_argument("before", type=Path, help="bench.json of the earlier run")
    parser.add_argument("after", type=Path, help="bench.json of the later run")
    args = parser.parse_args(arguments)
    lines = list(compare(ratios(args.before), ratios(args.after)))
    print("\n".join(lines) if lines else "nothing changed by more than its spread")
    return 0


def ratios(path: Path) -> dict[tuple[str, str], dict]:
    """{(benchmark, what): row} of the rows with a ratio.

    Raises:
        UserError: the file is no bench.json.
    """
    found = read_json(path)
    try:
        return {
            (name, row["what"]): row
            for name, rows in found["results"].items()
            for row in rows
            if isinstance(row.get("ratio"), (int, float))
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no bench.json, as `make bench` writes it into runs/bench") from error


def compare(before: dict, after: dict) -> Iterator[str]:
    """A line for each ratio that changed by more than the spreads of the two runs together, slower ones first."""
    changes = []
    for key in before.keys() & after.keys():
        old, new = before[key], after[key]
        spread = sum(row.get("spread") or USUAL_SPREAD * row["ratio"] for row in (old, new)) / old["ratio"]
        change = new["ratio"] / old["ratio"] - 1
        if str(new.get("unit", "")).endswith("/s"):  # a rate: more is better
            change = old["ratio"] / new["ratio"] - 1
        if abs(change) > spread:
            changes.append((change, spread, key, old, new))
    for change, spread, (name, what), old, new in sorted(changes, key=lambda one: -one[0]):
        word = "slower" if change > 0 else "faster"
        yield (
            f"{word}: {name}, {what}: {abs(change):.0%} (ratio {old['ratio']:.3g} -> {new['ratio']:.3g}, "
            f"spread {spread:.0%})"
        )

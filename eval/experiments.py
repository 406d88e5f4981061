"""Claims of the paper and its successors, each tried by a small experiment: claim, figures with intervals, verdict.

    arcface-gluon eval experiments [NAME …] [--seeds N] [--jobs J] [--docs PAGE] [--list]

Every experiment compares two rows of an ablation (`arcface-gluon eval ablation`) on all pairs of unseen people: on
procedural identities, which are no faces, at two difficulties, or on ORL. Runs go to runs/ablation-<data>, where what
is finished, by `make ablation` too, is not done again; runs/experiments.md has claim, differences with their 95 %
intervals over seeds and people, and what follows from them. --docs docs/experiments.md puts it into that page, too.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Mapping, Sequence

from arcface_gluon.datasets import orl, synthetic
from arcface_gluon.eval import ablation, unseen
from arcface_gluon.eval.claims import EXPERIMENTS, SYNTHETIC, Experiment

from arcface_gluon.blas import why_no_amx
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import Several
from arcface_gluon.data.places import find_unseen
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import atomic_write, read_json
from arcface_gluon.report.measured_page import around_measured, write_measured
from arcface_gluon.report.outside_text import markdown_text
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import SUMMARY, is_finished, runs_of

if TYPE_CHECKING:
    from arcface_gluon.protocols.unseen_pairs import Interval
    from arcface_gluon.report.unseen import UnseenResult

FARS = (1e-2, 1e-3)  # whose TAR is compared, beside the accuracy
# Differences of less than this many points are called small where a claim says that nothing changes.
SMALL = 1.0

EXAMPLE = "arcface-gluon eval experiments --list"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval experiments", __doc__, EXAMPLE)
    parser.add_argument("names", nargs="*", action=Several, metavar="NAME", help=f"{', '.join(EXPERIMENTS)} (all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row (3)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, which share the cores (1)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of ablation-<data> and experiments.md")
    parser.add_argument("--docs", type=Path, help="page whose measured part is to be what experiments.md has")
    parser.add_argument("--list", action="store_true", help="say what there is to try, and do nothing")
    args = parser.parse_args(arguments)
    chosen = {name: _experiment(name) for name in args.names or EXPERIMENTS}
    if args.list:
        for name, one in chosen.items():
            print(f"{name}: {one.claim}")
        return 0
    if args.docs is not None:
        around_measured(args.docs)
    left_out = [name for name, one in chosen.items() if one.needs_amx and why_no_amx() is not None]
    tried = {name: one for name, one in chosen.items() if name not in left_out}
    failures = []
    for data in dict.fromkeys(one.data for one in tried.values()):
        prepare(data)
        rows = dict.fromkeys(row for one in tried.values() if one.data == data for row in (one.reference, one.row))
        losses, folder = ablation.chosen_losses(",".join(rows)), ablation.runs_on(data, args.out)
        base = "synthetic" if data in SYNTHETIC else data
        jobs = ablation.prepare_all(base, ablation.settings_on(data), folder, args.seeds, losses)
        failures += [failure for failure in ablation.train_all(base, jobs, args.jobs) if failure]
        if any(one.condition for one in tried.values() if one.data == data):
            measure_conditions(job for job in jobs if is_finished(job.place))
    command = shlex.join(["arcface-gluon", "eval", "experiments", *(arguments or [])])
    lines = report(tried, left_out, args.out, command)
    with atomic_write(args.out / "experiments.md", "w") as file:
        file.write("\n".join(["# Experiments", "", *lines]) + "\n")
    if args.docs is not None:
        write_measured(args.docs, lines)
    print(*lines, sep="\n")
    return 1 if failures else 0


def _experiment(name):
    if name not in EXPERIMENTS:
        raise UserError(f"no experiment {name!r}{did_you_mean(name, EXPERIMENTS)} (--list tells them)")
    return EXPERIMENTS[name]


def prepare(data: str) -> None:
    """Write a training set with its unseen people, unless it is there."""
    folder = Path("datasets") / data
    if data in SYNTHETIC:
        synthetic.prepare(folder, **{**synthetic.FOR_RECIPE, **SYNTHETIC[data]})
    else:
        orl.prepare(folder)


def measure_conditions(jobs: Iterable[ablation.Job]) -> None:
    """Measure the runs again that were measured before the conditions of their unseen people were known."""
    from arcface_gluon.report.run_report import write_report

    for job in jobs:
        for name, folder in ablation.unseen_sets(job).items():
            unseen.measure(job.place, name, folder, None, flip=True)
        write_report(job.place)


def report(tried: Mapping[str, Experiment], left_out: Sequence[str], out: Path, command: str) -> list[str]:
    """Markdown: of each experiment the claim, both rows and their difference by each measure, and verdicts."""
    lines = [
        *("```sh", command, "```", ""),
        "On all pairs of unseen people, per cent: means over the n seeds that both rows have, and their difference in "
        "points over the same drawn people, with 95 % intervals over seeds and people, those of rates cut off at 0 and "
        "100. “Accuracy” is balanced, at its best threshold. A verdict follows from the interval alone; where a claim "
        f"is that nothing changes, up to {SMALL:g} point is small.",
    ]
    for name, one in tried.items():
        folder = ablation.runs_on(one.data, out)
        compare = _across if one.condition else _compared
        rows = [row for name in find_unseen(Path("datasets") / one.data) for row in compare(folder, one, name)]
        heads = ["set", "measure", _label(one.row), one.reference, "difference", "n", "verdict"]
        lines += ["", f"## {name}", "", one.claim, ""]
        lines += [*markdown_table(heads, rows), "", _trained(folder, one)] if rows else ["Not measured."]
    if left_out:
        lines += ["", f"Not tried, for want of AMX on this processor: {', '.join(left_out)}."]
    return lines


def _label(row):
    """A row of many settings by its first two, so that a table stays narrow."""
    words = row.split("+")
    return "+".join(words[:2]) + "+…" * (len(words) > 2)


def _compared(folder, one, test_set):
    """A line for each measure that both rows have on a set."""
    from arcface_gluon.protocols.unseen_pairs import ACCURACY, tar_name
    from arcface_gluon.report.loss_order import measured_by

    row, reference = collect(folder, (one.row, one.reference), test_set)
    for measure in (ACCURACY, *map(tar_name, FARS)):
        ours, theirs = measured_by(row, measure), measured_by(reference, measure)
        difference = ours.minus(theirs)
        if difference is not None:
            cells = [str(found) for found in (ours.interval, theirs.interval, difference)]
            yield [test_set, measure, *cells, str(difference.seeds), verdict(difference, one.equal)]


def _across(folder, one, test_set):
    """Pairs alike in a condition, pairs across, and how much more the one row gains over the other on these."""
    from arcface_gluon.protocols.unseen_conditions import ACROSS, ALIKE

    row, reference = collect(folder, (one.row, one.reference), test_set)
    gains = {}
    for kind in (ALIKE, ACROSS):
        ours, theirs = (_accepted(results, one.condition, kind) for results in (row, reference))
        difference = ours.minus(theirs)
        if difference is None:
            return
        gains[kind] = ours.less(theirs)
        far = next(iter(row.values())).quality["far"]
        measure = f"TAR@FAR={far:.0e}".replace("e-0", "e-") + f", {kind} in {one.condition}"
        yield [test_set, measure, str(ours.interval), str(theirs.interval), str(difference), str(difference.seeds), ""]
    more = gains[ACROSS].minus(gains[ALIKE])
    said = verdict(more, equal=False, worse="it gains less")
    yield [test_set, "gain across less gain alike", "", "", str(more), str(more.seeds), said]


def _accepted(results, condition, kind):
    """Genuine pairs of a kind that are accepted, per cent, of {seed: result}."""
    from arcface_gluon.report.loss_order import Measured
    from arcface_gluon.report.unseen import condition_rates

    found = {
        seed: rates
        for seed, result in results.items()
        for rates in condition_rates(result)
        if (rates.condition, rates.kind, rates.of_value) == (condition, kind, False)
    }
    return Measured(
        {seed: 100 * rates.accepted for seed, rates in found.items()},
        {seed: 100 * rates.draws for seed, rates in found.items()},
        max((result.identities for result in results.values()), default=0),
    )


def collect(folder: Path, losses: Sequence[str], test_set: str) -> list[dict[int, UnseenResult]]:
    """Of each row {seed: what it reached on a set}, of the seeds that all have."""
    from arcface_gluon.report.unseen import load_comparable

    rows = [runs_of(folder, loss) for loss in losses]
    found = load_comparable((run for row in rows for run in row.values()), test_set)
    measured = [{seed: found[run] for seed, run in row.items() if run in found} for row in rows]
    common = set.intersection(*map(set, measured))
    return [{seed: one for seed, one in row.items() if seed in common} for row in measured]


def verdict(difference: Interval, equal: bool, worse: str = "it is worse") -> str:
    """What follows for a claim that one is better, or that both are alike."""
    if difference.seeds < 2:
        return "open: one seed does not tell how much seeds differ"
    small = difference.low >= -SMALL and difference.high <= SMALL
    if equal and small:
        return "holds: the difference is small"
    if equal and difference.resolved:
        return f"does not hold: {'better' if difference.mean > 0 else 'worse'} beyond the interval"
    if equal:
        return "open: no difference is resolved, but the interval is too wide to call it small"
    if difference.resolved:
        return "holds" if difference.mean > 0 else f"does not hold: {worse}"
    return "does not hold: the difference is small" if small else "open: no difference is resolved"


def _trained(folder, one):
    """When, where and how far both rows were trained."""
    from arcface_gluon.report.unseen import training_accuracy

    texts, dates, places = [], [], []
    for loss in (one.row, one.reference):
        done = list(filter(is_finished, runs_of(folder, loss).values()))
        values = [value for run in done if (value := training_accuracy(run)) is not None]
        texts += [f"{loss} {sum(values) / len(values):.1f}"] if values else []
        summaries = [read_json(run / SUMMARY) for run in done]
        dates += [summary["date"] for summary in summaries]
        places += [ablation.environment_of(summary["environment"]) for summary in summaries]
    days = " to ".join(dict.fromkeys((min(dates), max(dates))))
    own = f" Training images at their own centre, per cent: {', '.join(texts)}." if texts else ""
    return markdown_text(f"Trained {days} on {'; '.join(dict.fromkeys(places))}.{own}")

"""Claims of the paper and its successors, each tried by a small experiment: claim, figures with intervals, verdict.

    arcface-gluon eval experiments [NAME …] [--seeds N] [--jobs J] [--list]

Every experiment compares rows of an ablation (`arcface-gluon eval ablation`) on procedural identities, which are no
faces, by TAR at FAR 1e-3 on 1,000 unseen people at two difficulties. Runs go to runs/experiments-<data>, what is
finished is not done again, and runs/experiments.md has claim, differences with their 95 % intervals over seeds and
people, and what follows from them.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from arcface_gluon.datasets import synthetic
from arcface_gluon.eval import ablation

from arcface_gluon.blas import why_no_amx
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import Several
from arcface_gluon.data.places import find_unseen
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import atomic_write
from arcface_gluon.protocols.unseen_pairs import Interval, tar_name
from arcface_gluon.report.loss_order import Measured, measured_by
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.report.unseen import load_unseen, training_accuracy
from arcface_gluon.run_layout import SUMMARY

MEASURE = tar_name(1e-3)
# How the training images differ from those of the recipe synthetic.
DATA: dict[str, dict[str, Any]] = {
    "clean": {},
    "noise": {"label_noise": 0.2},
    "mixed": {"difficulty": 0.4, "mixed": True},
}
# Differences of less than this many points are called small where a claim says that nothing changes.
SMALL = 1.0

EXAMPLE = "arcface-gluon eval experiments --list"


@dataclass(frozen=True)
class Experiment:
    """One claim.

    Attributes:
        claim: what is said, and where.
        data: a key of DATA.
        row, reference: rows of an ablation; the claim is about `row` less `reference`.
        equal: whether the claim is that the two are alike; else that `row` is better.
        needs_amx: whether it can only be tried on a processor with AMX.
    """

    claim: str
    data: str
    row: str
    reference: str = "arcface"
    equal: bool = False
    needs_amx: bool = False


EXPERIMENTS = {
    "sub-centres": Experiment(
        "Under wrong labels three centres an identity are better than one (Sub-center ArcFace, ECCV 2020); here a "
        "fifth of the labels is wrong.",
        *("noise", "sub-centre"),
    ),
    "magface": Experiment(
        "A margin that grows with the embedding's length is better on images of mixed quality (MagFace, CVPR 2021).",
        *("mixed", "magface"),
    ),
    "adaface": Experiment(
        "A margin that follows the image's quality is better on images of mixed quality (AdaFace, CVPR 2022).",
        *("mixed", "adaface"),
    ),
    "partial-fc": Experiment(
        "A tenth of the negative class centres in each step is as good as all of them (Partial FC, CVPR 2022).",
        *("clean", "arcface+head.sample_rate=0.1"),
        equal=True,
    ),
    "batch": Experiment(
        "A batch of four times the size with four times the learning rate and a quarter of the steps is as good (the "
        "linear scaling rule, Goyal and others, 2017), after a warm-up.",
        "clean",
        "arcface+train.batch_size=512+train.lr=0.4+train.iterations=112+train.lr_steps=[70,98]+train.warm_up=11"
        "+train.validate_every=112+train.checkpoint_every=112",
        equal=True,
    ),
    "bfloat16": Experiment(
        "A backbone trained in bfloat16 with float32 weights is as good as one in float32.",
        *("clean", "arcface+train.dtype=bfloat16"),
        equal=True,
        needs_amx=True,
    ),
}


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval experiments", __doc__, EXAMPLE)
    parser.add_argument("names", nargs="*", action=Several, metavar="NAME", help=f"{', '.join(EXPERIMENTS)} (all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row (3)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, which share the cores (1)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="folder of the runs and of experiments.md (runs)"
    )
    parser.add_argument("--list", action="store_true", help="say what there is to try, and do nothing")
    args = parser.parse_args(arguments)
    chosen = {name: _experiment(name) for name in args.names or EXPERIMENTS}
    if args.list:
        for name, one in chosen.items():
            print(f"{name}: {one.claim}")
        return 0
    left_out = [name for name, one in chosen.items() if one.needs_amx and why_no_amx() is not None]
    tried = {name: one for name, one in chosen.items() if name not in left_out}
    status = 0
    for data in dict.fromkeys(one.data for one in tried.values()):
        synthetic.prepare(_records(data), **{**synthetic.FOR_RECIPE, **DATA[data]})
        rows = dict.fromkeys(row for one in tried.values() if one.data == data for row in (one.reference, one.row))
        options = [f"--data={_records(data)}", f"--losses={','.join(rows)}", f"--out={_runs(args.out, data)}"]
        status |= ablation.main(["--recipe=synthetic", *options, f"--seeds={args.seeds}", f"--jobs={args.jobs}"])
    command = shlex.join(["arcface-gluon", "eval", "experiments", *(arguments or [])])
    lines = report(tried, left_out, args.out, command)
    with atomic_write(args.out / "experiments.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*lines, sep="\n")
    return status


def _experiment(name):
    if name not in EXPERIMENTS:
        raise UserError(f"no experiment {name!r}{did_you_mean(name, EXPERIMENTS)} (--list tells them)")
    return EXPERIMENTS[name]


def _runs(out, data):
    return out / f"experiments-{data}"


def report(tried: Mapping[str, Experiment], left_out: list[str], out: Path, command: str) -> list[str]:
    """Markdown: of each experiment the claim, a table of both rows and their difference, and a verdict."""
    lines = [
        "# Experiments",
        "",
        f"Measured {time.strftime('%Y-%m-%d')} by `{command}`, on procedural identities, which are no faces: {MEASURE} "
        "in per cent on all pairs of 1,000 unseen people, with 95 % intervals over seeds and people. A verdict follows "
        f"from the intervals alone; where a claim is that nothing changes, up to {SMALL:g} point is small.",
    ]
    for name, one in tried.items():
        folder, rows, verdicts = _runs(out, one.data), [], []
        for test_set in find_unseen(_records(one.data)):
            row, reference = (collect(folder, loss, test_set) for loss in (one.row, one.reference))
            difference = row.minus(reference)
            if difference is None:
                verdicts.append(f"{test_set}: not measured")
                continue
            cells = [str(found) for found in (row.interval, reference.interval, difference)]
            rows.append([test_set, *cells, str(len(row.values))])
            verdicts.append(f"{test_set}: {verdict(difference, one.equal)}")
        heads = ["set", one.row, one.reference, "difference", "n"]
        lines += ["", f"## {name}", "", one.claim, "", *markdown_table(heads, rows), ""]
        lines += [f"Verdict: {'; '.join(verdicts)}. {_trained(folder, one)}".rstrip()]
    if left_out:
        lines += ["", f"Not tried, for want of AMX on this processor: {', '.join(left_out)}."]
    return lines


def _records(data):
    return Path("datasets") / ("synthetic" if data == "clean" else f"synthetic-{data}")


def collect(folder: Path, loss: str, test_set: str) -> Measured:
    """What all seeds of a row reached on a set."""
    results = {}
    for run in _finished(folder, loss):
        found = load_unseen(run, test_set)
        if found is not None:
            results[int(run.parent.name[len("seed-") :])] = found
    return measured_by(results, MEASURE)


def _finished(folder, loss):
    runs = (path / loss for path in sorted(folder.glob("seed-*")))
    return [run for run in runs if (run / SUMMARY).is_file()]


def verdict(difference: Interval, equal: bool) -> str:
    """What follows for a claim that one is better, or that both are alike."""
    small = difference.low >= -SMALL and difference.high <= SMALL
    if equal and small:
        return "holds: the difference is small"
    if equal and difference.resolved:
        return f"does not hold: {'better' if difference.mean > 0 else 'worse'} beyond the interval"
    if equal:
        return "open: no difference is resolved, but the interval is too wide to call it small"
    if difference.resolved:
        return "holds" if difference.mean > 0 else "does not hold: it is worse"
    return "does not hold: the difference is small" if small else "open: no difference is resolved"


def _trained(folder, one):
    texts = []
    for loss in (one.row, one.reference):
        values = [value for run in _finished(folder, loss) if (value := training_accuracy(run)) is not None]
        texts += [f"{loss} {sum(values) / len(values):.1f}"] if values else []
    return f"Training images at their own centre, per cent: {', '.join(texts)}." if texts else ""

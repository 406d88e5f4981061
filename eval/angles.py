"""Table 3: the angles between embeddings, class centres and feature centres of trained runs, beside the paper's.

    arcface-gluon eval angles [RUN …] [--recipe R] [--bin FILE] [--data FOLDER] [--flip] [--out FOLDER] [--docs PAGE]

RUN is a folder such as runs/ablation-orl/seed-0/arcface; its last checkpoint is taken, whose head-*.params hold the
class centres. Without RUN: every loss of runs/ablation-<data> (`make ablation`), means over its seeds, or where there
are none the last run of --recipe. The training set is that of the run's recipe, the verification set its first one (or
--bin). Embeddings are of single images, without the mirror, as in training; --flip adds it.

A verification set has pairs, not names: two images are of one identity where genuine pairs connect them. Images that
are in impostor pairs only are left out.

Every run gets results/angles.json; table3.md in --out (default runs/angles) has all of them, the paper's rows below
those that it has too. --docs puts it into that page, between the lines <!-- angles --> and <!-- end of the angles -->.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np
from arcface_gluon.eval.ablation import runs_on
from arcface_gluon.eval.runs import last_checkpoint

from arcface_gluon import recipe
from arcface_gluon.arrays import load_npy
from arcface_gluon.cli.launch import add_hosts_options
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import Several, add_flip_option
from arcface_gluon.cli.ranks import open_checkpoint
from arcface_gluon.data.demos import is_demo, is_demo_name, set_name
from arcface_gluon.data.images.sources import EncodedImages, open_images
from arcface_gluon.data.places import find_data, open_validation
from arcface_gluon.data.verification.pair_lists import is_whole_set
from arcface_gluon.errors import UserError
from arcface_gluon.files import atomic_write
from arcface_gluon.report.measured_page import around_measured, write_measured
from arcface_gluon.report.mode import papers_mode
from arcface_gluon.report.paper import is_papers_training_set, paper_tables, paper_value
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import RECIPE, is_finished, runs_of
from arcface_gluon.training.run_folder import last_run

if TYPE_CHECKING:
    from easydict import EasyDict

    from arcface_gluon.report.mode import Mode

TABLE = "table3_angles_degrees"
MARKS = "<!-- angles -->", "<!-- end of the angles -->"
# Columns of the paper's table, by loss.
COLUMNS = {
    "norm-softmax": "NS",
    "arcface": "ArcFace",
    "ns-intra": "IntraL",
    "ns-inter": "InterL",
    "triplet": "TripletL",
}

EXAMPLE = "arcface-gluon eval angles runs/orl"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval angles", __doc__, EXAMPLE)
    parser.add_argument("runs", nargs="*", action=Several, type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--recipe", default="orl", help="without RUN and ablation: the last run of this recipe")
    parser.add_argument("--bin", help="verification set (default: the recipe's first)")
    parser.add_argument("--data", help="folder of the training set, or casia (default: the recipe's data.path)")
    add_flip_option(parser, False, "a single crop")
    parser.add_argument("--contexts", help="devices (default: every GPU, else cpu(0))")
    add_hosts_options(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/angles"), help="folder of table3.md")
    parser.add_argument("--docs", type=Path, help="page whose part on angles is to be what table3.md has")
    args = parser.parse_args(arguments)
    if args.docs is not None:
        around_measured(args.docs, MARKS)
    data = args.data or recipe.resolve(args.recipe).data.path or ""
    measured = []
    for title, runs in chosen_runs(args.runs, data, args.recipe).items():
        values = [recipe.resolve(run / RECIPE) for run in runs]
        rows = [measure(run, one, args) for run, one in zip(runs, values)]
        measured.append(Measured(title, COLUMNS.get(values[0].loss), rows))
    mode = replace(papers_mode(TABLE), flip=args.flip)
    command = shlex.join(["arcface-gluon", "eval", "angles", *(arguments or [])])
    lines = ["```sh", command, "```", "", *table(measured, f"{mode}{f'; on {set_name(args.bin)}' if args.bin else ''}")]
    if args.docs is not None:
        write_measured(args.docs, lines, MARKS)
    end = mode.suffix(papers_mode(TABLE)) + "-demo" * bool(args.bin and is_demo(args.bin))
    with atomic_write(args.out / f"table3{end}.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*lines, sep="\n")
    return 0


def chosen_runs(given: Sequence[Path], data: str, recipe_name: str) -> dict[str, list[Path]]:
    """{title of a row: its runs}: those given, else those of the ablation on `data`, else the last of a recipe."""
    if given:
        return {str(run): [run] for run in given}
    folder = runs_on(data)
    found = {loss: list(filter(is_finished, runs_of(folder, loss).values())) for loss in recipe.losses()}
    return {loss: runs for loss, runs in found.items() if runs} or {recipe_name: [last_run(recipe_name)]}


def measure(run: Path, values: EasyDict, args: argparse.Namespace) -> dict:
    """The six rows of one run, also written to its results/angles.json."""
    from arcface_gluon.embed import embed_images, embed_to_file
    from arcface_gluon.evaluation import embeddings_path
    from arcface_gluon.losses.centres import read_centres
    from arcface_gluon.protocols.angles import angle_statistics, table3
    from arcface_gluon.report.results import measurement, save_results, subject_of

    checkpoint = last_checkpoint(run)
    net, devices = open_checkpoint(checkpoint, args.contexts)
    data = find_data(args.data or values.data.path)
    sets = open_validation([args.bin] if args.bin else values.data.validation[:1], data)
    if not sets:
        raise UserError(f"{run} names no verification set; give one with --bin lfw.bin")
    ((test_set, (images, issame)),) = sets.items()

    training = open_images(data / "train.rec", first_label=values.data.first_label)
    path = embeddings_path(run, f"training-{checkpoint.name}.npy", net, training, args.flip)
    path.parent.mkdir(parents=True, exist_ok=True)
    embed_to_file(net, training, path, devices, flip=args.flip)
    found = angle_statistics(load_npy(path), training.labels, read_centres(checkpoint), devices)

    kept, labels = identities_of_pairs(images, issame)
    features = embed_images(net, EncodedImages(test_set, kept), devices, flip=args.flip, quiet=False, what=test_set)
    rows = table3(found, angle_statistics(features, labels, contexts=devices))
    mode = replace(papers_mode(TABLE), flip=args.flip)
    trained_on = {"identities": found.classes, "images": len(training.labels)}
    comparable = on_paper_data(trained_on, test_set, issame, mode)
    subject = subject_of(run)
    subject = subject.on_demo() if is_demo_name(test_set) else subject
    column, command = COLUMNS.get(values.loss), f"arcface-gluon eval angles {run}" + " --flip" * mode.flip
    entries = [
        measurement(subject, (TABLE, row, column), value, f"{values.data.path}, {test_set}", command, mode, comparable)
        for row, value in rows.items()
        if column is not None and value is not None  # a loss without centres has some of the rows
    ]
    save_results(subject.folder, f"angles{mode.suffix(papers_mode(TABLE))}", entries)
    return rows


def identities_of_pairs(images: Sequence[bytes], issame: Sequence[bool] | np.ndarray) -> tuple[list[bytes], np.ndarray]:
    """Distinct images of the genuine pairs, and their identities: the groups that genuine pairs connect."""
    from arcface_gluon.protocols.thresholds import connected_images

    numbers, people = connected_images(images, issame)
    kept = np.unique([pair for pair, same in zip(numbers, issame) if same and pair[0] != pair[1]])
    if not len(kept):
        raise UserError("the verification set has no genuine pair of two different images; take another one with --bin")
    distinct = list(dict.fromkeys(images))
    return [distinct[i] for i in kept.astype(int)], np.unique(people[kept.astype(int)], return_inverse=True)[1]


def on_paper_data(
    trained_on: Mapping[str, int], test_set: str, issame: Sequence[bool] | np.ndarray, mode: Mode
) -> bool:
    """Whether training set ({"identities", "images"}), test set and mode are the paper's."""
    whole = test_set == "lfw" and is_whole_set("lfw", issame)
    return is_papers_training_set(TABLE, "", trained_on) and whole and mode == papers_mode(TABLE)


@dataclass(frozen=True)
class Measured:
    """A row of the table: its title, its column in the paper's (None: the paper has none), and the rows of each run."""

    title: str
    column: str | None
    runs: Sequence[Mapping[str, float | None]]


def table(measured: Sequence[Measured], how: str) -> list[str]:
    """Markdown lines: a row for each loss or run, with the paper's below it; `how` they were measured."""
    angles = list(paper_tables()[TABLE]["rows"])
    lines = []
    for one in measured:
        lines.append(
            [one.title, f"here, n = {len(one.runs)}", *(_mean([run[name] for run in one.runs]) for name in angles)]
        )
        if one.column is not None:
            cells = [paper_value(TABLE, name, one.column) for name in angles]
            lines.append(
                [f"{one.column} in the paper", "paper", *("" if cell is None else f"{cell:.2f}" for cell in cells)]
            )
    caption = (
        f"Degrees ({how}), mean ± standard deviation over n runs. Rows “paper” are Table 3 as printed [CASIA, "
        "ResNet50; 1: CASIA, 2: LFW]; for the other losses it has none. Rows “here” were measured: 1 on the training "
        "images, 2 on the people of the verification set. A loss without class centres has no W-EC and W-Inter."
    )
    return [caption, "", *markdown_table(["loss", "", *angles], lines)]


def _mean(values):
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{mean(known):.2f}" + (f" ± {stdev(known):.2f}" if len(known) > 1 else "")

"""Table 3: the angles between embeddings, class centres and feature centres of trained runs, beside the paper's.

    arcface-gluon eval angles [RUN …] [--recipe R] [--bin FILE] [--data FOLDER] [--flip] [--out FOLDER]

RUN is a folder such as runs/ablation-orl/seed-0/arcface; its last checkpoint is taken, whose head-*.params hold the
class centres. Without RUN: the losses of Table 3 in runs/ablation-<data>/seed-0 (`make ablation`), or where there are
none the last run of --recipe. The training set is that of the run's recipe, the verification set its first one (or
--bin). Embeddings are of single images, without the mirror, as in training; --flip adds it.

A verification set has pairs, not names: two images are of one identity where genuine pairs connect them. Images that
are in impostor pairs only are left out.

Every run gets results/angles.json; table3.md in --out (default runs/angles) has all of them beside the paper.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np
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
from arcface_gluon.report.mode import papers_mode
from arcface_gluon.report.paper import is_papers_training_set, paper_tables, paper_value
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import RECIPE, SUMMARY
from arcface_gluon.training.run_folder import last_run

if TYPE_CHECKING:
    from easydict import EasyDict

    from arcface_gluon.report.mode import Mode

TABLE = "table3_angles_degrees"
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
    args = parser.parse_args(arguments)
    measured, data = {}, args.data or recipe.resolve(args.recipe).data.path or ""
    for run in args.runs or ablation_runs(data) or [last_run(args.recipe)]:
        values = recipe.resolve(run / RECIPE)
        measured[run] = (values.loss, measure(run, values, args))
    mode = replace(papers_mode(TABLE), flip=args.flip)
    lines = table(measured, f"{mode}{f'; on {set_name(args.bin)}' if args.bin else ''}")
    end = mode.suffix(papers_mode(TABLE)) + "-demo" * bool(args.bin and is_demo(args.bin))
    with atomic_write(args.out / f"table3{end}.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*lines, sep="\n")
    return 0


def ablation_runs(data: str | os.PathLike[str]) -> list[Path]:
    folder = Path("runs") / f"ablation-{Path(data).name}" / "seed-0"
    return [folder / loss for loss in COLUMNS if (folder / loss / SUMMARY).is_file()]


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


def table(measured: Mapping[Path, tuple[str, dict]], how: str) -> list[str]:
    """Markdown lines: the six rows, a column for each run with the paper's beside it; `how` they were measured."""
    heads = [f"degrees ({how})"]
    for run, (loss, _) in measured.items():
        heads.append(f"{loss} ({run})")
        heads += [f"{COLUMNS[loss]}: paper"] if loss in COLUMNS else []
    lines = []
    for row in paper_tables()[TABLE]["rows"]:
        cells = [row]
        for loss, values in measured.values():
            cells.append("" if values[row] is None else f"{values[row]:.2f}")
            if loss in COLUMNS:
                paper = paper_value(TABLE, row, COLUMNS[loss])
                cells.append("" if paper is None else f"{paper:.2f}")
        lines.append(cells)
    return markdown_table(heads, lines)

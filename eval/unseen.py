"""All pairs of labelled images of unseen people: accuracy and TAR at FARs, with intervals over people.

    arcface-gluon eval unseen [RUN …] [--recipe R] [--data FOLDER …] [--no-flip]

RUN is a run's folder or a checkpoint; without it the last run of --recipe. The sets are folders with train.rec, by
default those named unseen… beside the run's training records (datasets/orl/unseen, datasets/synthetic/unseen-0.3 …).
Every pair of their images counts: 28,000 genuine and 32 million impostor pairs of 1,000 people with 8 images each.
Results are kept in RUN/unseen; the run's report shows them with the DET curve, the errors of each identity and by the
embeddings' length, and what the thresholds of its verification sets promise and keep on these people. `make ablation`
compares losses by them.

A conditions.csv beside train.rec says under which conditions each image was taken: its first line names them, such as
`pose,light`, each further one has the values of an image, such as `frontal,left`, in the order of the records. Then the
report has the errors of pairs alike in a condition, and of pairs across, too (as CFP-FP's frontal and profile).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from arcface_gluon.eval.runs import last_checkpoint

from arcface_gluon import recipe
from arcface_gluon.cli.launch import add_hosts_options
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import Several, add_flip_option
from arcface_gluon.cli.ranks import open_checkpoint
from arcface_gluon.data.images.sources import RecordImages
from arcface_gluon.data.places import find_data, find_unseen
from arcface_gluon.data.records.conditions_file import CONDITIONS, read_conditions
from arcface_gluon.errors import UserError
from arcface_gluon.files import sha256
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import RECIPE
from arcface_gluon.training.run_folder import last_run

if TYPE_CHECKING:
    from arcface_gluon.report.unseen import UnseenResult

EXAMPLE = "arcface-gluon eval unseen --recipe orl"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval unseen", __doc__, EXAMPLE)
    parser.add_argument("runs", nargs="*", action=Several, type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--recipe", default="orl", help="without RUN: the last run of this recipe (orl)")
    parser.add_argument("--data", action=Several, type=Path, help="folders with train.rec of unseen people")
    add_flip_option(parser, True, "the mirror image added")
    parser.add_argument("--contexts", help="devices (default: every GPU, else cpu(0))")
    add_hosts_options(parser)
    args = parser.parse_args(arguments)
    from arcface_gluon.report.run_report import write_report
    from arcface_gluon.report.unseen import rate_cells

    measured = []
    for run in args.runs or [last_run(args.recipe)]:
        folders = {folder.name: folder for folder in args.data} if args.data else unseen_of(run)
        for name, folder in folders.items():
            measured.append((run, measure(run, name, folder, args.contexts, args.flip)))
        print(f"report: {write_report(run)}")
    measures = list(dict.fromkeys(name for _, found in measured for name in found.measures))
    heads = ["run", "set", "people", "pairs of one", "pairs of two", *measures]
    rows = [[str(run), found.name, *rate_cells(found, measures)] for run, found in measured]
    print("Per cent, with 95 % intervals over people, cut off at 0 and 100\n", *markdown_table(heads, rows), sep="\n")
    return 0


def unseen_of(run: Path) -> dict[str, Path]:
    """{name: folder} of the sets beside a run's training records.

    Raises:
        UserError: there is none.
    """
    data = find_data(recipe.resolve(run / RECIPE).data.path)
    sets = find_unseen(data)
    if not sets:
        raise UserError(f"{data} has no labelled set of unseen people (unseen…/train.rec); name one with --data")
    return sets


def measure(run: Path, name: str, folder: Path, contexts: str | None, flip: bool) -> UnseenResult:
    """Measure a run's last checkpoint on a set, unless that was done already."""
    from arcface_gluon.embed import embed_images
    from arcface_gluon.report.unseen import load_unseen, save_unseen
    from arcface_gluon.report.verification_store import load_verification

    checkpoint = last_checkpoint(run)
    images = RecordImages(folder / "train.rec")
    facts = {"checkpoint": checkpoint.name, "set": images.fingerprint(), "flip": flip}
    conditions = read_conditions(folder / CONDITIONS, len(images))
    if conditions:
        facts["conditions"] = sha256(folder / CONDITIONS)
    before = load_unseen(run, name)
    if before is not None and before.facts == facts:
        return before
    net, devices = open_checkpoint(checkpoint, contexts)
    embeddings = embed_images(net, images, devices, flip=flip, quiet=False, what=name)
    known = [load_verification(path) for path in sorted((run / "verification").glob("*.npz"))]
    return save_unseen(run, name, facts, embeddings, images.labels, known, conditions)

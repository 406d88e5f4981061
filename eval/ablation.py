"""Table 2: every loss of recipes/losses.py with several seeds, and one table beside the paper's.

    arcface-gluon eval ablation [--data orl | synthetic | casia | FOLDER] [--recipe R] [--seeds N] [--losses a,b …]
                                [--jobs J] [name=value …]

`--data orl` (the default) takes the recipe orl, made short; synthetic its own; casia the recipe casia_r50, the paper's
setting. A loss may have settings of its own, as a further row: --losses arcface,arcface+head.scale=64. Runs go to
runs/ablation-<data>/seed-<k>/<loss>. What is finished is not done again, what was interrupted is resumed, and the table
is written anew after every run: ablation.md, ablation.csv and ablation.html beside the runs.

Where labelled images of unseen people lie beside the training records (unseen…/train.rec, as for orl and synthetic),
every run is measured on all their pairs (`arcface-gluon eval unseen`): accuracy and TAR at FARs with 95 % intervals
over seeds and people, differences to ArcFace over the same seeds and people, how many pairs of losses are resolved and
stand in the paper's order, and a figure.
"""

from __future__ import annotations

import platform
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Sequence

from arcface_gluon.eval import runs

from arcface_gluon import recipe
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import add_overrides, overrides
from arcface_gluon.data.places import find_data, find_unseen
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import read_json
from arcface_gluon.losses import build_head
from arcface_gluon.report.ablation import run_place, write_ablation
from arcface_gluon.report.unseen import unseen_names
from arcface_gluon.run_layout import SUMMARY
from arcface_gluon.runtime import import_mxnet, physical_cores

if TYPE_CHECKING:
    from easydict import EasyDict

RECIPES = {"orl": "orl", "synthetic": "synthetic", "casia": "casia_r50"}
# ORL: two fifths of the recipe's schedule, so that all rows with three seeds end in under an hour on two cores.
SHORT = {"orl": ["train.iterations=360", "train.lr_steps=224,316", "train.validate_every=360"]}

EXAMPLE = "arcface-gluon eval ablation --data orl --seeds 1 --losses arcface,cosface"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval ablation", __doc__, EXAMPLE)
    add_overrides(parser)
    parser.add_argument("--data", help="orl, synthetic, casia, or a folder with train.rec (--recipe's, else orl)")
    parser.add_argument("--recipe", help="recipe of every run (default: by --data)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each loss (default 3)")
    parser.add_argument(
        "--losses", help="names, separated by commas, each with +name=value for own settings (every row of the paper)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, which share the cores (1)")
    parser.add_argument("--out", type=Path, help="folder of the runs (default runs/ablation-<data>)")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "ablation", *(arguments or [])])
    losses = chosen_losses(args.losses)
    data = args.data or (recipe.resolve(args.recipe).data.path if args.recipe else "orl")
    name = Path(data).name
    folder = args.out or Path("runs") / f"ablation-{name}"
    base = args.recipe or RECIPES.get(name, "orl")
    if args.jobs < 1 or args.seeds < 1:
        raise UserError(f"--jobs={args.jobs} and --seeds={args.seeds} must be 1 or more")
    settings = [f"data.path={data}", f"run.folder={folder}", *SHORT.get(name, []), *overrides(args)]
    jobs = [prepare(base, settings, folder, seed, loss) for seed in range(args.seeds) for loss in losses]
    scale, failures = recipe.resolve(base, settings).head.scale, []

    def write() -> list[str]:
        return write_ablation(folder, losses, facts(folder, base, scale, args.seeds, failures, command))

    todo = [job for job in jobs if not finished(job)]
    began = time.perf_counter()
    with ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(train, base, job, args.jobs): job for job in todo}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                job, status = running[future], future.result()
                if status != 0:
                    failures.append(f"{job.loss}, seed {job.seed}")
                    reason = reason_of(job)
                    if status == 2 and done == 1 and not job.place.exists():
                        raise UserError(reason)  # no data, or a wrong setting: the others would not begin either
                    print(f"{job.loss}, seed {job.seed}: FAILED with status {status}: {reason}", flush=True)
                left = (len(todo) - done) * (time.perf_counter() - began) / done
                print(f"[{done}/{len(todo)}] {job.loss}, seed {job.seed}; about {left / 60:.0f} min left", flush=True)
                write()
        except BaseException:
            for future in running:
                future.cancel()
            raise
    agreements = write()
    print(f"{folder / 'ablation.md'}", *agreements, sep="\n")
    return 1 if failures else 0


def chosen_losses(names: str | None) -> dict[str, dict]:
    """{row: entry}: those asked for, or all that have a row in the paper; "name+a=1+b=2" is a row of its own."""
    known = recipe.losses()
    if names is None:
        return {name: entry for name, entry in known.items() if entry["paper"]}
    chosen = {}
    for row in re.split(r",(?![^\[]*\])", names):  # not at commas in [1,2]
        name, *settings = row.split("+")
        if name not in known:
            raise UserError(f"unknown loss {name!r}{did_you_mean(name, known)} (`arcface-gluon losses` lists them)")
        chosen[row] = {**known[name], "paper": {}} if settings else known[name]
    return chosen


@dataclass(frozen=True)
class Job:
    """One run: row of the table, seed, folder, overrides, and the recipe that these give."""

    loss: str
    seed: int
    place: Path
    wanted: list[str]
    values: EasyDict


def prepare(base: str, settings: list[str], folder: Path, seed: int, loss: str) -> Job:
    """The run of a loss and a seed, whose head can be built with the settings of all.

    Raises:
        UserError: it cannot; the loss is named.
    """
    place = run_place(folder, loss, seed)
    name, *own = loss.split("+")
    # Settings given by hand come last, and win over the loss's; a row's own over these.
    wanted = [f"loss={name}", f"seed={seed}", *settings, *own, f"run.folder={place.parent}", f"run.name={loss}"]
    try:
        values = recipe.resolve(base, wanted)
        build_head(values.head, 2, values.network.embedding_size, [import_mxnet().cpu()])
    except UserError as error:
        raise UserError(f"loss {loss}: {error}") from error
    return Job(loss, seed, place, wanted, values)


def finished(job: Job) -> bool:
    """Whether a run is trained and measured; see `runs.finished`."""
    return runs.finished(job.place, job.values) and set(unseen_names(job.place)) >= set(unseen_sets(job))


def unseen_sets(job: Job) -> Mapping[str, Path]:
    """{name: folder} of the sets of unseen people that a run is measured on; none where its data are not there."""
    try:
        return find_unseen(find_data(job.values.data.path))
    except UserError:
        return {}  # the run itself says so


def train(base: str, job: Job, jobs: int) -> int:
    """One run and its measurements; the exit status."""
    measure = [["eval", "unseen", str(job.place)]] if unseen_sets(job) else []
    threads = {"OMP_NUM_THREADS": str(max(1, physical_cores() // jobs))} if jobs > 1 else {}
    return runs.train(base, job.wanted, job.place, measure, threads)


def reason_of(job: Job) -> str:
    """Why a run failed, as its log says in the end."""
    *_, reason = runs.log_of(job.place).read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
    return reason.partition("arcface-gluon: ")[2] or reason


def facts(folder: Path, base: str, scale: str, seeds: int, failures: Sequence[str], command: str) -> list[str]:
    """What the table must say about itself."""
    summaries = [read_json(path) for path in folder.glob(f"seed-*/*/{SUMMARY}")]
    if not summaries:
        return ["No run has ended yet."]
    dates = sorted({summary["date"] for summary in summaries})
    data = summaries[0]["data"]
    seconds = sum(summary["seconds"] for summary in summaries)
    lines = [
        f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))} by `{command}`: recipe {base}, s = {scale:g}, "
        f"{data['images']:,} images of {data['identities']:,} identities, {summaries[0]['iterations']:,} iterations, "
        f"seeds 0 to {seeds - 1}; {len(summaries)} runs, {seconds / 60:.1f} minutes of training on "
        f"{', '.join(summaries[0]['environment']['devices'])} ({platform.machine()})."
    ]
    if failures:
        lines.append(f"Failed: {'; '.join(failures)} (see the .log files beside the runs).")
    return lines

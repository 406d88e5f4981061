"""Table 2: every loss of recipes/losses.py with several seeds, and one table beside the paper's.

    arcface-gluon eval ablation [--data orl | synthetic | casia | FOLDER] [--recipe R] [--seeds N] [--losses a,b …]
                                [--jobs J] [--docs PAGE] [name=value …]

`--data orl` (the default) takes the recipe orl, made short; synthetic its own; casia the recipe casia_r50, the paper's
setting. A loss may have settings of its own, as a further row: --losses arcface,arcface+head.scale=64. Runs go to
runs/ablation-<data>/seed-<k>/<loss>. What is finished is not done again, what was interrupted is resumed, and the table
is written anew after every run: ablation.md, ablation.csv and ablation.html beside the runs. It holds every run of
these losses that is there, of further seeds too. --docs docs/ablation-synthetic.md puts it into that page in the end.

Where labelled images of unseen people lie beside the training records (unseen…/train.rec, as for orl and synthetic),
every run is measured on all their pairs (`arcface-gluon eval unseen`): accuracy and TAR at FARs with 95 % intervals
over seeds and people, differences to ArcFace over the same seeds and people, how many pairs of losses are resolved and
stand in the paper's order, and a figure.
"""

from __future__ import annotations

import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Mapping, Sequence

from arcface_gluon.eval import runs

from arcface_gluon import recipe
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import add_overrides, overrides
from arcface_gluon.data.images.sources import RecordImages
from arcface_gluon.data.places import find_data, find_unseen
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import read_json
from arcface_gluon.report.measured_page import around_measured
from arcface_gluon.run_layout import SUMMARY, is_finished, run_place, runs_of
from arcface_gluon.runtime import import_mxnet, physical_cores

if TYPE_CHECKING:
    from easydict import EasyDict

RECIPES = {"orl": "orl", "synthetic": "synthetic", "casia": "casia_r50"}
# Where it is not the recipe's. ORL: two fifths of it, so that all rows with three seeds end in under an hour on two
# cores. Many identities of few images: twice as long, or the losses are not trained out.
SCHEDULES = {
    "orl": ["train.iterations=360", "train.lr_steps=224,316", "train.validate_every=360"],
    "synthetic-face-like": [
        *("train.iterations=900", "train.lr_steps=562,788"),
        *("train.validate_every=900", "train.checkpoint_every=900"),
    ],
}

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
    parser.add_argument("--docs", type=Path, help="page whose measured part is to be what ablation.md has in the end")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "ablation", *(arguments or [])])
    losses = chosen_losses(args.losses)
    data = args.data or (recipe.resolve(args.recipe).data.path if args.recipe else "orl")
    name = Path(data).name
    folder = args.out or runs_on(data)
    base = args.recipe or RECIPES.get(name, "orl")
    if args.jobs < 1 or args.seeds < 1:
        raise UserError(f"--jobs={args.jobs} and --seeds={args.seeds} must be 1 or more")
    if args.docs is not None:
        around_measured(args.docs)
    settings = [*settings_on(data), *overrides(args)]
    jobs = prepare_all(base, settings, folder, args.seeds, losses)
    values, failures = recipe.resolve(base, settings), []

    def write(docs: Path | None = None) -> list[str]:
        from arcface_gluon.report.ablation import write_ablation

        return write_ablation(folder, losses, facts(folder, losses, values, failures), command, docs)

    for failure in train_all(base, jobs, args.jobs):
        failures += [failure] if failure else []
        write()
    agreements = write(args.docs)
    print(f"{folder / 'ablation.md'}", *agreements, sep="\n")
    return 1 if failures else 0


def runs_on(data: str, root: Path = Path("runs")) -> Path:
    """Folder of the runs on a training set."""
    return root / f"ablation-{Path(data).name}"


def settings_on(data: str) -> list[str]:
    """Overrides of every run on a training set."""
    return [f"data.path={data}", *SCHEDULES.get(Path(data).name, [])]


def prepare_all(base: str, settings: Sequence[str], folder: Path, seeds: int, losses: Mapping[str, dict]) -> list[Job]:
    """The runs of losses and seeds with a recipe and overrides; see `prepare`."""
    return [prepare(base, settings, folder, seed, loss) for seed in range(seeds) for loss in losses]


def train_all(base: str, jobs: Sequence[Job], at_once: int) -> Iterator[str | None]:
    """Train and measure the runs that are not finished, and say how far it is; after each, what failed, or None.

    Raises:
        UserError: the first cannot begin, for want of data or a wrong setting, and nor would the others.
    """
    todo = [job for job in jobs if not finished(job)]
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(train, base, job, at_once): job for job in todo}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                job, status, failure = running[future], future.result(), None
                if status != 0:
                    failure, reason = f"{job.loss}, seed {job.seed}", reason_of(job)
                    if status == 2 and done == 1 and not job.place.exists():
                        raise UserError(reason)
                    print(f"{job.loss}, seed {job.seed}: FAILED with status {status}: {reason}", flush=True)
                left = (len(todo) - done) * (time.perf_counter() - began) / done
                print(f"[{done}/{len(todo)}] {job.loss}, seed {job.seed}; about {left / 60:.0f} min left", flush=True)
                yield failure
        except BaseException:
            for future in running:
                future.cancel()
            raise


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


def prepare(base: str, settings: Sequence[str], folder: Path, seed: int, loss: str) -> Job:
    """The run of a loss and a seed, whose head can be built with the settings of all.

    Raises:
        UserError: it cannot; the loss is named.
    """
    from arcface_gluon.losses import build_head

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
    """Whether a run is trained (see `runs.finished`), and measured on the unseen people that are there now."""
    return runs.finished(job.place, job.values) and all(
        _measured_on(job.place, name) == _fingerprint(folder / "train.rec") for name, folder in unseen_sets(job).items()
    )


def _measured_on(run, name):
    from arcface_gluon.report.unseen import load_unseen

    found = load_unseen(run, name)
    return None if found is None else found.facts.get("set")


@lru_cache(maxsize=None)
def _fingerprint(records):
    return RecordImages(records).fingerprint()


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


def facts(folder: Path, losses: Mapping[str, dict], values: EasyDict, failures: Sequence[str]) -> list[str]:
    """What the table must say about itself: of the runs that are in it, and the recipe that they share."""
    found = [(seed, run) for loss in losses for seed, run in runs_of(folder, loss).items() if is_finished(run)]
    if not found:
        return ["No run has ended yet."]
    summaries = [read_json(run / SUMMARY) for _, run in found]
    seeds = sorted({seed for seed, _ in found})
    dates = sorted({summary["date"] for summary in summaries})
    data, minutes = summaries[0]["data"], sum(summary["seconds"] for summary in summaries) / 60
    environments = dict.fromkeys(environment_of(summary["environment"]) for summary in summaries)
    lines = [
        f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}: s = {values.head.scale:g}, {data['images']:,} "
        f"images of {data['identities']:,} identities, {values.train.iterations:,} iterations, seeds "
        f"{', '.join(map(str, seeds))}; {len(summaries)} runs, {minutes:.1f} minutes of training on "
        f"{'; '.join(environments)}.",
    ]
    if failures:
        lines.append(f"Failed: {'; '.join(failures)} (see the .log files beside the runs).")
    return lines


def environment_of(environment: Mapping) -> str:
    """What of a machine and its settings changes the bits of a run."""
    devices, threads = ", ".join(environment["devices"]), environment["OMP_NUM_THREADS"]
    return f"{devices} of {environment['processor']} with {threads} thread{'s' * (threads != '1')}"

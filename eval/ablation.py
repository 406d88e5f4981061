"""Table 2: every loss of recipes/losses.py with several seeds, and one table beside the paper's.

    arcface-gluon eval ablation [--data orl | casia | FOLDER] [--recipe R] [--seeds N] [--losses a,b …] [name=value …]

`--data orl` (the default) takes the recipe orl, made short; `--data casia` the recipe casia_r50, the paper's setting.
Runs go to runs/ablation-<data>/seed-<k>/<loss>. What is finished is not done again, what was interrupted is resumed,
and the table is written anew after every run: ablation.md, ablation.csv and ablation.html beside the runs.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from arcface_gluon import recipe
from arcface_gluon.cli.options import add_overrides, overrides
from arcface_gluon.errors import UserError, did_you_mean
from arcface_gluon.files import read_json
from arcface_gluon.losses import build_head
from arcface_gluon.report.ablation import run_place, write_ablation
from arcface_gluon.run_layout import RECIPE, SUMMARY, checkpoint_folders
from arcface_gluon.runtime import import_mxnet

if TYPE_CHECKING:
    from easydict import EasyDict

RECIPES = {"orl": "orl", "casia": "casia_r50"}
# ORL: two fifths of the recipe's schedule, so that all rows with three seeds end in under an hour on two cores.
SHORT = {"orl": ["train.iterations=360", "train.lr_steps=224,316", "train.validate_every=360"]}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="arcface-gluon eval ablation", description=__doc__.splitlines()[0])
    add_overrides(parser)
    parser.add_argument("--data", default="orl", help="orl, casia, or a folder with train.rec (default orl)")
    parser.add_argument("--recipe", help="recipe of every run (default: by --data)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each loss (default 3)")
    parser.add_argument("--losses", help="names, separated by commas (default: every row of the paper)")
    parser.add_argument("--out", type=Path, help="folder of the runs (default runs/ablation-<data>)")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "ablation", *(arguments or [])])
    losses = chosen_losses(args.losses)
    name = Path(args.data).name
    folder = args.out or Path("runs") / f"ablation-{name}"
    base = args.recipe or RECIPES.get(name, "orl")
    settings = [f"data.path={args.data}", f"run.folder={folder}", *SHORT.get(name, []), *overrides(args)]
    jobs = [prepare(base, settings, folder, seed, loss) for seed in range(args.seeds) for loss in losses]
    began, failures, done = time.perf_counter(), [], 0
    for number, (seed, loss, place, wanted, values) in enumerate(jobs, start=1):
        if not finished(place, values):
            print(f"[{number}/{len(jobs)}] {loss}, seed {seed}", flush=True)
            status = train(base, wanted, place)
            done += 1
            left = (len(jobs) - number) * (time.perf_counter() - began) / done
            if status != 0:
                failures.append(f"{loss}, seed {seed}")
                *_, reason = log_of(place).read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
                reason = reason.partition("arcface-gluon: ")[2] or reason
                if status == 2 and done == 1 and not place.exists():
                    raise UserError(reason)  # no data, or a wrong setting: the others would not begin either
                print(f"    FAILED with status {status}: {reason}", flush=True)
            print(f"    about {left / 60:.0f} min left", flush=True)
        scale = recipe.resolve(base, settings).head.scale
        agreements = write_ablation(folder, losses, facts(folder, base, scale, args.seeds, failures, command))
    print(f"{folder / 'ablation.md'}", *agreements, sep="\n")
    return 1 if failures else 0


def chosen_losses(names: str | None) -> dict[str, dict]:
    """{name: entry}: those asked for, or all that have a row in the paper."""
    known = recipe.losses()
    if names is None:
        return {name: entry for name, entry in known.items() if entry["paper"]}
    for name in names.split(","):
        if name not in known:
            raise UserError(f"unknown loss {name!r}{did_you_mean(name, known)} (`arcface-gluon losses` lists them)")
    return {name: known[name] for name in names.split(",")}


def prepare(base: str, settings: list[str], folder: Path, seed: int, loss: str) -> tuple:
    """(seed, loss, folder, overrides, recipe) of a job, whose loss can be built with the settings of all.

    Raises:
        UserError: it cannot; the loss is named.
    """
    place = run_place(folder, loss, seed)
    # Settings given by hand come last, and win over the loss's.
    wanted = [f"loss={loss}", f"seed={seed}", *settings, f"run.folder={place.parent}", f"run.name={loss}"]
    try:
        values = recipe.resolve(base, wanted)
        build_head(values.head, 2, values.network.embedding_size, [import_mxnet().cpu()])
    except UserError as error:
        raise UserError(f"loss {loss}: {error}") from error
    return seed, loss, place, wanted, values


def finished(place: Path, wanted: EasyDict) -> bool:
    """Whether a run is done. One with other settings is refused, so that a table never mixes two."""
    if (place / RECIPE).is_file():
        found = recipe.flatten(recipe.resolve(place / RECIPE))
        for key, value in recipe.flatten(wanted).items():
            if found[key] != value:
                raise UserError(
                    f"{place} was trained with {key}={found[key]!r}, not {value!r}; move {place.parents[1]} away, "
                    "or choose another folder with --out"
                )
    return (place / SUMMARY).is_file()


def train(base: str, wanted: Sequence[str], place: Path) -> int:
    """One run in a process of its own, which gives its memory back; its exit status."""
    command = [sys.executable, "-m", "arcface_gluon", "train", base, *wanted]
    if checkpoint_folders(place):
        command.append("--resume")
    elif place.exists():
        place.rename(place.with_name(f".{place.name}-{time.time_ns()}"))  # stopped before its first checkpoint
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(log_of(place), "ab") as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if status in (130, 143, -2, -15):
        raise KeyboardInterrupt
    return status


def log_of(place: Path) -> Path:
    """What a run printed."""
    return place.parent / f"{place.name}.log"


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

"""`arcface-gluon train RECIPE`: records → training → checkpoints → verification → report."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from .. import __version__, blas, recipe
from ..data.places import find_data, open_validation
from ..errors import UserError
from ..files import read_json, write_json
from ..progress import write_line
from ..run_layout import RECIPE, STATE, SUMMARY, checkpoint_folder, checkpoint_folders, is_finished
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet, processor
from ..training.run_folder import AUTO, MUST, owned_run, run_to_resume
from .launch import add_launch_options, run_processes, several
from .memory import MemoryAdvice
from .options import add_overrides, overrides

if TYPE_CHECKING:
    import mxnet as mx
    from easydict import EasyDict

    from ..training.trainer import Trainer

EXAMPLE = "arcface-gluon train casia_r50 data.path=/data/faces_webface loss=cosface train.batch_size=256"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", help="a name of recipes/, or a .py or recipe.json file")
    add_overrides(parser)
    resume = parser.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume", action="store_const", const=MUST, help="go on from the last checkpoint of the recipe's last run"
    )
    resume.add_argument(
        "--auto-resume",
        action="store_const",
        const=AUTO,
        dest="resume",
        help="the same where that run has a checkpoint; else begin, in its folder where there is one",
    )
    parser.add_argument("--json", metavar="FILE", help="write summary.json there too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_launch_options(parser)


def run(args: Namespace) -> int:
    values = recipe.resolve(args.recipe, overrides(args))
    # What is missing is told before MXNet is loaded.
    if args.resume == MUST:
        run_to_resume(Path(values.run.folder), values.run.name)
    elif args.resume is None:
        find_data(values.data.path)
    if several(args):
        return run_processes(args, values.run)
    import_mxnet()
    from ..parallel.processes import join, loss_told

    asked, reason = values.train.dtype, choose_precision(values)
    processes = join()
    if asked == "auto":
        write_line(f"train.dtype=auto is {values.train.dtype}: {reason}", quiet=processes.rank > 0)
    with loss_told(processes, lambda: "outside of the iterations; --resume goes on from a checkpoint, if there is one"):
        _run_as_one_of(processes, args, values, reason)
    return 0


def _run_as_one_of(processes, args, values, reason):
    root, name, before = Path(values.run.folder), values.run.name, None
    processes.must_agree(json.dumps(values), "recipe")
    found = environment([])
    for package in ("arcface-gluon", "mxnet", "numpy"):
        processes.must_agree(found[package], f"version of {package}")
    with owned_run(root, name, args.resume, processes) as folder:
        if args.resume == MUST or (args.resume == AUTO and processes.any(bool(checkpoint_folders(folder)))):
            before, values = own_recipe(folder, values.run, overrides(args))
            reason = choose_precision(values)
        _train(args, values, before, reason, find_data(values.data.path), folder, processes)


def choose_precision(values: EasyDict) -> str:
    """Put what train.dtype=auto comes to in its place, as the run goes on; gives the reason."""
    from ..models.precision import training_precision
    from ..training.build import network_of

    devices = devices_of(values.train.contexts)
    values.train.dtype, reason = training_precision(values.train.dtype, devices, network_of(values))
    return reason


def own_recipe(folder: Path, place: dict, changed: list[str]) -> tuple:
    """What a run goes on with: its own recipe, and that with the overrides of this call.

    Args:
        place: the `run` group that leads to the folder now.
        changed: overrides.

    Raises:
        UserError: its recipe.json is missing or damaged.
    """
    path = folder / RECIPE
    before, values = recipe.resolve(path), recipe.resolve(path, changed)
    before.run, values.run = place, place
    return before, values


def _train(args, values, before, reason, data_folder, folder, processes):
    from ..protocols.verification import accuracy_text
    from ..report.run_report import write_report
    from ..training.build import build_trainer
    from ..training.initial import begin

    say = print if processes.rank == 0 else lambda text: None
    validation = open_validation(values.data.validation, data_folder)
    validator = _validator(folder, args.quiet or processes.rank > 0, processes)
    trainer = build_trainer(values, data_folder, folder, validation, validator, args.quiet, processes)
    records = trainer.batches.records
    advice = MemoryAdvice(values, records.num_identities, trainer.contexts, processes.size)
    if processes.rank == 0 and (warning := advice.warning()):
        write_line(warning)
    if before:
        for damaged in trainer.resume():
            say(f"{damaged}: the checkpoint before it is taken, and this one is kept as *.damaged")
        say(f"resuming {folder} after iteration {trainer.iteration}, saved {_saved(folder, trainer.iteration)}")
        for line in recipe.changes(before, values):
            say(f"changed since: {line}")
    else:
        for line in begin(trainer, values.train):
            say(line)
    finished = bool(before) and trainer.iteration >= values.train.iterations and _summed_up(folder, trainer.iteration)
    if finished:
        say(
            "nothing is left to train: the run was finished. More train.iterations go on with it; without --resume, "
            "--auto-resume or RESUME a new one begins"
        )
    elif processes.rank == 0:
        write_json(folder / RECIPE, values, sealed=True)
    devices = (
        f"{processes.size} processes with {len(trainer.contexts)} devices each"
        if processes.size > 1
        else ", ".join(map(str, trainer.contexts))
    )
    say(
        f"training {values.run.name} on {devices}: {len(records)} images of {records.num_identities} identities, "
        f"run in {folder}"
    )
    began, start = time.perf_counter(), trainer.iteration
    with advice:
        trainer.train()
        skipped = int(processes.total(trainer.batches.skipped))
    if processes.rank == 0:
        summary = read_json(folder / SUMMARY) if finished else summarise(values, reason, data_folder, trainer, skipped)
        if not finished:
            write_json(folder / SUMMARY, summary, sealed=True)
        if args.json:
            write_json(args.json, summary, sealed=True)
        report = write_report(folder)
        for name, result in trainer.verification.items():
            say(f"{name}: {accuracy_text(result)}")
        say(
            f"{trainer.iteration - start} iterations in {time.perf_counter() - began:.0f} s, "
            f"{summary['images_per_second']:.1f} images/s, peak memory {summary['peak_memory_mib']:.0f} MiB"
        )
        say(f"report: {report}")


def _saved(folder, iteration):
    """When a checkpoint was written: it tells which run this is, of several of one name."""
    written = (checkpoint_folder(folder, iteration) / STATE).stat().st_mtime
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(written))


def _summed_up(folder, iteration):
    """Whether a run has a summary of so many iterations."""
    with suppress(UserError, KeyError, TypeError):  # a damaged one is written again
        return is_finished(folder) and read_json(folder / SUMMARY)["iterations"] == iteration
    return False


def summarise(
    values: EasyDict, reason: str, data_folder: str | os.PathLike[str], trainer: Trainer, skipped: int
) -> dict:
    """summary.json of a run that has ended: `reason` of its dtype, `skipped` records of all its processes."""
    records = trainer.batches.records
    return {
        "recipe": values.run.name,
        "seed": values.seed,
        "iterations": trainer.iteration,
        "dtype": values.train.dtype,
        "dtype_because": reason,
        "images_per_second": round(trainer.iteration * values.train.batch_size / max(trainer.seconds, 1e-9), 3),
        "seconds": round(trainer.seconds, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "skipped_records": skipped,
        "verification": trainer.verification,
        "best": trainer.best,
        "data": {"path": str(data_folder), "images": len(records), "identities": records.num_identities},
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(trainer.contexts),
    }


def environment(devices: Sequence[mx.Context]) -> dict:
    """What a result depends on besides the recipe: a seed gives the same numbers only where all of this is the same."""
    import mxnet as mx
    import numpy as np

    return {
        "arcface-gluon": __version__,
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "numpy": np.__version__,
        "numba": version("numba") if find_spec("numba") else None,
        "devices": [str(device) for device in devices],
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "processor": processor(),
        "kernels": {
            "oneDNN": blas.onednn_instructions(),
            "MXNet's OpenBLAS": blas.mxnet_kernels(),
            "NumPy's OpenBLAS": blas.numpy_kernels(),
        },
    }


def _validator(folder, quiet, processes):
    """What validates a run: 10-fold verification, kept in its folder by the first process for the report."""
    from ..embed import verify_set
    from ..report.verification_store import measures_of, save_verification

    def verify(net, name, one, devices):
        result = verify_set(net, one.images, one.issame, contexts=devices, quiet=quiet, what=name)
        if processes.rank == 0:
            save_verification(folder, name, result, one.images)
        return measures_of(name, result)

    return verify

"""Checkpoints: everything a run needs to go on exactly as if it had never stopped.

`run_layout` says which files there are. A validation comes after a checkpoint; its result is added to its state.json,
and nothing else is touched.
"""

from __future__ import annotations

import os
import shutil
from itertools import chain
from pathlib import Path

import mxnet as mx

from ..errors import UserError
from ..files import cannot_write, read_json, sha256, sync_folder, write_json
from ..losses.interfaces import Head
from ..models import write_params
from ..parallel.processes import Processes
from ..run_layout import BEST, STATE, checkpoint_folder, checkpoint_folders, is_head_file, partial_of

# What `Trainer.restore` reads; checkpoints of earlier versions lack some of the second.
_REQUIRED = {"sha256", "iteration", "seconds", "num_classes", "devices", "first_loss", "verification", "best"}
_OPTIONAL = {"head", "validated", "without_gain"}


class DamagedCheckpoint(UserError):
    """A file of a checkpoint is missing or was changed (it is named)."""


def save_checkpoint(
    run_folder: str | os.PathLike[str],
    iteration: int,
    arrays: dict,
    documents: dict,
    keep: int,
    best: int | None = None,
    processes: Processes | None = None,
) -> Path:
    """Write a checkpoint and drop those that are neither among the last `keep` nor the best; gives its folder.

    Args:
        arrays: file name → {key: array}; each process writes those it is given.
        documents: file name → JSON-able value; must hold state.json, which gets the checksums. Process 0 writes them.
        best: iteration of the best checkpoint so far, or None.

    Raises:
        UserError: it cannot be written; earlier checkpoints stay as they are.
    """
    processes = processes or Processes()
    final = checkpoint_folder(run_folder, iteration)
    partial = partial_of(final)
    try:
        if processes.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        processes.barrier()
        for name, values in arrays.items():
            write_params(partial / name, values)
        processes.barrier()
        if processes.rank == 0:
            _publish(partial, final, documents)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = error.__cause__ if isinstance(error, UserError) else error
        if isinstance(reason, OSError):
            raise cannot_write(final, reason) from error
        raise
    if processes.rank == 0:
        for old in checkpoint_folders(run_folder)[:-keep]:
            if int(old.name) != best:
                _remove(old)
    return final


def _publish(partial, final, documents):
    """Add documents and checksums to a folder of arrays, and give it its final name."""
    for name, value in documents.items():
        if name != STATE:
            write_json(partial / name, value)
    checksums = {path.name: sha256(path) for path in sorted(partial.iterdir())}
    write_json(partial / STATE, {**documents[STATE], "sha256": checksums}, sealed=True)
    if final.exists():
        _remove(final)
    os.replace(partial, final)
    sync_folder(final.parent)


def _remove(folder):
    """Remove a checkpoint, so that a kill meanwhile leaves no half of it under its name."""
    leaving = partial_of(folder, ".old")
    os.replace(folder, leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def record_validation(folder: Path, changes: dict) -> None:
    """Add the result of a validation to the state of a checkpoint, and say in best.json which one is the best.

    Raises:
        UserError: it cannot be written; the checkpoint stays as it is.
    """
    state = read_json(folder / STATE)
    if changes["best"]:
        write_json(folder.parent / BEST, {"iteration": changes["best"]["iteration"]})
    write_json(folder / STATE, {**state, **changes}, sealed=True)  # last: after a kill before it, all is done again


def load_checkpoint(folder: str | os.PathLike[str]) -> tuple[dict, dict]:
    """Read a checkpoint after verifying its checksums.

    Returns:
        (arrays, state): file name → {key: NDArray on cpu(0)}; the content of state.json.

    Raises:
        DamagedCheckpoint: a file is missing or damaged (named).
    """
    folder = Path(folder)
    try:
        state = read_json(folder / STATE)
    except UserError as error:
        raise DamagedCheckpoint(f"checkpoint file {folder / STATE} is damaged or missing") from error
    # A flipped bit in the name of the checksum's entry makes it an entry that is not known.
    if not isinstance(state, dict) or _REQUIRED.difference(state) or set(state).difference(_REQUIRED, _OPTIONAL):
        raise DamagedCheckpoint(f"checkpoint file {folder / STATE} is damaged: it is not what a training writes")
    for name, expected in state["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpoint(f"checkpoint file {path} is missing")
        if sha256(path) != expected:
            raise DamagedCheckpoint(f"checkpoint file {path} is damaged")
    return {name: mx.nd.load(str(folder / name)) for name in state["sha256"] if name.endswith(".params")}, state


def load_last(
    run_folder: str | os.PathLike[str], processes: Processes | None = None
) -> tuple[Path, dict, dict, list[str]]:
    """Read the last whole checkpoint of a run. Damaged ones after it are renamed (00000200.damaged).

    Returns:
        (folder, arrays, state, damaged): the checkpoint as `load_checkpoint` gives it, and a line for each damaged one.

    Raises:
        UserError: there is none, or none is whole.
    """
    processes = processes or Processes()
    damaged, found = {}, None
    for folder in reversed(checkpoint_folders(run_folder)):
        try:
            found = (folder, *load_checkpoint(folder))
            break
        except DamagedCheckpoint as error:
            damaged[folder] = str(error)
    processes.must_agree(str(found and found[0]), "last whole checkpoint")
    if found is None and damaged:
        raise UserError(
            f"{run_folder} has no whole checkpoint to resume from: {'; '.join(damaged.values())}; "
            "put back the files, or run without RESUME (--resume) to start a new run"
        )
    if found is None:
        raise UserError(
            f"{run_folder} has no checkpoint to resume from; remove it to resume an earlier run, "
            "or run without RESUME (--resume) to start a new one"
        )
    if processes.rank == 0:
        for folder in damaged:
            aside = folder.with_name(f"{folder.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(folder, aside)
    return (*found, list(damaged.values()))


def refuse_other_loss(folder: Path, arrays: dict, state: dict, head: Head) -> None:
    """Refuse a checkpoint (as `load_checkpoint` gives it) whose centres are not those of a head.

    Raises:
        UserError: of other identities, or of another kind of loss.
    """
    cure = f"start a new run from its backbone with run.name= and train.init={folder}"
    if state["num_classes"] != head.num_classes:
        raise UserError(
            f"{folder} was trained on {state['num_classes']} identities, this data has {head.num_classes}; "
            f"give the data it was trained on, or {cure}"
        )
    layout: dict = {}
    for name, array in chain.from_iterable(v.items() for n, v in arrays.items() if is_head_file(n)):
        layout[name] = (layout.get(name, (0,))[0] + array.shape[0], array.shape[1])
    if layout != head.layout():
        raise UserError(
            f"{folder} was trained with another kind of loss (its centres are {layout}, not {head.layout()}); "
            f"resume with that loss, or {cure}"
        )

"""Checkpoints: everything a run needs to go on exactly as if it had never stopped.

`run_layout` says which files there are. A validation comes after a checkpoint; its result is added to its state.json,
and nothing else is touched.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import mxnet as mx

from ..errors import UserError
from ..files import cannot_write, read_json, sha256, sync_folder, write_json
from ..losses.interfaces import Head
from ..models import read_params, write_params
from ..parallel.processes import Processes
from ..run_layout import BEST, STATE, checkpoint_folder, checkpoint_folders, is_head_file, partial_of

# What `Trainer.restore` reads; checkpoints of earlier versions lack some of the second.
_REQUIRED = {"sha256", "iteration", "seconds", "num_classes", "devices", "first_loss", "verification", "best"}
_OPTIONAL = {"head", "validated", "without_gain", "loss_scale"}
_WRITERS = 4  # files written at a time


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
        _together(processes, "checkpoint folder", final, lambda: _make(partial), processes.rank == 0)
        own = _together(processes, "checkpoint files", final, lambda: _write(partial, arrays))
        checksums: dict[str, str] = {}
        for text in processes.texts(json.dumps(own), "checksums"):
            checksums.update(json.loads(text))
        # Until it has its name, no process goes on to end, and end the others.
        publish = lambda: _publish(partial, final, documents, checksums)  # noqa: E731
        _together(processes, "checkpoint", final, publish, processes.rank == 0)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if processes.rank == 0:
        for old in checkpoint_folders(run_folder)[:-keep]:
            if int(old.name) != best:
                _remove(old)
    return final


def _together(processes, what, final, work, own=True):
    """What `work` gives, once every process has done its own; the failure of any is raised on all."""
    failure, result = None, None
    try:
        result = work() if own else None
    except UserError as error:
        reason = error.__cause__
        failure = cannot_write(final, reason) if isinstance(reason, OSError) else error
        failure.__cause__ = error
    except OSError as error:
        failure = cannot_write(final, error)
        failure.__cause__ = error
    processes.must_succeed(failure, what)
    return result


def _make(partial):
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)


def _write(partial, arrays):
    """Write this process's files, several at a time; gives {name: SHA-256 of what stands in the file}."""

    def write(name):
        write_params(partial / name, arrays[name])
        return name, sha256(partial / name)

    # Each copies one array at a time to the host; the disk is what they share.
    with ThreadPoolExecutor(_WRITERS) as pool:
        return dict(pool.map(write, arrays))


def _publish(partial, final, documents, checksums):
    """Add documents and checksums to a folder of arrays, and give it its final name."""
    for name, value in documents.items():
        if name != STATE:
            write_json(partial / name, value)
            checksums = {**checksums, name: sha256(partial / name)}
    checksums = dict(sorted(checksums.items()))
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


def load_checkpoint(folder: str | os.PathLike[str], processes: Processes | None = None) -> tuple[dict, dict]:
    """Read a checkpoint after verifying its checksums.

    Args:
        processes: those that read it together: each verifies a part of the files.

    Returns:
        (arrays, state): file name → {key: NDArray on cpu(0)}, the class centres as NumPy arrays that stay in their
            files, of which only the rows that are looked at are read; the content of state.json.

    Raises:
        DamagedCheckpoint: a file is missing or damaged (named); on all processes, whichever has found it.
    """
    folder, processes = Path(folder), processes or Processes()
    failure, state = None, {}
    try:
        state = _read_state(folder)
        for name in sorted(state["sha256"])[processes.rank :: processes.size]:
            _verify(folder / name, state["sha256"][name])
    except DamagedCheckpoint as error:
        failure = error
    try:
        processes.must_succeed(failure, "damage")
    except UserError as error:
        raise DamagedCheckpoint(str(error)) from failure
    names = [name for name in state["sha256"] if name.endswith(".params")]
    return {name: _arrays(folder / name) for name in names}, state


def _arrays(path):
    return read_params(path, mapped=True) if is_head_file(path.name) else mx.nd.load(str(path))


def _read_state(folder):
    try:
        state = read_json(folder / STATE)
    except UserError as error:
        raise DamagedCheckpoint(f"checkpoint file {folder / STATE} is damaged or missing") from error
    # A flipped bit in the name of the checksum's entry makes it an entry that is not known.
    if not isinstance(state, dict) or _REQUIRED.difference(state) or set(state).difference(_REQUIRED, _OPTIONAL):
        raise DamagedCheckpoint(f"checkpoint file {folder / STATE} is damaged: it is not what a training writes")
    return state


def _verify(path, expected):
    if not path.is_file():
        raise DamagedCheckpoint(f"checkpoint file {path} is missing")
    if sha256(path) != expected:
        raise DamagedCheckpoint(f"checkpoint file {path} is damaged")


def load_last(
    run_folder: str | os.PathLike[str], processes: Processes | None = None
) -> tuple[Path, dict, dict, list[str]]:
    """Read the last whole checkpoint of a run. Damaged ones after it are renamed (00000200.damaged).

    Returns:
        (folder, arrays, state, damaged): the checkpoint as `load_checkpoint` gives it, and a line for each damaged one.

    Raises:
        UserError: there is none, none is whole, or the processes see different ones.
    """
    processes = processes or Processes()
    damaged, found = {}, None
    folders = list(reversed(checkpoint_folders(run_folder)))
    processes.must_agree(" ".join(folder.name for folder in folders), "list of checkpoints")
    for folder in folders:
        try:
            found = (folder, *load_checkpoint(folder, processes))
            break
        except DamagedCheckpoint as error:
            damaged[folder] = str(error)
    if found:
        # With its checksums in it: the same of this is the same of every file.
        processes.must_agree(json.dumps(found[2], sort_keys=True), f"content of checkpoint {found[0].name}")
    if found is None and damaged:
        raise UserError(
            f"{run_folder} has no whole checkpoint to resume from: {'; '.join(damaged.values())}; "
            "put back the files, or run without RESUME (--resume) to start a new run"
        )
    if found is None:
        raise UserError(
            f"{run_folder} has no checkpoint to resume from; begin in it with --auto-resume (RESUME=auto), "
            "or remove it to resume an earlier run"
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
    cure = f"start a new run from its backbone: train.init={folder}, without --resume (RESUME)"
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

"""Checkpoints: everything a run needs to go on exactly as if it had never stopped.

A checkpoint is a folder, `checkpoints/00000200` after 200 iterations, that appears under its name only when whole:

    network.json        how to build the network again (get_model's arguments)
    backbone.params     its parameters, running statistics averaged over the devices: this is the model
    devices-00.params   running statistics of each device (they differ, as in the paper), keys "0:name"
                        (a file a process)
    momentum.params     momentum of the backbone's parameters
    head-00000000.params  one file a shard, named by its first identity: centres and their momentum
    state.json          iteration, training state, and the SHA-256 of every other file
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mxnet as mx

from ..errors import UserError
from ..files import cannot_write, read_json, sha256, write_json
from ..parallel.processes import Processes

STATE = "state.json"
# What `Trainer.load` reads.
_STATE_KEYS = {"sha256", "iteration", "seconds", "num_classes", "devices", "first_loss", "verification", "best"}


def checkpoint_folders(run_folder) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = Path(run_folder) / "checkpoints"
    return sorted(p for p in folder.glob("[0-9]" * 8) if (p / STATE).is_file())


def save_checkpoint(run_folder, iteration: int, arrays: dict, documents: dict, keep: int, best=None, processes=None):
    """Write a checkpoint and drop those that are neither among the last `keep` nor the best.

    Args:
        arrays: file name → {key: NDArray}; each process writes those it is given.
        documents: file name → JSON-able value; must hold state.json, which gets the checksums. Process 0 writes them.
        best: iteration of the best checkpoint so far, or None.

    Raises:
        UserError: it cannot be written; earlier checkpoints stay as they are.
    """
    processes = processes or Processes()
    folder = Path(run_folder) / "checkpoints"
    final, partial = folder / f"{iteration:08d}", folder / f".{iteration:08d}.partial"
    try:
        if processes.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        processes.barrier()
        for name, values in arrays.items():
            mx.nd.save(str(partial / name), values)
            _flush(partial / name)
        processes.barrier()
        if processes.rank == 0:
            _publish(partial, final, documents)
            if best is not None:
                write_json(folder / "best.json", {"iteration": best})
    except (OSError, mx.MXNetError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(final, error) from error
        # MXNet's message is a C++ trace; its first line with words says what failed.
        reason = next((line for line in str(error).splitlines() if "rror" in line and "Traceback" not in line), "")
        raise UserError(f"cannot write {final}: {reason.strip() or 'MXNet failed'}; free some space") from error
    if processes.rank == 0:
        for old in checkpoint_folders(run_folder)[:-keep]:
            if int(old.name) != best:
                shutil.rmtree(old)
    return final


def _publish(partial, final, documents):
    """Add documents and checksums to a folder of arrays, and give it its final name."""
    for name, value in documents.items():
        if name != STATE:
            write_json(partial / name, value)
    checksums = {path.name: sha256(path) for path in sorted(partial.iterdir())}
    write_json(partial / STATE, {**documents[STATE], "sha256": checksums})
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)


def load_checkpoint(folder) -> tuple[dict, dict]:
    """Read a checkpoint after verifying its checksums.

    Returns:
        (arrays, state): file name → {key: NDArray on cpu(0)}; the content of state.json.

    Raises:
        UserError: a file is missing or damaged (named).
    """
    folder = Path(folder)
    try:
        state = read_json(folder / STATE)
    except UserError as error:
        raise UserError(f"{folder / STATE} is damaged; remove {folder} to resume from the one before") from error
    if not isinstance(state, dict) or _STATE_KEYS.difference(state) or not isinstance(state["sha256"], dict):
        raise UserError(f"{folder / STATE} is not a checkpoint's; remove {folder} to resume from the one before")
    checksums = state["sha256"]
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"checkpoint file {path} is missing; remove {folder} to resume from the one before")
        if sha256(path) != expected:
            raise UserError(f"checkpoint file {path} is damaged; remove {folder} to resume from the one before")
    return {name: mx.nd.load(str(folder / name)) for name in checksums if name.endswith(".params")}, state


def _flush(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())

"""Where the files of a run lie, by their names: what writes, resumes, loads and reports a run agree here.

    runs/<name>/recipe.json         the resolved recipe
               metrics.jsonl        a line for each logged iteration and validation
               summary.json         what the finished run came to
               checkpoints/00000200 after 200 iterations; appears under its name only when whole
               checkpoints/best.json  which one validated best

A checkpoint holds:

    network.json        how to build the network again (get_model's arguments)
    backbone.params     its parameters, running statistics averaged over the devices: this is the model; with
                        train.ema, their moving average
    trained.params      with train.ema, the parameters that training goes on with
    devices-00.params   running statistics of each device (they differ, as in the paper), keys "0:name"
                        (a file a process)
    momentum.params     momentum of the backbone's parameters
    head-00000000.params  one file a shard, named by its first identity: centres and their momentum
    state.json          iteration, training state, the SHA-256 of every other file, and a checksum of itself
"""

from __future__ import annotations

import os
from pathlib import Path

RECIPE = "recipe.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
CHECKPOINTS = "checkpoints"

NETWORK = "network.json"
PARAMETERS = "backbone.params"
TRAINED = "trained.params"
MOMENTUM = "momentum.params"
STATE = "state.json"
BEST = "best.json"
_DEVICES, _HEAD = "devices-", "head-"


def run_place(folder: str | os.PathLike[str], loss: str, seed: int) -> Path:
    """Folder of one run of an ablation. Its name is the loss's for all seeds, so that tables average them."""
    return Path(folder) / f"seed-{seed}" / loss


def runs_of(folder: str | os.PathLike[str], loss: str) -> dict[int, Path]:
    """{seed: folder} of the runs of a row of an ablation, seed-<k>/<loss>, by seed."""
    seeds = {path.name[len("seed-") :]: path / loss for path in Path(folder).glob("seed-*")}
    return {int(seed): seeds[seed] for seed in sorted(filter(str.isdigit, seeds), key=int) if seeds[seed].is_dir()}


def is_finished(run: Path) -> bool:
    """Whether a run was trained to its end."""
    return (run / SUMMARY).is_file()


def checkpoint_folder(run: str | os.PathLike[str], iteration: int) -> Path:
    """Where the checkpoint after so many iterations lies."""
    return Path(run) / CHECKPOINTS / f"{iteration:08d}"


def checkpoint_folders(run: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted(path for path in (Path(run) / CHECKPOINTS).glob("[0-9]" * 8) if path.is_dir())


def last_good(run: str | os.PathLike[str], cure: str = "") -> str:
    """Which checkpoint of a run to go on from, and how (`cure`), in a message."""
    saved = checkpoint_folders(run)
    return f"the last good checkpoint is {saved[-1]}{cure}" if saved else "there is no checkpoint yet"


def partial_of(checkpoint: Path, what: str = "") -> Path:
    """Where a checkpoint lies while it is written, or with what=".old" while it is removed."""
    return checkpoint.with_name(f".{checkpoint.name}{what}.partial")


def partial_folders(run: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints that were begun, or about to be removed, when the run was killed."""
    return list((Path(run) / CHECKPOINTS).glob(".*.partial"))


def run_of(checkpoint: Path) -> Path:
    """The folder of the run that a checkpoint belongs to."""
    return (checkpoint if len(checkpoint.parents) > 1 else checkpoint.resolve()).parents[1]


def devices_file(rank: int) -> str:
    """Name of the file with the running statistics of a process's devices."""
    return f"{_DEVICES}{rank:02d}.params"


def is_devices_file(name: str) -> bool:
    """Whether a file of a checkpoint has running statistics of devices."""
    return name.startswith(_DEVICES)


def head_file(first_identity: int) -> str:
    """Name of the file of a shard of the class centres."""
    return f"{_HEAD}{first_identity:08d}.params"


def is_head_file(name: str) -> bool:
    """Whether a file of a checkpoint has a shard of the class centres."""
    return name.startswith(_HEAD)


def first_identity(head_file: str) -> int:
    """The first identity of the shard in a file, by its name."""
    return int(head_file[len(_HEAD) : len(_HEAD) + 8])


def head_files(checkpoint: str | os.PathLike[str]) -> list[Path]:
    """The shards of a checkpoint's class centres, in the order of the identities; none for the Triplet-Loss."""
    return sorted(Path(checkpoint).glob(f"{_HEAD}*.params"))

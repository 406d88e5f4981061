"""Runs that an evaluation takes, and trainings that it asks for: each once, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Mapping, Sequence

from arcface_gluon import recipe
from arcface_gluon.errors import UserError
from arcface_gluon.run_layout import RECIPE, SUMMARY, checkpoint_folders


def last_checkpoint(run: Path) -> Path:
    """Folder of a run's last checkpoint.

    Raises:
        UserError: it has none.
    """
    checkpoints = checkpoint_folders(run)
    if not checkpoints:
        raise UserError(f"{run} has no checkpoint; name a trained run's folder")
    return checkpoints[-1]


def log_of(place: Path) -> Path:
    """What a run printed."""
    return place.parent / f"{place.name}.log"


def finished(place: Path, values: Mapping) -> bool:
    """Whether the run at `place` is trained.

    Raises:
        UserError: it has other settings than the resolved recipe `values`, so that a table never mixes two.
    """
    if (place / RECIPE).is_file():
        found = recipe.flatten(recipe.resolve(place / RECIPE))
        # What changes no result may differ, such as a default of another version.
        indifferent = {"data.threads"}
        if values["train"]["dtype"] != "float16":
            indifferent.add("train.loss_scale")
        for key, value in recipe.flatten(values).items():
            if found[key] != value and key not in indifferent:
                raise UserError(
                    f"{place} was trained with {key}={found[key]!r}, not {value!r}; move {place.parents[1]} away, "
                    "or choose another folder with --out"
                )
    return (place / SUMMARY).is_file()


def train(
    base: str,
    wanted: Sequence[str],
    place: Path,
    then: Sequence[Sequence[str]] = (),
    environment: Mapping[str, str] | None = None,
) -> int:
    """Train a run that is not there yet, or go on with one, in a process that gives its memory back.

    Args:
        base: recipe. wanted: its overrides, which lead to `place`.
        then: further commands of the program, such as measurements.
        environment: variables beside those of this process.

    Returns:
        the exit status of what failed, or 0; what was printed is in the run's log.
    """
    commands = [] if (place / SUMMARY).is_file() else [["train", base, *wanted, "--auto-resume"]]
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(log_of(place), "ab") as log:
        for command in (*commands, *then):
            status = subprocess.run(
                [sys.executable, "-m", "arcface_gluon", *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            ).returncode
            if status in (130, 143, -2, -15):
                raise KeyboardInterrupt
            if status != 0:
                return status
    return 0

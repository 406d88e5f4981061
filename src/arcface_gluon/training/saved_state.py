"""What a checkpoint has of a trainer, and a trainer of a checkpoint."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .. import run_layout
from ..errors import UserError
from ..run_layout import last_good
from .agreement import must_have_equal_weights
from .checkpoint import load_last, refuse_other_loss, save_checkpoint
from .optimizer import all_finite

if TYPE_CHECKING:
    from .trainer import Trainer


def validation_of(trainer: Trainer) -> dict:
    """What a checkpoint says of validations."""
    done = {"verification": trainer.verification, "validated": trainer.validated, "best": trainer.best}
    return {**done, "without_gain": trainer.without_gain}


def save_trainer(trainer: Trainer) -> Path:
    """Write a checkpoint; gives its folder.

    Raises:
        UserError: a parameter is not finite, or not the same on all processes; or the disk is full.
    """
    parameters = trainer.net._collect_params_with_prefix()
    first = {name: p.data(trainer.contexts[0]) for name, p in parameters.items()}
    if not all_finite(list(first.values())):
        raise UserError(
            f"a parameter is no longer finite at iteration {trainer.iteration}; {last_good(trainer.run_folder)}"
        )
    must_have_equal_weights(parameters, trainer.contexts[0], trainer.processes, f"after iteration {trainer.iteration}")
    averages = trainer.statistics.averages()
    arrays = {
        run_layout.devices_file(trainer.processes.rank): {
            f"{i}:{name}": array
            for name, values in trainer.statistics.by_device().items()
            for i, array in enumerate(values, trainer.first_device)
        }
    }
    if trainer.processes.rank == 0:
        weights = {name: averages.get(name, a).astype("float32", copy=False) for name, a in first.items()}
        arrays[run_layout.PARAMETERS] = trainer.average.values if trainer.average else weights
        if trainer.average:
            arrays[run_layout.TRAINED] = weights
        arrays[run_layout.MOMENTUM] = trainer.optimizer.state()
    for start, _, values in trainer.head.shards():
        arrays[run_layout.head_file(start)] = values
    state = {
        "iteration": trainer.iteration,
        "seconds": round(trainer.seconds, 3),
        "num_classes": trainer.head.num_classes,
        "head": trainer.head.state(),
        "devices": trainer.processes.size * len(trainer.contexts),
        "first_loss": trainer.first_loss,
        **validation_of(trainer),
        **({"loss_scale": trainer.loss_scale.state()} if trainer.loss_scale else {}),
    }
    best = trainer.best["iteration"] if trainer.best else None
    documents = {run_layout.NETWORK: trainer.net.spec, run_layout.STATE: state}
    keep = trainer.settings.keep
    return save_checkpoint(trainer.run_folder, trainer.iteration, arrays, documents, keep, best, trainer.processes)


def resume_trainer(trainer: Trainer) -> list[str]:
    """See `Trainer.resume`."""
    trainer.checkpoint, arrays, state, damaged = load_last(trainer.run_folder, trainer.processes)
    folder = trainer.checkpoint
    refuse_other_loss(folder, arrays, state, trainer.head)
    parameters = trainer.net._collect_params_with_prefix()
    saved = arrays.get(run_layout.TRAINED, arrays[run_layout.PARAMETERS])
    for name, parameter in parameters.items():
        if name not in saved or saved[name].shape != parameter.shape:
            found = f"has shape {saved[name].shape}, not {parameter.shape}" if name in saved else "is missing"
            raise UserError(f"{folder} is of another network: {name} {found}; resume with the recipe it was made with")
        parameter.set_data(saved[name].astype(parameter.dtype))
    if state["devices"] == trainer.processes.size * len(trainer.contexts):
        statistics = (values for name, values in arrays.items() if run_layout.is_devices_file(name))
        for key, value in chain.from_iterable(values.items() for values in statistics):
            index, name = key.split(":", 1)
            if 0 <= int(index) - trainer.first_device < len(trainer.contexts):
                value.copyto(parameters[name].data(trainer.contexts[int(index) - trainer.first_device]))
    trainer.optimizer.load_state(arrays[run_layout.MOMENTUM])
    for name, values in arrays.items():
        if run_layout.is_head_file(name):
            trainer.head.load_rows(run_layout.first_identity(name), values)
    trainer.head.load_state(state.get("head", {}))
    trainer.iteration, trainer.seconds = state["iteration"], state["seconds"]
    trainer.verification, trainer.best, trainer.first_loss = state["verification"], state["best"], state["first_loss"]
    trainer.validated = state.get("validated", trainer.iteration)
    trainer.without_gain = state.get("without_gain", 0)
    if trainer.loss_scale and "loss_scale" in state:
        trainer.loss_scale.load_state(state["loss_scale"])
    if trainer.average and run_layout.TRAINED in arrays:
        trainer.average.values = arrays[run_layout.PARAMETERS]
    return damaged

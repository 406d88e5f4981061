"""Validations of a training: their accuracies, the best of them, and when they say that no more is to be gained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..protocols.verification import accuracy_text, mean_accuracy
from .checkpoint import record_validation
from .saved_state import validation_of

if TYPE_CHECKING:
    from .interrupt import Interrupts
    from .log import TrainingLog
    from .trainer import Trainer


def validate(trainer: Trainer, folder: Path, interrupts: Interrupts, log: TrainingLog) -> None:
    """Validate the model of a checkpoint that is written already, so that a signal may stop it at once.

    Raises:
        UserError: a set cannot be evaluated.
        Interrupted: after a signal.
    """
    # Several processes end together: between two batches, or afterwards.
    message = trainer.stopped_in_validation() if trainer.processes.size == 1 else None
    failure = None
    log.say(f"iteration {trainer.iteration}: validating")
    with trainer.evaluated():
        try:
            with interrupts.immediate("stopping the validation", message):
                trainer.verification = trainer.validate() if trainer.validate else {}
        except UserError as error:
            failure = error
        trainer.processes.must_succeed(failure, "validation")
        trainer.check_signals()
    trainer.validated = trainer.iteration
    accuracy = mean_accuracy(trainer.verification)
    if accuracy is not None:
        if trainer.best is None or accuracy > trainer.best["accuracy"]:
            trainer.best, trainer.without_gain = {"iteration": trainer.iteration, "accuracy": accuracy}, 0
        else:
            trainer.without_gain += 1
    # The checkpoint last: until it says so, a validation counts as not done, and its line is written anew.
    log.write({"iteration": trainer.iteration, "verification": trainer.verification})
    if trainer.processes.rank == 0:
        record_validation(folder, validation_of(trainer))
    for name, result in trainer.verification.items():
        log.say(f"iteration {trainer.iteration}: {name} {accuracy_text(result)}")


def in_vain(trainer: Trainer, log: TrainingLog) -> bool:
    """Whether the last validations, as many as `patience` says, brought nothing: on every process."""
    if not trainer.settings.patience:
        return False
    stop = bool(trainer.processes.any(trainer.without_gain >= trainer.settings.patience))
    if stop and trainer.best:
        log.say(
            f"iteration {trainer.iteration}: stopped early, no better validation in {trainer.without_gain}; the best, "
            f"{trainer.best['accuracy']:.2%}, is checkpoint {trainer.best['iteration']:08d}"
        )
    return stop

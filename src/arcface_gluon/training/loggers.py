"""Where a training's numbers go beside metrics.jsonl: TensorBoard, Weights & Biases, MLflow, one's own."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Mapping, Protocol, Sequence

from ..errors import UserError
from ..named import is_named, load_named


class Logger(Protocol):
    """What takes the numbers of a training. A class of the user's own may be named as "module:Class"."""

    def start(self, run: Path, values: Mapping[str, Any], step: int) -> None:
        """A training begins, or goes on.

        Args:
            run: its folder.
            values: dotted name → value of its recipe.
            step: iterations done; what was logged of later ones, before an interruption, will come again.
        """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, such as "loss" or "verification/lfw/accuracy", after `step` iterations."""

    def close(self) -> None:
        """The training ends, or is interrupted."""


class TensorBoard:
    """Events in RUN/tensorboard, through tensorboardX."""

    def __init__(self):
        # It imports PyTorch where that is installed, for tensors that it never gets here, and PyTorch's libraries crash
        # beside Horovod's.
        hidden = sys.modules.setdefault("torch", None) is None  # type: ignore[arg-type]
        try:
            from tensorboardX import SummaryWriter
        finally:
            if hidden:
                del sys.modules["torch"]

        self._writer = SummaryWriter

    def start(self, run: Path, values: Mapping[str, Any], step: int) -> None:
        """See `Logger`; the recipe is shown as a text."""
        self._events = self._writer(str(run / "tensorboard"), purge_step=step + 1)
        self._events.add_text("recipe", "\n".join(f"    {key} = {value!r}" for key, value in values.items()), step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Logger`."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Logger`."""
        self._events.close()


class WeightsAndBiases:
    """A run of Weights & Biases in RUN/wandb, offline unless WANDB_MODE says otherwise (`wandb sync` sends it later).

    An interrupted training goes on under the same id.
    """

    def __init__(self):
        import wandb

        self._wandb = wandb

    def start(self, run: Path, values: Mapping[str, Any], step: int) -> None:
        """See `Logger`."""
        name = re.sub(r"[^\w-]", "_", "-".join(run.resolve().parts[-2:]))
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "arcface-gluon"),
            name=run.name,
            id=name,
            resume="allow",
            dir=str(run),
            config=dict(values),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=self._wandb.Settings(silent=True),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Logger`."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """See `Logger`."""
        self._run.finish()


class MLflow:
    """A run of MLflow in its file store `mlruns` beside the runs' folders, or where MLFLOW_TRACKING_URI says.

    An interrupted training goes on in the same run; RUN/mlflow.txt holds its id.
    """

    def __init__(self):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        self._client_of = MlflowClient

    def start(self, run: Path, values: Mapping[str, Any], step: int) -> None:
        """See `Logger`."""
        store = os.environ.get("MLFLOW_TRACKING_URI") or (run.resolve().parent / "mlruns").as_uri()
        self._client, known = self._client_of(store), run / "mlflow.txt"
        if step and known.exists():
            self._id = known.read_text().strip()
            self._client.update_run(self._id, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name("arcface-gluon")
        number = experiment.experiment_id if experiment else self._client.create_experiment("arcface-gluon")
        self._id = self._client.create_run(number, run_name=run.name).info.run_id
        known.write_text(self._id + "\n")
        for key, value in values.items():
            self._client.log_param(self._id, key, str(value)[:500])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Logger`."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """See `Logger`."""
        self._client.set_terminated(self._id)


LOGGERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def make_loggers(names: Sequence[str]) -> list[Logger]:
    """The loggers of `train.loggers`, not started.

    Raises:
        UserError: an unknown one, or its package is missing.
    """
    loggers: list[Any] = []
    for name in names:
        if name not in LOGGERS and not is_named(name):
            raise UserError(f"train.loggers: {name!r} is none of {', '.join(LOGGERS)} or module:Class")
        try:
            loggers.append(LOGGERS[name]() if name in LOGGERS else load_named("train.loggers", name)())
        except ImportError as error:
            raise UserError(
                f"train.loggers: {name} needs a package ({error}): pip install 'arcface-gluon[{name}]', or leave it out"
            ) from error
        if not all(hasattr(loggers[-1], method) for method in ("start", "scalars", "close")):
            raise UserError(f"train.loggers: {name} has no start, scalars and close (see docs/training.md)")
    return loggers

"""The training loop: batches → embeddings on every device → sharded margin loss → gradients → SGD → checkpoints."""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, ContextManager, Mapping, Sequence

import mxnet as mx
import numpy as np
from easydict import EasyDict

from .. import run_layout
from ..data import Batches
from ..errors import UserError
from ..losses.interfaces import Head
from ..models.training_network import training_network
from ..parallel.processes import Processes, loss_told
from ..progress import write_line
from ..run_layout import last_good
from .agreement import share_weights
from .angles import AngleHistograms
from .average import WeightAverage
from .interrupt import Interrupted, Interrupts
from .log import TrainingLog
from .loggers import Logger
from .loss_scale import LossScale
from .meter import Meter
from .optimizer import ReplicaSGD
from .passes import LeftOut, Passes
from .saved_state import resume_trainer, save_trainer
from .schedule import Schedule
from .statistics import RunningStatistics
from .update import Update
from .validation import in_vain, validate

# A loss whose running mean is this many times that of the first iterations will not come back.
_DIVERGED = 2.0
_FIRST = 20


class Trainer:
    """Trains a backbone on several devices with a sharded margin head.

    Args:
        net: backbone with `spec`, initialised on `contexts`; gives (B, d) float32 embeddings.
        head: ShardedMarginHead over the same contexts.
        batches: data.Batches.
        contexts: devices; the first one's weights are saved (all are equal).
        settings: the recipe's `train` group.
        seed: decides every random number of the run, with the iteration.
        run_folder: where checkpoints and metrics go.
        validate: callable without arguments giving {set: {"accuracy": …, …}}, or None.
        quiet: no progress bar.
        processes: those that train together (parallel.processes); each has its devices, its part of every batch and
            its shards, and process 0 logs and writes what is common. All validate.
        loggers: not started; they get the numbers of metrics.jsonl too.
        values: dotted name → value of the whole recipe, for the loggers.

    Raises:
        UserError: `settings` do not go together.
    """

    def __init__(
        self,
        net: mx.gluon.Block,
        head: Head,
        batches: Batches,
        contexts: Sequence[mx.Context],
        settings: EasyDict,
        seed: int,
        run_folder: str | os.PathLike[str],
        validate: Callable[[], dict] | None = None,
        quiet: bool = False,
        processes: Processes | None = None,
        loggers: Sequence[Logger] = (),
        values: Mapping[str, Any] | None = None,
    ):
        if settings.patience and validate is None:
            raise UserError(f"train.patience={settings.patience} needs validations; name sets in data.validation")
        self.processes = processes or Processes()
        self.net, self.head, self.batches = net, head, batches
        self.contexts, self.settings = list(contexts), settings
        self.run_folder, self.validate, self.quiet = Path(run_folder), validate, quiet
        self.schedule = Schedule.of(settings)
        network = training_network(net, settings.dtype, self.contexts)
        half = settings.dtype == "float16"
        self.loss_scale = LossScale(settings.loss_scale, settings.loss_scale_growth) if half else None
        self.optimizer = ReplicaSGD(
            net,
            self.contexts,
            settings.momentum,
            settings.weight_decay,
            settings.lr_multipliers,
            settings.wd_multipliers,
            processes=self.processes,
            accumulate=settings.accumulate > 1,
            nesterov=settings.nesterov,
            compression=settings.compression,
        )
        self.update = Update(self.optimizer, head, settings, self.processes)
        self.first_device = self.processes.rank * len(self.contexts)  # number of this process's first device
        self.statistics = RunningStatistics(net, self.processes)
        self.passes = Passes(
            network,
            head,
            self.optimizer,
            self.statistics,
            self.contexts,
            settings.accumulate,
            seed,
            self.first_device,
            self._signalled,
        )
        self.average = WeightAverage(net, self.statistics, settings.ema) if settings.ema else None
        self.loggers, self.values = loggers, values
        self.angles = AngleHistograms(settings.iterations)
        self.iteration = 0  # iterations done
        self.seconds = 0.0  # spent in iterations, validation left out, over all sessions of the run
        self.clock = time.perf_counter
        self.verification = {}  # the last validation's result
        self.validated = 0  # iteration of the last validation
        self.checkpoint: Path | None = None  # folder that the run goes on from
        self.best: dict[str, Any] | None = None  # {"iteration": …, "accuracy": …} of the best validation
        self.without_gain = 0  # validations since the best
        self.first_loss: float | None = None  # mean loss of the first iterations
        self.saving: float | None = None  # seconds that the last checkpoint took
        self._interrupts: Interrupts | None = None  # while it trains

    def train(self) -> None:
        """Run until `settings.iterations` are done.

        Raises:
            UserError: the loss is not finite or diverged; checkpoints made before are kept.
            LostProcess: another process has ended, or no longer answers.
            Interrupted: after SIGINT, SIGTERM or SIGUSR1, with a checkpoint written.
        """
        settings = self.settings
        log = TrainingLog(
            self.run_folder,
            self.iteration,
            settings.iterations,
            settings.log_every,
            self.quiet,
            self.loggers if self.processes.rank == 0 else (),
            self.processes.rank > 0,
            self.validated,
            self.values,
        )
        words = self._stopping_words if self.processes.rank == 0 else None
        told, stream = loss_told(self.processes, self._where_lost), closing(self.batches.iterate(self.iteration))
        with closing(log), told, Interrupts(words) as self._interrupts, stream as batches:
            share_weights(self.net._collect_params_with_prefix(), self.contexts[0], self.processes)
            self._loop(batches, self._interrupts, log)

    def _where_lost(self):
        return f"in iteration {self.iteration + 1}; {last_good(self.run_folder, ', go on with --resume')}"

    def _loop(self, stream, interrupts, log):
        settings = self.settings
        due = self.validate and self._due(settings.validate_every) and self.validated != self.iteration
        if due and self.checkpoint:
            validate(self, self.checkpoint, interrupts, log)  # which was stopped, by a signal or a kill
        meter = Meter(self.clock)
        for batch in meter.batches(stream):
            if self.iteration >= settings.iterations or in_vain(self, log):
                break
            lr = self.schedule(self.iteration)
            try:
                loss, accuracy = self._step(batch, lr)
            except LeftOut as left:
                self._stop(left.number, f"within iteration {self.iteration + 1}, which is done again")
            self.iteration += 1
            self._check(loss, meter)
            # Every process's, in one exchange.
            told = np.array([[interrupts.received or 0, len(batch.labels), meter.waited]], np.float64)
            told = self.processes.allgather(told, "iteration")
            stopping, images = int(told[:, 0].max()), int(told[:, 1].sum())
            meter.add(loss, accuracy, images, float(told[:, 2].max()))
            self.seconds += meter.seconds
            log.progress(meter.images_per_second, meter.loss, meter.accuracy, lr, meter.data_share)
            for record in self.angles.add(self.iteration, self.head.target_angles):
                log.write({"iteration": self.iteration, "target_angles": record})
            last = self.iteration == settings.iterations
            if last or self.iteration % settings.log_every == 0:
                line = {"epoch": round(batch.epoch, 4), **meter.line(), "lr": lr, **self._scaling()}
                log.write({"iteration": self.iteration, **line})
            validating = self.validate and self._due(settings.validate_every)
            if stopping or validating or self._due(settings.checkpoint_every):
                folder = self.save()
                log.write({"iteration": self.iteration, "checkpoint_seconds": round(self.saving or 0.0, 3)})
            if stopping and not (last and not validating):
                self._stop(stopping, f"after iteration {self.iteration}", folder)
            if validating:
                validate(self, folder, interrupts, log)

    def _scaling(self):
        """What a line of metrics says of the loss scale."""
        return {"loss_scale": self.loss_scale.value, "left_out": self.loss_scale.left_out} if self.loss_scale else {}

    def _stop(self, number, where, folder=None):
        """End by a signal, with a checkpoint of the iterations done; `folder` is that, where it is written."""
        if folder is None and self.iteration:
            folder = run_layout.checkpoint_folder(self.run_folder, self.iteration)
            if not self.processes.any(folder.is_dir()):
                folder = self.save()
        self.processes.barrier()  # whoever ends first ends the others
        goes_on = f"resume from {folder}" if folder else "nothing was done before it"
        raise Interrupted(number, f"{signal.Signals(number).name}: stopped {where}; {goes_on}")

    def check_signals(self) -> None:
        """End a validation where any of the processes, which all call this, was told to.

        Raises:
            Interrupted: on all of them.
        """
        if number := self._signalled():
            raise Interrupted(number, self.stopped_in_validation())

    def _signalled(self):
        """The number of a signal that one of the processes, which all call this, has got, or 0."""
        return self.processes.any((self._interrupts and self._interrupts.received) or 0)

    def stopped_in_validation(self) -> str:
        """What is said where a signal ended a validation."""
        folder = run_layout.checkpoint_folder(self.run_folder, self.iteration)
        return f"stopped in the validation after iteration {self.iteration}; resume from {folder}"

    def _stopping_words(self):
        """What a signal is answered with."""
        what = "the part of the batch in hand" if self.settings.accumulate > 1 else "this iteration"
        takes = "" if self.saving is None else f" and a checkpoint of about {self.saving:.1f} s"
        return f"stopping after {what}{takes}"

    def _step(self, batch, lr):
        """One iteration; gives (mean loss, accuracy) of the global batch."""
        images, labels = batch.split(self.contexts)
        loss = self.passes(images, labels, self.iteration, self.loss_scale.value if self.loss_scale else 1.0)
        self.optimizer.reduce()
        if self._in_range():
            self.update(self.iteration, lr)
        if self.average:
            self.average.update()
        return float(loss), float(self.head.accuracy)

    def _in_range(self):
        """Whether the gradients are to be applied; where they overflowed in float16, the step is left out."""
        if self.loss_scale is None:
            return True
        self.optimizer.loss_scale = self.loss_scale.value
        finite = self.optimizer.finite()
        told = self.loss_scale.count(finite)
        if told and self.processes.rank == 0:
            write_line(f"iteration {self.iteration + 1}: {told}")
        return finite

    def _check(self, loss, meter):
        if self.first_loss is None and meter.count >= _FIRST:
            self.first_loss = meter.mean_loss
        diverged = self.first_loss is not None and meter.loss > _DIVERGED * max(self.first_loss, 1.0)
        if math.isfinite(loss) and not diverged:
            return
        what = f"diverged to {meter.loss:.4g} (it began at {self.first_loss:.4g})" if diverged else f"is {loss}"
        raise UserError(
            f"the loss {what} at iteration {self.iteration}; {last_good(self.run_folder)}; "
            f"try a smaller train.lr (now {self.settings.lr:g}) or a smaller head.scale or head.margin"
        )

    def _due(self, every):
        return self.iteration > 0 and (self.iteration == self.settings.iterations or self.iteration % every == 0)

    def evaluated(self) -> ContextManager[None]:
        """Within it, the network is the model that is validated and saved."""
        if self.average and self.average.values:
            return self.average.applied()
        return self.statistics.averaged()

    def save(self) -> Path:
        """Write a checkpoint; refused where a parameter is not finite, or not the same on all processes."""
        began = time.perf_counter()
        folder = save_trainer(self)
        self.saving = time.perf_counter() - began
        return folder

    def resume(self) -> list[str]:
        """Go on from the run's last whole checkpoint, made with any number of devices.

        With as many devices as before, the run goes on bit for bit on CPUs; with another number, each device starts
        from the average of the running statistics.

        Returns:
            A line for each damaged checkpoint that was left out.

        Raises:
            UserError: there is none, or it was made for another network, kind of loss or number of identities.
        """
        return resume_trainer(self)

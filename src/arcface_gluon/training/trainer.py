"""The training loop: batches → embeddings on every device → sharded margin loss → gradients → SGD → checkpoints."""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import mxnet as mx
from easydict import EasyDict
from mxnet import autograd

from .. import run_layout
from ..data import Batches
from ..errors import UserError
from ..losses.interfaces import Head
from ..parallel.processes import Processes
from ..parallel.shards import shard_ranges
from ..parallel.turns import in_turn
from .angles import AngleHistograms
from .average import WeightAverage
from .checkpoint import load_last, record_validation, refuse_other_loss, save_checkpoint
from .interrupt import Interrupted, Interrupts
from .log import TrainingLog
from .loggers import Logger
from .meter import Meter
from .optimizer import ReplicaSGD, all_finite
from .schedule import Schedule
from .statistics import RunningStatistics
from .update import Update

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
            its shards, and process 0 validates, logs and writes what is common.
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
        self.contexts, self.settings, self.seed = list(contexts), settings, seed
        self.run_folder, self.validate, self.quiet = Path(run_folder), validate, quiet
        self.schedule = Schedule.of(settings)
        self.half = settings.dtype == "float16"
        self.loss_scale = settings.loss_scale if self.half else 1.0
        self.optimizer = ReplicaSGD(
            net,
            self.contexts,
            settings.momentum,
            settings.weight_decay,
            settings.lr_multipliers,
            settings.wd_multipliers,
            self.loss_scale,
            self.processes,
            accumulate=settings.accumulate > 1,
            nesterov=settings.nesterov,
        )
        self.update = Update(self.optimizer, head, settings, self.processes)
        self.first_device = self.processes.rank * len(self.contexts)  # number of this process's first device
        self.statistics = RunningStatistics(net, self.processes)
        self.average = WeightAverage(net, self.statistics, settings.ema) if settings.ema else None
        self.loggers, self.values = loggers, values
        self.angles = AngleHistograms(settings.iterations)
        self.iteration = 0  # iterations done
        self.seconds = 0.0  # spent in iterations, validation left out, over all sessions of the run
        self.verification = {}  # the last validation's result
        self.validated = 0  # iteration of the last validation
        self.checkpoint: Path | None = None  # folder that the run goes on from
        self.best: dict[str, Any] | None = None  # {"iteration": …, "accuracy": …} of the best validation
        self.without_gain = 0  # validations since the best
        self.first_loss: float | None = None  # mean loss of the first iterations

    def train(self) -> None:
        """Run until `settings.iterations` are done.

        Raises:
            UserError: the loss is not finite or diverged; checkpoints made before are kept.
            Interrupted: after SIGINT or SIGTERM, with a checkpoint written.
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
        words = "stopping after this iteration" if self.processes.rank == 0 else None
        try:
            with Interrupts(words) as interrupts, closing(self.batches.iterate(self.iteration)) as stream:
                self._loop(stream, interrupts, log)
        finally:
            log.close()

    def _loop(self, stream, interrupts, log):
        settings = self.settings
        if self.validate and self._due(settings.validate_every) and self.validated != self.iteration:
            self._validate(self.checkpoint, interrupts, log)  # which was stopped, by a signal or a kill
        meter = Meter()
        for batch in stream:
            if self.iteration >= settings.iterations or self._in_vain(log):
                break
            began = time.perf_counter()
            lr = self.schedule(self.iteration)
            loss, accuracy = self._step(batch, lr)
            self.iteration += 1
            self._check(loss, meter)
            meter.add(loss, accuracy, len(batch.labels), time.perf_counter() - began)
            self.seconds += time.perf_counter() - began
            log.progress(meter.images_per_second, meter.loss, meter.accuracy, lr)
            for record in self.angles.add(self.iteration, self.head.target_angles):
                log.write({"iteration": self.iteration, "target_angles": record})
            last = self.iteration == settings.iterations
            if last or self.iteration % settings.log_every == 0:
                log.write({"iteration": self.iteration, "epoch": round(batch.epoch, 4), **meter.line(), "lr": lr})
            stopping = self.processes.any(interrupts.received or 0)
            validating = self.validate and self._due(settings.validate_every)
            if stopping or validating or self._due(settings.checkpoint_every):
                folder = self.save()
            if stopping and not (last and not validating):
                name = signal.Signals(stopping).name
                raise Interrupted(stopping, f"{name}: stopped after iteration {self.iteration}; resume from {folder}")
            if validating:
                self._validate(folder, interrupts, log)

    def _step(self, batch, lr):
        """One iteration; gives (mean loss, accuracy) of the global batch."""
        images, labels = batch.split(self.contexts)
        backward = self._whole if self.settings.accumulate == 1 else self._in_parts
        loss = backward(images, labels)
        self.optimizer.reduce()
        if not self.half or self.optimizer.finite():  # float16 overflowed: leave this step out
            self.update(self.iteration, lr)
        if self.average:
            self.average.update()
        return float(loss), float(self.head.accuracy)

    def _whole(self, images, labels):
        with autograd.record():
            embeddings = self._embed(images)
        loss, gradients = self.head.forward_backward(embeddings, labels)
        self._backward(embeddings, gradients)
        return loss

    def _in_parts(self, images, labels):
        """The same for a device's images in several parts, with the activations of one part in memory at a time.

        All embeddings are computed first and the head sees the whole batch, so its loss and gradients are those of the
        undivided batch, whatever the loss. Then each part goes forward again, with the same dropout, and back.
        """
        ranges = [shard_ranges(len(x), min(self.settings.accumulate, len(x))) for x in images]
        parts = [[x[a:b] for (a, b), x in zip(part, images)] for part in zip(*ranges)]
        with autograd.train_mode():
            embeddings = [self._embed(part, k) for k, part in enumerate(parts)]
        whole = [mx.nd.concat(*of_device, dim=0) for of_device in zip(*embeddings)]
        loss, gradients = self.head.forward_backward(whole, labels)
        self.optimizer.zero_gradients()
        for k, part in enumerate(parts):
            with autograd.record():
                again = self._embed(part, k)
            self._backward(again, [g[a:b] for g, (a, b) in zip(gradients, [r[k] for r in ranges])])
        return loss

    def _embed(self, images, part=0):
        embeddings = []
        numbered = enumerate(zip(self.contexts, images), self.first_device)
        for i, (context, x) in in_turn(numbered, self.contexts):
            # MXNet's random state cannot be saved; one that depends on the iteration alone need not be. All CPU
            # contexts share one state, so each device is seeded right before its own forward pass.
            number = self.seed * 1_000_003 + self.iteration * 1_009 + part * 10_007 + i
            mx.random.seed(number & 0x7FFFFFFF, ctx=context)
            embeddings.append(self.net(x))
        return embeddings

    def _backward(self, embeddings, gradients):
        if self.loss_scale != 1.0:
            gradients = [g * self.loss_scale for g in gradients]
        for pair in in_turn(zip(embeddings, gradients), self.contexts):
            autograd.backward(*pair)

    def _check(self, loss, meter):
        if self.first_loss is None and meter.count >= _FIRST:
            self.first_loss = meter.mean_loss
        diverged = self.first_loss is not None and meter.loss > _DIVERGED * max(self.first_loss, 1.0)
        if math.isfinite(loss) and not diverged:
            return
        what = f"diverged to {meter.loss:.4g} (it began at {self.first_loss:.4g})" if diverged else f"is {loss}"
        raise UserError(
            f"the loss {what} at iteration {self.iteration}; {self._last_good()}; "
            f"try a smaller train.lr (now {self.settings.lr:g}) or a smaller head.scale or head.margin"
        )

    def _last_good(self):
        saved = run_layout.checkpoint_folders(self.run_folder)
        return f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"

    def _due(self, every):
        return self.iteration > 0 and (self.iteration == self.settings.iterations or self.iteration % every == 0)

    def _in_vain(self, log):
        """Whether the last validations, as many as `patience` says, brought nothing."""
        if not self.settings.patience:
            return False
        # Process 0 alone validates.
        stop = bool(self.processes.any(self.without_gain >= self.settings.patience))
        if stop and self.best:
            log.say(
                f"iteration {self.iteration}: stopped early, no better validation in {self.without_gain}; the best, "
                f"{self.best['accuracy']:.2%}, is checkpoint {self.best['iteration']:08d}"
            )
        return stop

    def _evaluated(self):
        """Within it, the network is the model that is validated and saved."""
        if self.average and self.average.values:
            return self.average.applied()
        return self.statistics.averaged()

    def _validate(self, folder, interrupts, log):
        """Validate the model of a checkpoint that is written already, so that a signal may stop it at once."""
        stopped = None
        with self._evaluated():
            if self.processes.rank == 0:
                log.say(f"iteration {self.iteration}: validating")
                message = f"stopped in the validation after iteration {self.iteration}; resume from {folder}"
                try:
                    with interrupts.immediate("stopping the validation", message):
                        self.verification = self.validate() if self.validate else {}
                except Interrupted as stop:
                    stopped = stop
            number = self.processes.any(stopped.number if stopped else 0)
        if number:
            raise stopped or Interrupted(number, "process 0 stopped in the validation")
        self.validated = self.iteration
        if self.verification:
            accuracy = sum(result["accuracy"] for result in self.verification.values()) / len(self.verification)
            if self.best is None or accuracy > self.best["accuracy"]:
                self.best, self.without_gain = {"iteration": self.iteration, "accuracy": accuracy}, 0
            else:
                self.without_gain += 1
        # The checkpoint last: until it says so, a validation counts as not done, and its line is written anew.
        log.write({"iteration": self.iteration, "verification": self.verification})
        if self.processes.rank == 0:
            record_validation(folder, self._validation())
        for name, result in self.verification.items():
            log.say(f"iteration {self.iteration}: {name} {result['accuracy']:.2%} ± {result['std']:.2%}")

    def _validation(self):
        """What a checkpoint says of validations."""
        done = {"verification": self.verification, "validated": self.validated, "best": self.best}
        return {**done, "without_gain": self.without_gain}

    def save(self) -> Path:
        """Write a checkpoint; refused where a parameter is not finite."""
        parameters = self.net._collect_params_with_prefix()
        first = {name: p.data(self.contexts[0]) for name, p in parameters.items()}
        if not all_finite(list(first.values())):
            raise UserError(f"a parameter is no longer finite at iteration {self.iteration}; {self._last_good()}")
        averages = self.statistics.averages()
        arrays = {
            run_layout.devices_file(self.processes.rank): {
                f"{i}:{name}": array
                for name, values in self.statistics.by_device().items()
                for i, array in enumerate(values, self.first_device)
            }
        }
        if self.processes.rank == 0:
            weights = {name: averages.get(name, a).astype("float32", copy=False) for name, a in first.items()}
            arrays[run_layout.PARAMETERS] = self.average.values if self.average else weights
            if self.average:
                arrays[run_layout.TRAINED] = weights
            arrays[run_layout.MOMENTUM] = self.optimizer.state()
        for start, _, values in self.head.shards():
            arrays[run_layout.head_file(start)] = values
        state = {
            "iteration": self.iteration,
            "seconds": round(self.seconds, 3),
            "num_classes": self.head.num_classes,
            "head": self.head.state(),
            "devices": self.processes.size * len(self.contexts),
            "first_loss": self.first_loss,
            **self._validation(),
        }
        best = self.best["iteration"] if self.best else None
        documents = {run_layout.NETWORK: self.net.spec, run_layout.STATE: state}
        keep = self.settings.keep
        return save_checkpoint(self.run_folder, self.iteration, arrays, documents, keep, best, self.processes)

    def resume(self) -> list[str]:
        """Go on from the run's last whole checkpoint, made with any number of devices.

        With as many devices as before, the run goes on bit for bit on CPUs; with another number, each device starts
        from the average of the running statistics.

        Returns:
            A line for each damaged checkpoint that was left out.

        Raises:
            UserError: there is none, or it was made for another network, kind of loss or number of identities.
        """
        self.checkpoint, arrays, state, damaged = load_last(self.run_folder, self.processes)
        folder = self.checkpoint
        refuse_other_loss(folder, arrays, state, self.head)
        parameters = self.net._collect_params_with_prefix()
        saved = arrays.get(run_layout.TRAINED, arrays[run_layout.PARAMETERS])
        for name, parameter in parameters.items():
            if name not in saved or saved[name].shape != parameter.shape:
                found = f"has shape {saved[name].shape}, not {parameter.shape}" if name in saved else "is missing"
                raise UserError(
                    f"{folder} is of another network: {name} {found}; resume with the recipe it was made with"
                )
            parameter.set_data(saved[name].astype(parameter.dtype))
        if state["devices"] == self.processes.size * len(self.contexts):
            statistics = (values for name, values in arrays.items() if run_layout.is_devices_file(name))
            for key, value in chain.from_iterable(values.items() for values in statistics):
                index, name = key.split(":", 1)
                if 0 <= int(index) - self.first_device < len(self.contexts):
                    value.copyto(parameters[name].data(self.contexts[int(index) - self.first_device]))
        self.optimizer.load_state(arrays[run_layout.MOMENTUM])
        for name, values in arrays.items():
            if run_layout.is_head_file(name):
                self.head.load_rows(run_layout.first_identity(name), values)
        self.head.load_state(state.get("head", {}))
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.verification, self.best, self.first_loss = state["verification"], state["best"], state["first_loss"]
        self.validated = state.get("validated", self.iteration)
        self.without_gain = state.get("without_gain", 0)
        if self.average and run_layout.TRAINED in arrays:
            self.average.values = arrays[run_layout.PARAMETERS]
        return damaged

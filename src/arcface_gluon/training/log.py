"""What a run leaves to read: metrics as JSON lines, its progress, and what the loggers make of the numbers."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from tqdm import tqdm

from ..errors import UserError
from ..files import atomic_write, cannot_write, seal, unseal
from ..progress import write_line
from ..run_layout import METRICS
from .loggers import Logger

_log = logging.getLogger(__name__)


def read_metrics(path: str | os.PathLike[str]) -> list[dict]:
    """Records of a metrics.jsonl: {"iteration": …, …}, without the checksums of their lines.

    A damaged line, also a last one that a kill cut off, is left out with a warning that names it. Lines without a
    checksum, as earlier versions wrote them, are taken as they are.
    """
    records = []
    if not Path(path).exists():
        return records
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            record = _record(line, path)
            if record is not None:
                records.append(record)
            else:
                what = "is damaged" if line.endswith(b"\n") else "is cut off"
                _log.warning("%s, line %d %s; it is left out", path, number, what)
    return records


def _record(line, path):
    """The record in a line; None where it is damaged."""
    try:
        record = unseal(json.loads(line), path)
    except (ValueError, RecursionError, AttributeError, UserError):  # AttributeError: no dictionary
        return None
    # All values are numbers and dictionaries of them: a text is a checksum whose own name was damaged.
    whole = type(record.get("iteration")) is int and not any(isinstance(value, str) for value in record.values())
    return record if whole else None


class TrainingLog:
    """Metrics file, progress and loggers of one run.

    Args:
        run_folder: folder of the run; metrics.jsonl is written there, a line at a time.
        start: iteration that training goes on from; later lines of an interrupted run are removed, since
            those iterations are done again.
        iterations: iterations of the whole run.
        log_every: iterations between two lines of progress, where there is no terminal for a bar.
        quiet: no progress.
        silent: write and show nothing (the processes other than the first).
        loggers: not started; they get the numbers too.
        values: dotted name → value of the recipe, for them.
        validated: iteration of the last validation that the checkpoint knows of; lines of later ones are removed too.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(
        self,
        run_folder: str | os.PathLike[str],
        start: int,
        iterations: int,
        log_every: int = 20,
        quiet: bool = False,
        loggers: Sequence[Logger] = (),
        silent: bool = False,
        validated: int | None = None,
        values: Mapping[str, Any] | None = None,
    ):
        self._silent, self._quiet = silent, quiet
        if silent:
            return
        run_folder = Path(run_folder)
        self._path = run_folder / METRICS
        validated = start if validated is None else validated
        kept = [
            record
            for record in read_metrics(self._path)
            if record["iteration"] <= (validated if "verification" in record else start)
        ]
        with atomic_write(self._path, "w") as file:
            file.writelines(map(_line, kept))
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 (closed by close)
        self._loggers: list[Logger] = []
        for logger in loggers:
            logger.start(run_folder, values or {}, start)
            self._loggers.append(logger)
        self._start, self._iterations, self._every = start, iterations, log_every
        self._done, self._began = start, time.monotonic()
        self._bar = tqdm(
            total=iterations,
            initial=start,
            unit="it",
            disable=quiet or not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def progress(self, images_per_second: float, loss: float, accuracy: float, lr: float, data_share: float) -> None:
        """Count an iteration; the bar, or a line now and then, shows the values.

        Args:
            data_share: share of the time, 0 to 1, that was spent waiting for batches.
        """
        if self._silent:
            return
        self._done += 1
        values = (
            f"{images_per_second:.1f} images/s, data {data_share:.0%}, loss {loss:.3f}, "
            f"accuracy {accuracy:.1%}, lr {lr:g}"
        )
        if not self._bar.disable:
            self._bar.set_postfix_str(values, refresh=False)
            self._bar.update()
        elif self._done % self._every == 0 or self._done == self._iterations:
            left = (self._iterations - self._done) * (time.monotonic() - self._began) / (self._done - self._start)
            where = f"iteration {self._done:,} of {self._iterations:,}"
            write_line(f"{where}: {values}, {tqdm.format_interval(left)} left", self._quiet)

    def write(self, record: dict) -> None:
        """Append one line; its numbers go to the loggers too.

        Raises:
            UserError: the disk is full.
        """
        if self._silent:
            return
        line = _line(record).encode()
        try:
            while line:  # what is not buffered may be written in part
                line = line[self._file.write(line) :]
        except OSError as error:
            raise cannot_write(self._path, error) from error
        numbers = dict(_numbers(record)) if self._loggers else {}
        if numbers:
            for logger in self._loggers:
                logger.scalars(record["iteration"], numbers)

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if not self._silent:
            tqdm.write(text)

    def close(self) -> None:
        if self._silent:
            return
        self._bar.close()
        self._file.close()
        for logger in self._loggers:
            logger.close()


def _line(record):
    return json.dumps(seal(record)) + "\n"


def _numbers(record: Mapping, prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and key != "iteration":
            yield prefix + key, value

"""What a run leaves to read: metrics as JSON lines, a progress bar, TensorBoard events where asked for."""

from __future__ import annotations

import json
from pathlib import Path

from tqdm import tqdm

from ..errors import UserError
from ..files import atomic_write


def read_metrics(path) -> list[dict]:
    """Lines of a metrics.jsonl; a last line cut off by a kill is left out."""
    records = []
    if Path(path).exists():
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    records.append(json.loads(line))
                except ValueError:
                    break
    return records


class TrainingLog:
    """Metrics file, progress bar and TensorBoard events of one run.

    Args:
        run_folder: folder of the run; metrics.jsonl is written there, a line at a time.
        start: iteration that training goes on from; later lines of an interrupted run are removed, since
            those iterations are done again.
        iterations: iterations of the whole run.
        quiet: no progress bar.
        silent: write and show nothing (the processes other than the first).
        tensorboard: write events under run_folder/tensorboard too.

    Raises:
        UserError: TensorBoard was asked for and its package is missing.
    """

    def __init__(self, run_folder, start, iterations, quiet=False, tensorboard=False, silent=False):
        self._silent = silent
        if silent:
            return
        run_folder = Path(run_folder)
        path = run_folder / "metrics.jsonl"
        kept = [record for record in read_metrics(path) if record["iteration"] <= start]
        with atomic_write(path, "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in kept)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)
        self._events = _summary_writer(run_folder / "tensorboard") if tensorboard else None
        # None: shown on a terminal only.
        self._bar = tqdm(
            total=iterations, initial=start, unit="it", disable=True if quiet else None, dynamic_ncols=True
        )

    def progress(self, images_per_second, loss, accuracy, lr):
        """Advance the bar by one iteration."""
        if self._silent:
            return
        self._bar.set_postfix_str(
            f"{images_per_second:.1f} images/s, loss {loss:.3f}, accuracy {accuracy:.1%}, lr {lr:g}", refresh=False
        )
        self._bar.update()

    def write(self, record: dict):
        """Append one line; numbers go to TensorBoard too."""
        if self._silent:
            return
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._events:
            for key, value in _numbers(record):
                self._events.add_scalar(key, value, record["iteration"])

    def say(self, text):
        """Print a line without breaking the bar."""
        if not self._silent:
            tqdm.write(text)

    def close(self):
        if self._silent:
            return
        self._bar.close()
        self._file.close()
        if self._events:
            self._events.close()


def _numbers(record, prefix=""):
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and key != "iteration":
            yield prefix + key, value


def _summary_writer(folder):
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError("train.tensorboard needs a package: pip install tensorboardX, or set it to False") from error
    return SummaryWriter(str(folder))

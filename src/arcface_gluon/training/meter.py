"""Running means of a training: for its progress, and for the lines of metrics.jsonl."""

from __future__ import annotations

import time
from typing import Callable, Iterable, Iterator, TypeVar

Item = TypeVar("Item")


class Meter:
    """Running means for the progress, and plain means since the last line for the metrics.

    An iteration begins when its batch is asked for: `for batch in meter.batches(stream)`, with `add` at its end.

    Args:
        clock: gives seconds.

    Attributes:
        count: iterations since the session began.
        loss, accuracy: running means.
        waited: seconds that the batch in hand was waited for.
        seconds: of the last iteration, with the wait for its batch.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self.count = 0
        self._total = 0.0
        self.loss = self.accuracy = self.waited = self.seconds = 0.0
        self._images = self._time = self._waits = 0.0  # running means
        self._since = [0.0, 0.0, 0, 0.0, 0.0, 0]  # loss, accuracy, images, seconds, seconds waited, iterations

    @property
    def mean_loss(self) -> float:
        """Over all iterations counted."""
        return self._total / self.count

    @property
    def images_per_second(self) -> float:
        """Of the last iterations."""
        return self._images / self._time

    @property
    def data_share(self) -> float:
        """Share of the last iterations' time, 0 to 1, that was spent waiting for their batches."""
        return self._waits / self._time

    def batches(self, stream: Iterable[Item]) -> Iterator[Item]:
        """The items of a stream, with the time that each is waited for."""
        items = iter(stream)
        while True:
            self._began = self._clock()
            try:
                item = next(items)
            except StopIteration:
                return
            self.waited = self._clock() - self._began
            yield item

    def add(self, loss: float, accuracy: float, images: int, waited: float) -> None:
        """Count the iteration in hand.

        Args:
            loss, accuracy: of its batch, over all processes; images: that it holds.
            waited: the longest `waited` of all processes.
        """
        self.seconds = max(self._clock() - self._began, 1e-9)
        waited = min(waited, self.seconds)
        self.count += 1
        self._total += loss
        keep = min(0.95, 1 - 1 / self.count)
        self.loss = keep * self.loss + (1 - keep) * loss
        self.accuracy = keep * self.accuracy + (1 - keep) * accuracy
        self._images = keep * self._images + (1 - keep) * images
        self._time = keep * self._time + (1 - keep) * self.seconds
        self._waits = keep * self._waits + (1 - keep) * waited
        self._since = [a + b for a, b in zip(self._since, (loss, accuracy, images, self.seconds, waited, 1))]

    def line(self) -> dict:
        """Means of the iterations since the last line."""
        loss, accuracy, images, seconds, waited, iterations = self._since
        self._since = [0.0, 0.0, 0, 0.0, 0.0, 0]
        return {
            "loss": loss / iterations,
            "accuracy": accuracy / iterations,
            "images_per_second": round(images / seconds, 3),
            "seconds": round(seconds, 4),
            "data_share": round(waited / seconds, 4),
        }

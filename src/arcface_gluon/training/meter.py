"""Running means of a training: for its progress, and for the lines of metrics.jsonl."""

from __future__ import annotations


class Meter:
    """Running means for the progress, and plain means since the last line for the metrics.

    Attributes:
        count: iterations since the session began.
        loss, accuracy, images_per_second: running means.
    """

    def __init__(self):
        self.count = 0
        self._total = 0.0
        self.loss = self.accuracy = self.images_per_second = 0.0
        self._since = [0.0, 0.0, 0, 0.0, 0]  # loss, accuracy, images, seconds, iterations

    @property
    def mean_loss(self) -> float:
        """Over all iterations counted."""
        return self._total / self.count

    def add(self, loss: float, accuracy: float, images: int, seconds: float) -> None:
        """Count an iteration."""
        self.count += 1
        self._total += loss
        keep = min(0.95, 1 - 1 / self.count)
        self.loss = keep * self.loss + (1 - keep) * loss
        self.accuracy = keep * self.accuracy + (1 - keep) * accuracy
        self.images_per_second = keep * self.images_per_second + (1 - keep) * images / seconds
        self._since = [a + b for a, b in zip(self._since, (loss, accuracy, images, seconds, 1))]

    def line(self) -> dict:
        """Means of the iterations since the last line."""
        loss, accuracy, images, seconds, iterations = self._since
        self._since = [0.0, 0.0, 0, 0.0, 0]
        return {
            "loss": loss / iterations,
            "accuracy": accuracy / iterations,
            "images_per_second": round(images / seconds, 3),
            "seconds": round(seconds, 4),
        }

"""Training: the loop, its schedules and optimizer, checkpoints and logs."""

from ..lazy import lazily

_NAMES = {
    "Trainer": "trainer",
    "Schedule": "schedule",
    "ReplicaSGD": "optimizer",
    "load_checkpoint": "checkpoint",
    "load_last": "checkpoint",
    "read_metrics": "log",
}
__all__ = [*_NAMES]
__getattr__, __dir__ = lazily(__name__, _NAMES)

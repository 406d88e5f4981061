"""Learning rate by iteration: the paper's steps, or a cosine or polynomial decay, after a warm-up if one is wanted."""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Callable, Mapping, Sequence

from ..errors import UserError
from ..named import is_named, load_named


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every iteration.

    Attributes:
        kind: "steps": `lr` times `factor` for every step that is at or before the iteration (section 3.1 of the paper:
            0.1, divided by 10 at 20K and 28K iterations on CASIA, at 100K and 160K on MS1MV2); "cosine": half a period
            from `lr` to 0 (Loshchilov and Hutter, ICLR 2017, without restarts); "polynomial": (1 - t)^power of `lr`,
            as in arcface_torch. t runs from 0 at the end of the warm-up to 1 after the last iteration.
        lr: rate after the warm-up.
        iterations: of the whole training.
        steps: iterations, in rising order.
        factor: what each step multiplies by.
        warm_up: iterations over which the rate rises evenly to `lr` (Goyal et al., 2017); 0: none.
        power: of "polynomial".
    """

    kind: str
    lr: float
    iterations: int
    steps: Sequence[int] = ()
    factor: float = 0.1
    warm_up: int = 0
    power: float = 2.0

    @classmethod
    def of(cls, settings: Mapping) -> Callable[[int], float]:
        """The schedule of a recipe's `train` group: one of these, or the user's function of iteration and settings."""
        if is_named(settings["schedule"]):
            own = load_named("train.schedule", settings["schedule"])
            if not inspect.isfunction(own):
                raise UserError(f"train.schedule={settings['schedule']} is no function of iteration and settings")
            return lambda iteration: float(own(iteration, settings))
        return cls(
            settings["schedule"],
            settings["lr"],
            settings["iterations"],
            tuple(settings["lr_steps"]),
            settings["lr_factor"],
            settings["warm_up"],
            settings["power"],
        )

    def __call__(self, iteration: int) -> float:
        """Learning rate of one iteration, counted from 0."""
        if iteration < self.warm_up:
            return self.lr * (iteration + 1) / self.warm_up
        if self.kind == "steps":
            return self.lr * self.factor ** bisect_right(self.steps, iteration)
        done = min(1.0, (iteration - self.warm_up) / max(1, self.iterations - self.warm_up))
        if self.kind == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        return self.lr * (1 - done) ** self.power

"""The update of backbone and class centres together: what is frozen, and how long their gradient may be."""

from __future__ import annotations

import math
from typing import Mapping

import numpy as np

from ..losses.interfaces import Head
from ..parallel.processes import Processes
from .freeze import Freeze
from .optimizer import ReplicaSGD


class Update:
    """Applies the gradients of a step.

    Args:
        optimizer: of the backbone. head: with the centres.
        settings: the recipe's `train` group.
        processes: those that train together.

    Raises:
        UserError: train.freeze names no parameter.
    """

    def __init__(self, optimizer: ReplicaSGD, head: Head, settings: Mapping, processes: Processes):
        self._optimizer, self._head, self._processes = optimizer, head, processes
        self._freeze = Freeze(settings["freeze"], optimizer.names)
        self._clip_norm, self._momentum = settings["clip_norm"], settings["momentum"]
        self._head_lr = float(settings["lr_multipliers"].get("head", 1.0))
        self._head_wd = settings["weight_decay"] * float(settings["wd_multipliers"].get("head", 1.0))
        # Heads of the user's own may not know it.
        self._options = {"nesterov": True} if settings["nesterov"] else {}

    def __call__(self, iteration: int, lr: float) -> None:
        """Update everything that is not frozen in this iteration; gradients are reduced already."""
        frozen = self._freeze.at(iteration)
        factor = self._clipping(frozen)
        self._optimizer.update(lr, factor, frozen)
        # SGD is linear in the gradient: times a factor, it is the rate times that, and the decay divided by it.
        self._head.update(lr * self._head_lr * factor, self._momentum, self._head_wd / factor, **self._options)

    def _clipping(self, frozen):
        """What makes the gradient of backbone and centres together no longer than clip_norm (Pascanu et al., 2013)."""
        if not self._clip_norm:
            return 1.0
        # The backbone's gradient is the sum over all processes; of the centres, each process has its own.
        centres = self._processes.allgather(np.array([self._head.gradient_square()]), "norm").sum()
        norm = math.sqrt(self._optimizer.gradient_square(frozen) + float(centres))
        return self._clip_norm / norm if norm > self._clip_norm else 1.0

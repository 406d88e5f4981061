"""SGD over the replicas of a backbone: gradients summed by a kvstore, the same update on every device."""

from __future__ import annotations

import re
from typing import Collection, Sequence

import mxnet as mx
import numpy as np

from ..parallel.processes import Processes
from .gradient_sum import GradientSum
from .host_sgd import HostSGD


class ReplicaSGD:
    """Momentum SGD of a network that is initialised on several contexts.

    Weight decay reaches every parameter, biases, gammas, betas and PReLU slopes included: the paper's code did so.
    Gradients are sums over the devices (each device holds its part of the gradient of the global batch's mean loss).

    Args:
        net: initialised HybridBlock.
        contexts: its devices.
        momentum, weight_decay: as in MXNet's SGD: mom = momentum mom - lr (grad + wd w); w += mom.
        lr_multipliers, wd_multipliers: {regular expression of a parameter's structural name: factor}.
        processes: those that train together; gradients are summed over all of them.
        accumulate: gradients of several backward passes add up until `zero_gradients`.
        compression: what gradients go between processes as; see `GradientSum`.
        nesterov: MXNet's NAG in its place: step = - lr (grad + wd w); mom = momentum mom + step; w += momentum mom +
            step.

    Attributes:
        names: structural names of the parameters that are trained.
        loss_scale: the gradients that are there now are this many times too large (float16); 1 unless it is set.
    """

    def __init__(
        self,
        net: mx.gluon.Block,
        contexts: Sequence[mx.Context],
        momentum: float,
        weight_decay: float,
        lr_multipliers: dict[str, float] | None = None,
        wd_multipliers: dict[str, float] | None = None,
        processes: Processes | None = None,
        accumulate: bool = False,
        nesterov: bool = False,
        compression: str = "none",
    ):
        self.contexts = list(contexts)
        self.processes = processes or Processes()
        self._sum = GradientSum(self.processes, compression)
        named = {name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != "null"}
        self.names = list(named)
        self.parameters = list(named.values())
        for name, parameter in named.items():
            parameter.grad_req = "add" if accumulate else "write"
            parameter.lr_mult = _multiplier(name, lr_multipliers)
            parameter.wd_mult = _multiplier(name, wd_multipliers)
        self.loss_scale = 1.0
        half = any(p.dtype == "float16" for p in self.parameters)
        on_host = self.contexts[0].device_type == "cpu" and all(
            np.dtype(p.dtype) == np.float32 for p in self.parameters
        )
        kind = _NAG if nesterov else HostSGD if on_host else mx.optimizer.SGD
        self._optimizers = [
            (kind if momentum else mx.optimizer.SGD)(
                momentum=momentum,
                wd=weight_decay,
                multi_precision=half,
                param_dict=dict(enumerate(self.parameters)),
            )
            for _ in self.contexts
        ]
        self._updaters = [mx.optimizer.get_updater(optimizer) for optimizer in self._optimizers]
        self._kvstore = None
        if len(self.contexts) > 1:
            self._kvstore = mx.kv.create("device" if self.contexts[0].device_type == "gpu" else "local")
            for i, parameter in enumerate(self.parameters):
                self._kvstore.init(i, parameter.data(self.contexts[0]))

    def zero_gradients(self) -> None:
        """Forget the gradients added up so far."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def reduce(self) -> None:
        """Sum the gradients over the devices of all processes; each then holds the sum."""
        if self._kvstore is not None:
            for i, parameter in enumerate(self.parameters):
                gradients = parameter.list_grad()
                self._kvstore.pushpull(i, gradients, out=gradients, priority=-i)
        if self.processes.size > 1:
            first = [parameter.grad(self.contexts[0]) for parameter in self.parameters]
            self._sum(first)
            for context in self.contexts[1:]:
                for parameter, total in zip(self.parameters, first):
                    total.copyto(parameter.grad(context))

    def finite(self) -> bool:
        """Whether the (reduced) gradients hold neither NaN nor infinity."""
        return all_finite([p.grad(self.contexts[0]) for p in self.parameters])

    def gradient_square(self, frozen: Collection[str] = ()) -> float:
        """Sum of squares of the (reduced) gradients, without those of the names `frozen`."""
        squares = [
            mx.nd.square(p.grad(self.contexts[0]).astype("float32", copy=False)).sum()
            for name, p in zip(self.names, self.parameters)
            if name not in frozen
        ]
        return sum(float(square.asscalar()) for square in squares) / self.loss_scale**2

    def update(self, lr: float, factor: float = 1.0, frozen: Collection[str] = ()) -> None:
        """Apply the reduced gradients, times a factor, to the parameters whose names are not `frozen`."""
        indices = [i for i, name in enumerate(self.names) if name not in frozen]
        if not indices:
            return
        chosen = [self.parameters[i] for i in indices]
        for context, optimizer, updater in zip(self.contexts, self._optimizers, self._updaters):
            optimizer.set_learning_rate(lr)
            optimizer.rescale_grad = factor / self.loss_scale
            updater(indices, [p.grad(context) for p in chosen], [p.data(context) for p in chosen])

    def state(self) -> dict:
        """Momentum (and float32 master weights, key "master:…") by parameter name; equal on every device."""
        state = {}
        for i, values in self._updaters[0].states.items():
            momentum, master = values if isinstance(values, tuple) else (values, None)
            state[self.names[i]] = momentum
            if master is not None:
                state[f"master:{self.names[i]}"] = master
        return state

    def load_state(self, state: dict) -> None:
        """Put back what `state` gave, on every device."""
        for context, updater in zip(self.contexts, self._updaters):
            for i, name in enumerate(self.names):
                if name not in state:
                    continue
                master = state.get(f"master:{name}")
                momentum = state[name].copyto(context)
                updater.states[i] = momentum if master is None else (momentum, master.copyto(context))
                updater.states_synced[i] = True


class _NAG(mx.optimizer.NAG):
    """MXNet's NAG as documented; in place, its operator takes the decay of the new weight into the momentum."""

    def _update_impl(self, index, weight, grad, state, multi_precision=False):
        self._update_count(index)
        momentum, master = state if multi_precision else (state, weight)
        step = grad.astype("float32", copy=False) * self.rescale_grad + master * self._get_wd(index)
        rate = {"lr": self._get_lr(index), "momentum": self.momentum}
        mx.nd.nag_mom_update(master, step, momentum, **rate, out=master)
        if multi_precision:
            master.astype(weight.dtype).copyto(weight)


def all_finite(arrays: list[mx.nd.NDArray]) -> bool:
    """Whether arrays of one context hold neither NaN nor infinity."""
    # The operator writes past its bounds, unchecked, above 200 arrays.
    parts = [arrays[i : i + 100] for i in range(0, len(arrays), 100)]
    return all(mx.nd.multi_all_finite(*part, num_arrays=len(part)).asscalar() for part in parts)


def _multiplier(name, multipliers):
    for pattern, factor in (multipliers or {}).items():
        if re.search(pattern, name):
            return float(factor)
    return 1.0

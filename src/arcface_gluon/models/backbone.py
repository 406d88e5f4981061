"""What every embedding network shares: input normalisation, precision, initialisation, choice of PReLU form."""

from __future__ import annotations

import json
from typing import Any, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .layers import PReLU, reference_init
from .normalisation import INPUT_SCALE, PIXEL_MEAN, normalised


def sides(value: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of the option `input_size`: one side of a square, or both."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def input_size(net: mx.gluon.Block) -> tuple[int, int]:
    """(height, width) of the images that a network takes: 112 x 112 unless it was built for another."""
    if getattr(net, "input_size", None):  # of a symbol that is run as it stands
        return net.input_size
    return sides(((getattr(net, "spec", None) or {}).get("options") or {}).get("input_size", 112))


class Backbone(HybridBlock):
    """Base of the embedding networks. A subclass implements `features(F, x)`: normalised pixels -> embedding.

    Input (B, 3, H, W), RGB 0..255, uint8 or floating; it is cast and normalised on the device it lies on.
    Output (B, embedding_size) float32, also after `net.cast("float16")`, which leaves BatchNorm in float32.

    PReLU runs in MXNet's own form on GPUs and in symbols (so that other tools can read an export), and in the faster
    oneDNN form on CPUs. The form is part of the traced graph: the first call on another kind of device traces again.

    Args:
        spec: what `get_model` was asked for.
        input_scale, input_mean, bgr: the normalisation (x - input_mean) * input_scale, of blue, green, red where bgr; a
            number, or three in that order of channels.

    Attributes:
        spec: {"name", "embedding_size", "options"}, JSON-able; `get_model(**spec)` rebuilds it.
        notes: what `load_model` has to say of the files that it came from, a line each.
        normalisation: the Normalisation that `load_model` was asked for; None: the network's own.
        found_raw: whether the symbol that it came from takes pixels as they are: nothing says which it was trained on.
    """

    notes: list[str] = []
    normalisation = None
    found_raw = False

    def __init__(
        self,
        spec: dict,
        input_scale: float | Sequence[float] = INPUT_SCALE,
        input_mean: float | Sequence[float] = PIXEL_MEAN,
        bgr: bool = False,
    ):
        super().__init__(prefix="")
        self._pixels = input_mean, input_scale, bgr
        self.spec = json.loads(json.dumps(spec))
        self._dtype = "float32"
        self._native = True

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        x = F.cast(x, dtype=self._dtype, name="id")
        return self.features(F, normalised(F, x, *self._pixels))

    def features(self, F: Any, x: Any) -> Any:
        raise NotImplementedError

    def forward(self, x: Any, *args: Any) -> Any:
        if isinstance(x, mx.sym.Symbol):
            used, _ = self._native, self._set_native(True)
            try:
                return super().forward(x, *args)
            finally:
                self._set_native(used)
        native = x.context.device_type == "gpu"
        if native != self._native:
            self._set_native(native)
            self._clear_cached_op()
        return super().forward(x, *args)

    def _set_native(self, native):
        self._native = native
        self.apply(lambda block: setattr(block, "native", native) if isinstance(block, PReLU) else None)

    def initialize(
        self,
        init: mx.init.Initializer | None = None,
        ctx: mx.Context | list[mx.Context] | None = None,
        verbose: bool = False,
        force_reinit: bool = False,
    ) -> None:
        """As gluon's, with the reference's initialisers by default (`reference_init`)."""
        super().initialize(init or reference_init(), ctx, verbose, force_reinit)

    def hybridize(
        self, active: bool = True, static_alloc: bool = True, static_shape: bool = True, **options: Any
    ) -> None:
        """As gluon's, with the fastest settings by default; they hold for several contexts and changing batches."""
        super().hybridize(active, static_alloc=static_alloc, static_shape=static_shape, **options)

    def cast(self, dtype: Any) -> None:
        super().cast(dtype)
        self._dtype = np.dtype(dtype).name

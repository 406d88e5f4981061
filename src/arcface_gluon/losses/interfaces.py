"""What a head, a margin and a device's kernels must have: what training and the sharded head ask of them, no more."""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple, Protocol, runtime_checkable

import numpy as np

# Of a zero vector, whose direction is undefined, all cosines are 0: this is added to the squares of lengths.
SMALLEST_SQUARE = 1e-24
# sin(theta) below which the direction of an angle's gradient is rounding noise; 1 - cos(theta) is then 1e-7.
SMALLEST_SINE = 4.5e-4

# Changes some rows of a block's logits (b, c) in place, given the slice of the batch that they are, before the softmax;
# gives the derivative (b, c), or None for 1. The targets' logits are masked already. NumPy arrays or NDArrays.
Modulation = Callable[[Any, slice], Any]


class SGD(NamedTuple):
    """step = -lr * (gradient + wd * w); mom = momentum * mom + step; w += mom, as MXNet's.

    Attributes:
        nesterov: w += momentum * mom + step instead, as MXNet's NAG.
    """

    lr: float
    momentum: float
    wd: float
    nesterov: bool = False


class Margin(Protocol):
    """psi of the target angle. A plain function `theta -> (psi, dpsi/dtheta)` is one as well."""

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """psi and dpsi/dtheta for angles in [0, pi] radians; arrays of theta's shape."""


@runtime_checkable
class LengthMargin(Protocol):
    """A margin that depends on the lengths of the embeddings too (losses/adaptive.py).

    Attributes:
        by_length: True.
    """

    by_length: bool

    def __call__(self, theta: np.ndarray, lengths: np.ndarray) -> tuple:
        """(B,) float64 each: psi, dpsi/dtheta, dpsi/dlength or None, term of the loss, dterm/dlength."""

    def state(self) -> dict:
        """What a checkpoint must hold of it (JSON)."""

    def load_state(self, state: dict) -> None:
        """Go on from a checkpoint's `state`, which may hold other things too."""


class CentreTerm(Protocol):
    """What a term of the loss beside the softmax adds to a shard's gradient."""

    def add_to(self, k: int, gradient: Any) -> None:
        """Add it to dL/dW of block k, (c, d) NDArray, as if the centres' lengths counted."""


class Head(Protocol):
    """A loss with what it trains of its own: what `training.Trainer` uses.

    Attributes:
        num_classes: identities of the data.
        accuracy: of the last batch.
        target_angles: (B,) NumPy, radians, of the last batch; empty where the loss has none.
    """

    num_classes: int
    accuracy: float
    target_angles: np.ndarray

    def forward_backward(self, embeddings: list[Any], labels: list[Any]) -> tuple[float, list[Any]]:
        """Mean loss of the global batch and dloss/dembedding, one (b_i, d) NDArray a context."""

    def update(self, lr: float, momentum: float, wd: float, nesterov: bool = False) -> None:
        """SGD with the gradient of the last `forward_backward`."""

    def gradient_square(self) -> float:
        """Sum of squares of that gradient, over this process's shards."""

    def state(self) -> dict:
        """What a checkpoint must hold besides the shards (JSON)."""

    def load_state(self, state: dict) -> None:
        """Go on from a checkpoint's `state`."""

    def shards(self) -> Iterator[tuple[int, int, dict]]:
        """(first identity, last + 1, {array's name: (rows, columns) NDArray}) of each shard."""

    def layout(self) -> dict:
        """{array's name: (rows, columns)} of a whole checkpoint, all shards together."""

    def load_rows(self, start: int, arrays: dict) -> None:
        """Copy rows of any sharding's checkpoint, from identity `start` on, into the shards that own them."""


class Kernels(Protocol):
    """The elementwise work of a shard on one device, on the device's kind of arrays: NumPy's or NDArrays.

    Shapes: B batch, d embedding size, c classes of a block.

    Attributes:
        xp: module of `maximum` and `exp` for these arrays.
        normalised: whether `softmax` leaves probabilities; else exp(logit - top).
    """

    xp: Any
    normalised: bool

    def wrap(self, array: Any) -> Any:
        """A handle of an NDArray: `.array` is it, `.get()` what kernels take."""

    def column(self, values: np.ndarray) -> Any:
        """Host numbers (n,) as (n, 1) float32."""

    def index(self, values: np.ndarray) -> Any:
        """Host numbers (n,) as an index."""

    def to_host(self, array: Any) -> np.ndarray:
        """As float64 NumPy; waits."""

    def to_ndarray(self, array: Any) -> Any:
        """As an NDArray on the device."""

    def take(self, array: Any, index: Any) -> Any:
        """Rows of an array."""

    def add_rows(self, array: Any, index: Any, rows: Any) -> None:
        """array[index] += rows, for distinct places."""

    def row_dots(self, a: Any, b: Any) -> Any:
        """(n, 1) inner products of the rows of (n, d) and (n, d)."""

    def scale(self, array: Any, column: Any, out: Any) -> None:
        """out = array * column: (n, d) times (n, 1)."""

    def blend(self, total: Any, before: Any, part: Any, now: Any) -> None:
        """total = total * before + part * now, in place: (n, d) times (n, 1). May destroy `part`."""

    def mask(self, logits: Any, places: Any, value: float) -> None:
        """Set places of the flat logits."""

    def softmax(self, logits: Any, inverse: Any, modulate: Modulation | None) -> tuple[Any, Any]:
        """Scale logits (B, c) by 1 / norm (c, 1), modulate them, and turn them into weights of a softmax, in place.

        Each column of the weights is multiplied by the derivative of the modulation and by 1 / norm again.

        Returns:
            (B, 1) each: top, the largest logit, and total, the sum of exp(logit - top).
        """

    def measure(self, weight: Any, inverse: Any) -> None:
        """1 / norm of centres (c, d) into (c, 1)."""

    def remove_radial_part(self, weight: Any, gradient: Any, inverse: Any) -> None:
        """Project gradients (c, d), in place, on what is at right angles to the centres."""

    def sgd(self, weight: Any, gradient: Any, momentum: Any, inverse: Any, rule: SGD, unit: bool) -> None:
        """Update centres (c, d) and their momenta in place. Destroys the gradient.

        unit: first remove the gradient's radial part, and measure the new centres' norms.
        """

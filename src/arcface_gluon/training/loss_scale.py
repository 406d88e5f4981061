"""The factor that keeps the gradients of float16 training within its range (Micikevicius et al., ICLR 2018)."""

from __future__ import annotations

from ..errors import UserError


class LossScale:
    """Grows while nothing overflows, and falls back where something does, whose step is left out.

    Args:
        value: the first factor.
        growth: iterations without an overflow after which it doubles; 0: it stays as it is.

    Attributes:
        value: the factor of the next iteration.
        left_out: steps left out so far.
    """

    def __init__(self, value: float, growth: int):
        self.value, self.left_out = value, 0
        self._growth, self._without = growth, 0

    def count(self, finite: bool) -> str | None:
        """Count an iteration; gives what is to be told of it, where its step was left out.

        Args:
            finite: whether its gradients, summed over all processes, had neither NaN nor infinity.

        Raises:
            UserError: they overflow whatever the factor.
        """
        if finite:
            self._without += 1
            if self._growth and self._without >= self._growth:
                self.value, self._without = self.value * 2, 0
            return None
        self.left_out, self._without = self.left_out + 1, 0
        if self._growth:
            self.value /= 2
        if self.value < 1:
            raise UserError(
                "the gradients are not finite in float16 even at a loss scale of 1; try a smaller train.lr, or "
                "train.dtype=float32"
            )
        return f"gradients overflowed in float16: the step is left out, the loss scale is {self.value:g}"

    def state(self) -> dict:
        """What a checkpoint must remember."""
        return {"value": self.value, "without": self._without, "left_out": self.left_out}

    def load_state(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.value, self._without, self.left_out = (state[key] for key in ("value", "without", "left_out"))

"""Margins that depend on the embedding's length: MagFace and AdaFace.

A margin of this kind is called with the target angles and the embeddings' lengths. It returns, all (B,) float64:
psi and dpsi/dtheta as `Margin` does, dpsi/dlength (None: the length has no gradient), the term that each sample adds to
the loss, and that term's derivative by the length.
"""

from __future__ import annotations

import math

import numpy as np


class MagFace:
    """cos(theta + m(a)) with a margin that grows with the length a = |x| (Meng et al., MagFace, CVPR 2021).

    m(a) = l_m + (u_m - l_m) / (u_a - l_a) * (a - l_a); the loss gets lambda_g * mean(a / u_a^2 + 1 / a), which draws
    lengths up. a is clipped to [l_a, u_a], outside of which it has no gradient, as in the authors' code. That code also
    leaves the margin out beyond 90 degrees; here the formula of the paper holds for all angles.

    Args:
        l_a, u_a: least and largest length.
        l_m, u_m: margin there, radians.
        lambda_g: weight of the regulariser.
    """

    by_length = True

    def __init__(
        self, l_a: float = 10.0, u_a: float = 110.0, l_m: float = 0.45, u_m: float = 0.8, lambda_g: float = 35.0
    ):
        self.l_a, self.u_a, self.l_m, self.u_m, self.lambda_g = map(float, (l_a, u_a, l_m, u_m, lambda_g))

    def __call__(self, theta: np.ndarray, lengths: np.ndarray) -> tuple:
        a = np.clip(lengths, self.l_a, self.u_a)
        growth = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        phi = theta + self.l_m + growth * (a - self.l_a)
        inside = (lengths > self.l_a) & (lengths < self.u_a)
        term = self.lambda_g * (a / self.u_a**2 + 1 / a)
        term_by_length = inside * self.lambda_g * (1 / self.u_a**2 - 1 / a**2)
        return np.cos(phi), -np.sin(phi), -np.sin(phi) * growth * inside, term, term_by_length

    def state(self) -> dict:
        """Nothing is remembered from batch to batch."""
        return {}

    def load_state(self, state: dict) -> None:
        """See `state`."""


class AdaFace:
    """cos(theta - m z) - m (1 + z), z in [-1, 1] being the image quality (Kim et al., AdaFace, CVPR 2022).

    z = (|x| - mean) / std * h, clipped; mean and std of the lengths are moving averages over batches: alpha times the
    batch's plus (1 - alpha) times the last. z has no gradient. The angle theta - m z is clipped to (0, pi), beyond
    which there is no gradient. Lengths are clipped to [0.001, 100]. As in the authors' code the averages begin at 20
    and 100. (alpha is the paper's; their training script's default is 0.01.)

    Args:
        m: margin.
        h: concentration.
        alpha: weight of the batch in the moving averages.
    """

    by_length = True
    _EPSILON = 1e-3

    def __init__(self, m: float = 0.4, h: float = 0.333, alpha: float = 0.99):
        self.m, self.h, self.alpha = float(m), float(h), float(alpha)
        self.mean, self.std = 20.0, 100.0

    def quality(self, lengths: np.ndarray) -> np.ndarray:
        """z of these lengths, by the averages as they stand."""
        lengths = np.clip(lengths, 1e-3, 100)
        return np.clip((lengths - self.mean) / (self.std + self._EPSILON) * self.h, -1, 1)

    def __call__(self, theta: np.ndarray, lengths: np.ndarray) -> tuple:
        clipped = np.clip(lengths, 1e-3, 100)
        spread = clipped.std(ddof=1) if len(clipped) > 1 else 0.0
        self.mean += self.alpha * (clipped.mean() - self.mean)
        self.std += self.alpha * (spread - self.std)
        value, slope = self.at_quality(theta, self.quality(lengths))
        return value, slope, None, 0.0, 0.0

    def at_quality(self, theta: np.ndarray, z: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """psi and dpsi/dtheta for given qualities z."""
        phi = theta - self.m * z
        inside = (phi > self._EPSILON) & (phi < math.pi - self._EPSILON)
        value = np.cos(np.clip(phi, self._EPSILON, math.pi - self._EPSILON)) - self.m * (1 + z)
        return value, -np.sin(phi) * inside

    def state(self) -> dict:
        """What a checkpoint must hold."""
        return {"mean": float(self.mean), "std": float(self.std)}

    def load_state(self, state: dict) -> None:
        """Go on from a checkpoint's `state`."""
        self.mean, self.std = state.get("mean", self.mean), state.get("std", self.std)

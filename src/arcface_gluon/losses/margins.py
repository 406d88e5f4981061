"""The margin on the target angle (Eq. 4 of the paper)."""

from __future__ import annotations

import math

import numpy as np

from ..errors import UserError

BOUNDARIES = ("literal", "monotone")


class Margin:
    """Combined margin: the target cosine cos(theta) becomes psi(theta) = cos(m1 theta + m2) - m3 (Eq. 4).

    Norm-Softmax is (1, 0, 0), SphereFace (1.35, 0, 0), ArcFace (1, 0.5, 0), CosFace (1, 0, 0.35), CM1 (1, 0.3, 0.2),
    CM2 (0.9, 0.4, 0.15).

    A margin is any callable that takes the target angles and returns psi and dpsi/dtheta; `ShardedMarginHead` asks
    nothing else of it.

    Args:
        m1: factor on the angle, above 0.
        m2: angle added, in radians.
        m3: cosine taken off.
        boundary: what holds past m1 theta + m2 = pi, where the cosine of Eq. 4 rises again.
            "literal": Eq. 4 as printed, with its true gradient, which there pulls the embedding away from its centre
            (as in the paper's own code).
            "monotone": psi = (-1)^k cos(phi) - 2k - m3 with phi = m1 theta + m2 and k = floor(phi / pi), SphereFace's
            continuation: it keeps falling, is continuous, and so is its derivative -(-1)^k m1 sin(phi).

    Raises:
        UserError: a number that is not finite, m1 not above 0, or an unknown boundary.
    """

    def __init__(self, m1: float = 1.0, m2: float = 0.5, m3: float = 0.0, boundary: str = "literal"):
        self.m1, self.m2, self.m3, self.boundary = float(m1), float(m2), float(m3), boundary
        for name in ("m1", "m2", "m3"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"margin {name}={getattr(self, name)} is not a finite number")
        if self.m1 <= 0:
            raise UserError(f"margin m1={self.m1} must be above 0; 1 leaves the angle as it is")
        if boundary not in BOUNDARIES:
            raise UserError(f"margin boundary {boundary!r} is unknown; choose one of {', '.join(BOUNDARIES)}")

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """psi(theta) and dpsi/dtheta for angles in [0, pi] radians; arrays of theta's shape.

        In terms of the angle the derivative is bounded, where dpsi/dcos is infinite at theta = 0 and pi.
        """
        phi = self.m1 * theta + self.m2
        value, slope = np.cos(phi), -self.m1 * np.sin(phi)
        if self.boundary == "monotone":
            k = np.floor(phi / np.pi)
            sign = 1 - 2 * (k % 2)
            value, slope = sign * value - 2 * k, sign * slope
        return value - self.m3, slope

    def __repr__(self):
        boundary = "" if self.boundary == "literal" else f", boundary={self.boundary!r}"
        return f"Margin({self.m1:g}, {self.m2:g}, {self.m3:g}{boundary})"

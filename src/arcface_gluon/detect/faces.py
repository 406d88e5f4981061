"""What a detector is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """A face in an image, in its pixels.

    Attributes:
        box: (4,) float32: left, top, right, bottom; may reach beyond the image.
        score: the detector's probability.
        landmarks: (5, 2) float32: x and y of left eye, right eye, nose tip, left and right mouth corner; left as
            one sees it.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


class Detector(Protocol):
    """Whatever finds faces."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of an RGB image (height, width, 3) uint8, the most probable first."""

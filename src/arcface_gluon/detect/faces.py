"""What a detector is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
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


def detect_reduced(detector: Detector, image: np.ndarray, scale: float) -> list[Face]:
    """Faces of an RGB image that is looked at made smaller, in the pixels of the image itself.

    Args:
        scale: of its sides as they are looked at; from 1 on it is looked at as it is.
    """
    if scale >= 1:
        return detector.detect(image)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    faces = detector.detect(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    ratio = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
    return [Face(face.box * np.tile(ratio, 2), face.score, face.landmarks * ratio) for face in faces]

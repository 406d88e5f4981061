"""What a detector is, and which there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    import mxnet as mx


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


def open_detector(kind: str = "mtcnn", min_face: int = 20, context: mx.Context | None = None) -> Detector:
    """A detector by its name or its weights.

    Args:
        kind: "mtcnn": with the weights of the package mtcnn; a folder: MTCNN with its pnet.lz4, rnet.lz4 and
            onet.lz4; FILE.onnx: YuNet, run by OpenCV.
        min_face: side of the smallest face that is looked for, in pixels.
        context: mx.Context of MTCNN; the CPU by default.

    Raises:
        UserError: there is no such detector, or its weights are missing or damaged.
    """
    if kind == "mtcnn" or Path(kind).is_dir():
        from ..models.formats.mtcnn_weights import package_folder
        from .mtcnn import MTCNN

        return MTCNN(package_folder() if kind == "mtcnn" else kind, min_face, context)
    if kind.endswith(".onnx"):
        from .yunet import YuNet

        return YuNet(kind, min_face)
    raise UserError(f"no detector {kind!r}; give mtcnn, a folder with MTCNN's weights, or YuNet's FILE.onnx")

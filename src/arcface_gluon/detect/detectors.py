"""Which detectors there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .faces import Detector

if TYPE_CHECKING:
    import mxnet as mx


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

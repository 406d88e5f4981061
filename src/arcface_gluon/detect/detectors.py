"""Which detectors there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .faces import Detector

if TYPE_CHECKING:
    import mxnet as mx


ONNX = "FILE.onnx of YuNet or of a detector of insightface"  # what may be named, in messages


def open_detector(kind: str = "mtcnn", min_face: int = 20, context: mx.Context | None = None) -> Detector:
    """A detector by its name or its weights.

    Args:
        kind: "mtcnn": with the weights of the package mtcnn; a folder: MTCNN with its pnet.lz4, rnet.lz4 and
            onet.lz4; FILE.onnx: YuNet, run by OpenCV, or a detector of insightface, run by ONNX Runtime.
        min_face: side of the smallest face that is looked for, in pixels.
        context: mx.Context of MTCNN; the CPU by default, where the others always run.

    Raises:
        UserError: there is no such detector, or its weights are missing or damaged.
    """
    if kind == "mtcnn" or Path(kind).is_dir():
        from ..models.formats.mtcnn_weights import package_folder
        from .mtcnn import MTCNN

        return MTCNN(package_folder() if kind == "mtcnn" else kind, min_face, context)
    if kind.endswith(".onnx"):
        return _open_onnx(kind, min_face)
    raise UserError(f"no detector {kind!r}; give mtcnn, a folder with MTCNN's weights, or {ONNX}")


def _open_onnx(path, min_face):
    from .scrfd import SCRFD
    from .yunet import YuNet

    if not Path(path).is_file():
        raise UserError(f"there is no file {path}; give mtcnn, a folder with MTCNN's weights, or {ONNX}")
    try:
        return YuNet(path, min_face)
    except ValueError as error:
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError(f"{error}; if it is a detector of insightface: pip install onnxruntime") from None
    return SCRFD(path, min_face)

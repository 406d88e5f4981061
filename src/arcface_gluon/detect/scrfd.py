"""SCRFD (Guo et al., ICLR 2022), the detectors of insightface, run by ONNX Runtime from their .onnx."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from ..runtime import import_optional
from .boxes import suppress
from .faces import Face

# The smallest face that the finest cells, of 8 pixels, were trained on; for larger ones the image is made smaller.
_SMALLEST = 16
_OVERLAP = 0.4  # of two boxes that count as one face
# Scores, boxes and landmarks at each stride: number of outputs → (strides, boxes a cell).
_LAYOUTS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
_WIDTHS = (1, 4, 10)


class SCRFD:
    """A detector of insightface (det_10g.onnx, scrfd_500m_bnkps.onnx …) behind this project's interface.

    Each cell of a grid tells, in units of its stride, how far the sides of the box are from its corner, and where the
    landmarks lie; pixels go in as (RGB - 127.5) / 128.
    """

    def __init__(self, path: str, min_face: int = 20, threshold: float = 0.5):
        """Args:
            path: the file; one with landmarks (…kps).
            min_face: side of the smallest face that is looked for, in pixels; no matter where the file fixes the size
                of its input.
            threshold: probability above which a face counts.

        Raises:
            UserError: onnxruntime is not installed, or the file is no such detector.
        """
        runtime = import_optional("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)  # `align` has a process a core
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes, of no common kind
            raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); it may be damaged") from None
        self._scale, self._threshold = min(1.0, _SMALLEST / min_face), threshold
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else ()
        fixed = len(shape) == 4 and all(isinstance(side, int) and side > 0 for side in shape[2:])
        self._name, self._fixed = inputs[0].name, tuple(shape[2:]) if fixed else None
        self._check(path)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of an RGB image (height, width, 3) uint8, the most probable first."""
        canvas, ratio = self._fit(image)
        boxes, scores, points = self._decode(self._run(canvas), canvas.shape[:2])
        boxes, points = boxes * np.tile(ratio, 2), points * ratio
        return [Face(boxes[i], float(scores[i]), points[i]) for i in suppress(boxes, scores, _OVERLAP)]

    def _fit(self, image):
        """(the image scaled, with black at the right and below, as the network takes it; (2,) pixels of x and y)."""
        sides = np.array(image.shape[:2])
        scale = min(np.array(self._fixed) / sides) if self._fixed else self._scale
        height, width = (max(1, round(side * scale)) for side in sides)
        coarsest = self._strides[-1]
        full = self._fixed or (-(-height // coarsest) * coarsest, -(-width // coarsest) * coarsest)
        canvas = np.zeros((*full, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return canvas, np.array([sides[1] / width, sides[0] / height], np.float32)

    def _run(self, canvas) -> list[Any]:
        pixels = (canvas.astype(np.float32) - 127.5) / 128
        outputs = self._session.run(None, {self._name: pixels.transpose(2, 0, 1)[None]})
        return [output.reshape(-1, output.shape[-1]) for output in outputs]

    def _decode(self, outputs, sides):
        """(boxes (n, 4), scores (n,), landmarks (n, 5, 2)) above the threshold, in pixels of the canvas."""
        found, count = [], len(self._strides)
        for i, stride in enumerate(self._strides):
            rows, columns = np.mgrid[: sides[0] // stride, : sides[1] // stride]
            corners = np.stack([columns, rows], axis=-1).reshape(-1, 2).repeat(self._each, axis=0)
            scores, distances, points = outputs[i], outputs[i + count], outputs[i + 2 * count]
            passed = scores[:, 0] >= self._threshold
            corners, distances = corners[passed], distances[passed]
            boxes = np.hstack([corners - distances[:, :2], corners + distances[:, 2:]]) * stride
            landmarks = (np.tile(corners, 5) + points[passed]) * stride
            found.append(np.hstack([boxes, scores[passed], landmarks]).astype(np.float32))
        table = np.concatenate(found)
        return table[:, :4], table[:, 4], table[:, 5:].reshape(-1, 5, 2)

    def _check(self, path):
        """Refuse a network whose outputs are others, by what it gives for a black image."""
        count = len(self._session.get_outputs())
        if count in (6, 10):
            raise UserError(f"{path} finds no landmarks, by which faces are aligned; take one with them (…kps)")
        if count not in _LAYOUTS:
            raise UserError(f"{path} is neither YuNet nor a detector of insightface: it has {count} outputs")
        self._strides, self._each = _LAYOUTS[count]
        canvas = self._fit(np.zeros((128, 128, 3), np.uint8))[0]
        cells = [canvas.shape[0] // stride * (canvas.shape[1] // stride) * self._each for stride in self._strides]
        wanted = [(cell, width) for width in _WIDTHS for cell in cells]
        try:
            given = [output.shape for output in self._run(canvas)]
        except Exception as error:
            given = [str(error).splitlines()[0]]
        if given != wanted:
            raise UserError(f"{path} is neither YuNet nor a detector of insightface: its outputs are {given[:3]} …")

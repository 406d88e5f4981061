"""YuNet (Wu et al., Machine Intelligence Research 20, 2023), run by OpenCV from its .onnx."""

from __future__ import annotations

import cv2
import numpy as np

from .faces import Face

# The smallest face it was trained to see, in pixels; for larger ones the image is made smaller.
_SMALLEST = 10


class YuNet:
    """OpenCV's FaceDetectorYN behind this project's interface."""

    def __init__(self, path: str, min_face: int = 20, threshold: float = 0.7):
        """Args:
            path: such as face_detection_yunet_2023mar.onnx of OpenCV's model zoo.
            min_face: side of the smallest face that is looked for, in pixels.
            threshold: probability above which a face counts.

        Raises:
            ValueError: it is no YuNet, or none that this OpenCV can run.
        """
        self._scale = min(1.0, _SMALLEST / min_face)
        level = cv2.getLogLevel()
        cv2.setLogLevel(0)  # what is said of another tool's network is no matter here
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)
            self.detect(np.zeros((64, 64, 3), np.uint8))  # another network is known by its outputs
        except (cv2.error, AttributeError):  # OpenCV before 4.5.4 has none
            raise ValueError(f"{path} is no YuNet that OpenCV {cv2.__version__} can run") from None
        finally:
            cv2.setLogLevel(level)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of an RGB image (height, width, 3) uint8, the most probable first."""
        height, width = (max(1, round(side * self._scale)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        self._network.setInputSize((width, height))
        rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        ratio = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        faces = []
        for row in () if rows is None else rows:
            # left, top, width, height, five points (the person's right eye, at the viewer's left, first), score
            corner, side = row[:2] * ratio, row[2:4] * ratio
            faces.append(Face(np.hstack([corner, corner + side]), float(row[14]), row[4:14].reshape(5, 2) * ratio))
        return sorted(faces, key=lambda face: -face.score)

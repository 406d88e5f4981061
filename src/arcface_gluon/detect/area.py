"""Boxes of an image scaled by averaging areas, as the networks of MTCNN were trained to see them."""

from __future__ import annotations

import cv2
import numpy as np


class AreaPyramid:
    """One image, of which any boxes are scaled to any size at a cost of the size alone.

    A pixel of the result is the mean of those between floor(i * side / size) and ceil((i + 1) * side / size) of the
    box: adaptive average pooling, PyTorch's `interpolate(mode="area")`. Sums are exact.
    """

    def __init__(self, image: np.ndarray):
        """Args: image: (height, width, 3) uint8."""
        # A sum of the whole may pass 2**32, where it starts again from 0; a difference of two is right all the same as
        # long as one pixel of a result covers fewer than 2**24 of the image.
        self._sums = cv2.integral(image, sdepth=cv2.CV_32S).view(np.uint32)

    def crop(self, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
        """Boxes scaled to one size.

        Args:
            boxes: (n, 4) integers: left, top, right, bottom; inside the image, right and bottom exclusive, not empty.
            height, width: of the results.

        Returns:
            (n, 3, height, width) float32, 0..255.
        """
        left, right = _edges(boxes[:, 0], boxes[:, 2], width)
        top, bottom = _edges(boxes[:, 1], boxes[:, 3], height)
        sums = self._sums
        top, bottom, left, right = top[:, :, None], bottom[:, :, None], left[:, None, :], right[:, None, :]
        totals = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        means = totals.astype(np.float32) / ((bottom - top) * (right - left)).astype(np.float32)[..., None]
        return means.transpose(0, 3, 1, 2)


def _edges(start, stop, size):
    """Where each of `size` parts of start..stop begins and ends, (n, size) each."""
    side, i = (stop - start)[:, None], np.arange(size)
    return start[:, None] + i * side // size, start[:, None] - (-(i + 1) * side // size)

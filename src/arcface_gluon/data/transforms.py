"""Random changes of training images. The paper's only one is the mirror; the others help small sets such as ORL."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Random numbers an image may use, in blocks of four as the Philox generator makes them.
_BLOCKS = 3
# Sets this use of the seed apart from others.
_STREAM = 0xA06


def random_draws(seed: int, position: int, count: int) -> np.ndarray:
    """Random numbers of the images at `position` … `position + count - 1` of the sample stream.

    They depend on the seed and the position only: Philox is a counter, so any place is reached at once.

    Returns:
        (count, 12) float64 in [0, 1).
    """
    generator = np.random.Philox(key=[seed, _STREAM], counter=[position * _BLOCKS, 0, 0, 0])
    raw = generator.random_raw(count * 4 * _BLOCKS).reshape(count, 4 * _BLOCKS)
    return (raw >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True)
class Augment:
    """What to do with a training image; each number is drawn evenly within its limits.

    Attributes:
        flip: probability of mirroring.
        shift: largest shift along each axis, pixels.
        rotate: largest rotation, degrees.
        scale: largest relative change of size; 0.1 is 0.9 to 1.1.
        light: largest relative change of contrast, and of brightness (in units of 128 grey levels).
        erase: probability that a rectangle of 2 to 15 % of the area turns grey.
    """

    flip: float = 0.5
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    light: float = 0.0
    erase: float = 0.0

    def __call__(self, image, draws, spare):
        """Change one image.

        Args:
            image: (height, width, 3) uint8, may be overwritten.
            draws: 12 numbers in [0, 1), as `random_draws` gives.
            spare: array like `image` to work in.

        Returns:
            `image` or `spare`, whichever has the result.
        """
        if self.shift or self.rotate or self.scale:
            matrix = self._similarity(image.shape, *draws[:4])
            size = image.shape[1], image.shape[0]
            cv2.warpAffine(image, matrix, size, spare, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
            image, spare = spare, image
        if draws[4] < self.flip:
            cv2.flip(image, 1, spare)
            image, spare = spare, image
        if self.light:
            contrast = 1 + self.light * (2 * draws[5] - 1)
            brightness = 128 * self.light * (2 * draws[6] - 1)
            # Contrast about mid-grey; addWeighted rounds and clips.
            cv2.addWeighted(image, contrast, image, 0, 127.5 * (1 - contrast) + brightness, spare)
            image, spare = spare, image
        if draws[7] < self.erase:
            _erase(image, *draws[8:12])
        return image

    def _similarity(self, shape, x, y, angle, size):
        centre = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        scale = 1 + self.scale * (2 * size - 1)
        matrix = cv2.getRotationMatrix2D(centre, self.rotate * (2 * angle - 1), scale)
        matrix[:, 2] += self.shift * (2 * x - 1), self.shift * (2 * y - 1)
        return matrix


def _erase(image, area, aspect, x, y):
    height, width = image.shape[:2]
    pixels = (0.02 + 0.13 * area) * height * width
    ratio = 0.5 * 4**aspect  # 1:2 to 2:1
    rows = min(height, max(1, round((pixels * ratio) ** 0.5)))
    columns = min(width, max(1, round((pixels / ratio) ** 0.5)))
    top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
    image[top : top + rows, left : left + columns] = 127  # what the network's normalisation makes nearly 0

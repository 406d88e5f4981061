"""Random changes of training images. The paper's only one is the mirror; the others help small sets such as ORL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import cv2
import numpy as np

# Random numbers an image may use, in blocks of four as the Philox generator makes them.
_BLOCKS = 3
# These set the uses of the seed apart: the first twelve numbers of an image, and those of the changes that came later.
_STREAMS = 0xA06, 0xA07
_JPEG_QUALITY = 20, 90  # drawn evenly from these
_CUTOUT_CHANCE = 0.5


def random_draws(seed: int, position: int, count: int, more: bool = False) -> np.ndarray:
    """Random numbers of the images at `position` … `position + count - 1` of the sample stream.

    They depend on the seed and the position only: Philox is a counter, so any place is reached at once.

    Args:
        more: twelve more for each image, as `Augment.later` needs them; the first twelve stay as they are.

    Returns:
        (count, 12 or 24) float64 in [0, 1).
    """
    parts = []
    for stream in _STREAMS[: 1 + more]:
        generator = np.random.Philox(key=[seed, stream], counter=[position * _BLOCKS, 0, 0, 0])
        raw = generator.random_raw(count * 4 * _BLOCKS).reshape(count, 4 * _BLOCKS)
        parts.append((raw >> np.uint64(11)) * 2.0**-53)
    return np.hstack(parts)


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
        colour: largest relative change of brightness, of contrast and of saturation, one after the other (insightface's
            data_color, with 0.125).
        jpeg: probability of another compression, of quality 20 to 90 (its data_color=2, with 0.5).
        cutout: side in pixels of a square around any pixel that turns grey in half of the images (its data_cutoff).
    """

    flip: float = 0.5
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    light: float = 0.0
    erase: float = 0.0
    colour: float = 0.0
    jpeg: float = 0.0
    cutout: int = 0

    @property
    def later(self) -> bool:
        """Whether images need the draws of the changes that came later."""
        return bool(self.colour or self.jpeg or self.cutout)

    @property
    def only_mirrors(self) -> bool:
        """Whether images are changed in no way but mirrored."""
        return self == Augment(flip=self.flip)

    def mirrors(self, draws: np.ndarray) -> np.ndarray:
        """Which images are mirrored, (n,) bool, of (n, 12 or 24) draws as `random_draws` gives them."""
        return draws[:, 4] < self.flip

    def __call__(self, image: np.ndarray, draws: Sequence[float], spare: np.ndarray) -> np.ndarray:
        """Change one image.

        Args:
            image: (height, width, 3) uint8, may be overwritten.
            draws: numbers in [0, 1), as `random_draws` gives: 12, or 24 where `later`.
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
        if self.colour:
            image = _jitter(image, *(1 + self.colour * (2 * draw - 1) for draw in draws[12:15]))
        if self.jpeg and draws[15] < self.jpeg:
            lowest, highest = _JPEG_QUALITY
            quality = lowest + int(draws[16] * (highest - lowest + 1))
            encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        if self.cutout and draws[17] < _CUTOUT_CHANCE:
            _cut_out(image, self.cutout, *draws[18:20])
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


def _jitter(image, brightness, contrast, saturation):
    """Each a factor near 1: of all values, of the distance to the mean grey level, of the distance to the own grey."""
    values = image.astype(np.float32) * brightness
    values += (1 - contrast) * (cv2.cvtColor(values, cv2.COLOR_RGB2GRAY).mean() - values)
    values += (1 - saturation) * (cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[..., None] - values)
    return cv2.convertScaleAbs(np.maximum(values, 0, out=values))  # rounds and clips


def _cut_out(image, side, x, y):
    height, width = image.shape[:2]
    row, column = int(y * height), int(x * width)
    half = side // 2
    image[max(0, row - half) : row - half + side, max(0, column - half) : column - half + side] = 127

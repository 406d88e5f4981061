"""EXIF: which side of a photograph is up."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager

import numpy as np
from PIL import Image

_TAG = 0x0112
_TURNABLE = ("JPEG", "PNG", "WEBP")


def orientation(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, of an encoded image; 1 (as it is) where there is none, or none that can be read.

    Of TIFF too: OpenCV turns it while it decodes, whatever it is asked for.
    """
    try:
        with _opened(data, _TURNABLE) as image:
            value = image.getexif().get(_TAG, 1)
    except Exception:  # whatever a damaged header leads to; the pixels may be whole
        return 1
    return value if value in range(1, 9) else 1


def is_animated(data: bytes) -> bool:
    """Whether an encoded image holds several pictures."""
    try:
        with _opened(data, (*_TURNABLE, "TIFF")) as image:
            return image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    except Exception:
        return False


@contextmanager
def _opened(data, formats):
    """Pillow's view of an encoded image, without its warnings of what is odd in the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield image


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (height, width, channels) turned and mirrored as an EXIF orientation, 1 to 8, says; contiguous."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)

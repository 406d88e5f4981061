"""A photograph's bytes to upright pixels, or the reason why not."""

from __future__ import annotations

import numpy as np

from ..data.images.decode import decode_image, image_size
from ..data.images.orientation import is_animated, orientation, upright


def read_photograph(data: bytes, most_pixels: int | None = None) -> np.ndarray:
    """The pixels of an encoded photograph, turned as its EXIF orientation says; transparency is dropped.

    Args:
        data: the file's bytes.
        most_pixels: refuse what has more, before anything is decoded; None: the limit of `image_size`.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: no image, damaged, animated, of several pictures, or too large.
    """
    height, width = image_size(data)
    if most_pixels is not None and height * width > most_pixels:
        raise ValueError(f"{width} x {height} pixels are too many; {most_pixels:,} are allowed")
    if is_animated(data):
        raise ValueError("it is animated, or has several pictures")
    return upright(decode_image(data), orientation(data))

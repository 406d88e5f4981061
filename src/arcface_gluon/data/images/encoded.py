"""What people hand to the writers as an encoded image, as bytes; and what is none, told apart in one line."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .decode import is_image


def encoded_bytes(item: Any, what: str) -> bytes:
    """The bytes of an encoded image.

    Args:
        item: bytes, bytearray, memoryview, or an array as `cv2.imencode` gives it: uint8, (n,), (n, 1) or (1, n).
        what: names the item in messages, such as "image 3".

    Raises:
        ValueError: a path, an array of pixels, or bytes that no image begins with; says what to give instead.
    """
    if isinstance(item, (str, os.PathLike)) or isinstance(item, bytes) and _looks_like_a_path(item):
        raise ValueError(f"{what} is a path, {str(item)[:80]!r}: give the file's content, Path(...).read_bytes()")
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.size != max(item.shape, default=0):
            raise ValueError(
                f"{what} is an array of {item.dtype} of shape {item.shape}, not an encoded image: "
                'give cv2.imencode(".jpg", image)[1] (where pixels are in the order BGR)'
            )
        item = item.tobytes()
    if not isinstance(item, (bytes, bytearray, memoryview)):
        raise ValueError(f"{what} is of type {type(item).__name__}, not an encoded image (bytes)")
    if not len(item):
        raise ValueError(f"{what} is empty: no byte of an image is in it")
    data = bytes(item)
    if not is_image(data[:16]):
        raise ValueError(f"{what} is no image: it begins with {data[:8]!r}; give the content of a JPEG or PNG file")
    return data


def ending(image: bytes) -> str:
    """How a file of such an encoded image is named: .png, .bmp, else .jpg."""
    return ".png" if image.startswith(b"\x89PNG") else ".bmp" if image.startswith(b"BM") else ".jpg"


def _looks_like_a_path(data):
    return len(data) < 1024 and os.path.splitext(data)[1].lower() in (b".jpg", b".jpeg", b".png", b".bmp", b".webp")

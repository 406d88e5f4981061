"""Encoded images to RGB arrays."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import simplejpeg

# A header can announce 65,535 x 65,535 pixels in a few bytes; photographs have less than this.
MAX_PIXELS = 1 << 27
_PNG = b"\x89PNG\r\n\x1a\n"


def decode_image(data, size=None, out=None):
    """Decode a JPEG, or another format that OpenCV knows, upright as stored (an EXIF rotation is not applied).

    JPEGs give the same pixels as OpenCV and MXNet do (exact DCT, smooth chroma); libjpeg-turbo decodes without Python's
    lock, so threads run side by side.

    Args:
        data: encoded image (bytes).
        size: (height, width) to scale the image to where it has another one; None leaves it as it is.
        out: C-contiguous (height, width, 3) uint8 array to decode into where the image has exactly that shape.

    Returns:
        (height, width, 3) uint8, RGB; `out` itself where it was used.

    Raises:
        ValueError: the image is damaged, cut off, too large, or of an unknown format.
    """
    image = _decode_into(data, out) if out is not None else None
    if image is None:
        image = _decode(data)
    if size is not None and image.shape[:2] != tuple(size):
        shrinks = image.shape[0] > size[0] and image.shape[1] > size[1]
        image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return image


def _decode_into(data, out):
    try:
        image = simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False, buffer=out)
    except ValueError:  # damaged, no JPEG, or too large for `out`: the long way tells
        return None
    return out if image.shape == out.shape else None


def _decode(data):
    if data[:2] == b"\xff\xd8":
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if height * width > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels are too many")
        return simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False)
    if data[:8] == _PNG:
        _check_png(data)
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"not decodable ({error.err})") from error
    if image is None:
        raise ValueError("not an image of a known format")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_png(data):
    """Refuse a PNG with a chunk longer than the file: OpenCV would ask for up to 2 GB before it sees that."""
    place = len(_PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if kind == b"IEND":
            break
    if place > len(data):
        raise ValueError("damaged or cut off: a part of the PNG is longer than the file")

"""Encoded images to RGB arrays. The size that a header announces is looked at before anything is decoded."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from contextlib import nullcontext

import cv2
import numpy as np
import simplejpeg
from PIL import BmpImagePlugin, Image, Jpeg2KImagePlugin, PngImagePlugin, PpmImagePlugin, WebPImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ...runtime import MAX_PIXELS

# What it says of a damaged TIFF goes to the terminal; the error tells it.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
# MAX_PIXELS is the limit here, above Pillow's for a warning.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Images with more pixels than this are decoded one at a time, whatever the number of threads.
_LARGE = 1 << 24
_one_large = threading.Lock()
# A progressive JPEG goes over all pixels in each scan, and a scan may be a few bytes; encoders write a dozen.
_MAX_SCANS = 100
_CODESTREAM = b"\xff\x4f\xff\x51"  # how a JPEG 2000 codestream begins
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", _CODESTREAM)
_MAX_TILES = 10_000  # of a JPEG 2000: each takes some KB before a pixel is there
_TIFF_SIDES = ((256, 257), (322, 323))  # tags: width and height of the image, and of its tiles


def _tiff_size(file) -> list[int]:
    """(width, height) of a TIFF or of its tiles, whichever are larger: a whole tile is decoded at a time."""
    directory = ImageFileDirectory_v2(file.read(8))
    file.seek(directory.next)
    directory.load(file)
    sides = [[int(directory[tag]) for tag in tags] for tags in _TIFF_SIDES if tags[0] in directory]
    return max(sides, key=lambda pair: pair[0] * pair[1])


def _jpeg2000_size(file) -> tuple:
    """(width, height) of a JPEG 2000: the largest of its codestreams, since the box around them may say another."""
    data, sizes, place = file.read(), [], -1
    while (place := data.find(_CODESTREAM, place + 1)) >= 0:
        width, height, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(
            ">8IH", data, place + len(_CODESTREAM) + 4
        )
        sizes.append((width - left, height - top))
        if components > 4 or width * height > _MAX_TILES * tile_width * tile_height:
            raise ValueError("too many components or tiles")
    return max(sizes, key=lambda pair: pair[0] * pair[1])


# First bytes -> Pillow's reader of the header (the pixels are OpenCV's). Nothing else is given to a decoder.
_HEADERS = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    **dict.fromkeys(_JPEG2000, _jpeg2000_size),
    b"II*\0": _tiff_size,
    b"MM\0*": _tiff_size,
    **{b"P%d" % kind: PpmImagePlugin.PpmImageFile for kind in range(1, 7)},
}
_JPEG = b"\xff\xd8"
_READ = "JPEG, PNG, WebP, TIFF, BMP, JPEG 2000 and PBM, PGM, PPM are read"
# Of what else people have: bytes 4 to 12 of a file, or its first ones.
_OTHERS = {
    **dict.fromkeys((b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    **dict.fromkeys((b"ftypavif", b"ftypavis"), "AVIF"),
    b"GIF8": "GIF", b"%PDF": "PDF", b"<svg": "SVG", b"<?xml": "SVG or other XML", b"8BPS": "PSD",
}  # fmt: skip


def _unknown(start):
    """Why a file that begins so is not read, and what would be."""
    if not start:
        return "the file is empty"
    other = next((name for magic, name in _OTHERS.items() if start.startswith(magic) or start[4:12] == magic), None)
    return f"{other} is not read; convert it: {_READ}" if other else f"not an image of a known format: {_READ}"


def is_image(start: bytes) -> bool:
    """Whether a file that begins with these bytes (16 are enough) is of a format that `decode_image` knows."""
    return start.startswith((_JPEG, *_HEADERS)) and (start[:4] != b"RIFF" or start[8:12] == b"WEBP")


def image_size(data: bytes) -> tuple:
    """(height, width) that the header of an encoded image announces; nothing is decoded.

    Raises:
        ValueError: the header is damaged or of an unknown format, or announces no pixels or more than MAX_PIXELS.
    """
    start = bytes(data[:16])
    if not is_image(start):
        raise ValueError(_unknown(start))
    if start.startswith(_JPEG):
        height, width = _lenient(simplejpeg.decode_jpeg_header, data)[:2]
    else:
        read = next(read for magic, read in _HEADERS.items() if start.startswith(magic))
        try:
            header = read(io.BytesIO(data))
            width, height = header if isinstance(header, (tuple, list)) else header.size
        except Image.DecompressionBombError:
            raise ValueError(f"more than {MAX_PIXELS:,} pixels are too many") from None
        except Exception as error:  # whatever a damaged header leads to: SyntaxError, struct.error, KeyError, ...
            raise ValueError(f"its header is damaged, {type(error).__name__}") from error
    if not (width > 0 and height > 0):
        raise ValueError("its header is damaged: it announces no pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are too many")
    return height, width


def decode_image(
    data: bytes, size: tuple[int, int] | None = None, out: np.ndarray | None = None, reduced: bool = False
) -> np.ndarray:
    """Decode a JPEG, or another format that OpenCV knows, upright as stored (an EXIF rotation is not applied).

    JPEGs give the same pixels as OpenCV and MXNet do (exact DCT, smooth chroma); libjpeg-turbo decodes without Python's
    lock, so threads run side by side.

    Args:
        data: encoded image (bytes).
        size: (height, width) to scale the image to where it has another one; None leaves it as it is.
        out: C-contiguous (height, width, 3) uint8 array to decode into where the image has exactly that shape.
        reduced: where libjpeg can decode a JPEG at exactly the shape of `out`, with as small a DCT, it does (1/2, 1/4
            and 1/8 are OpenCV's IMREAD_REDUCED_COLOR); all others are decoded whole and scaled.

    Returns:
        (height, width, 3) uint8, RGB; `out` itself where it was used.

    Raises:
        ValueError: the image is damaged, cut off, too large, or of an unknown format.
    """
    image = _decode_into(data, out, reduced) if out is not None else None
    if image is None:
        height, width = image_size(data)
        with _one_large if height * width > _LARGE else nullcontext():
            image = _decode(data)
            if size is not None:
                image = scaled(image, size)
    return image


def scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (height, width, channels) scaled to `size` (height, width); itself where it has that size."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = image.shape[0] > size[0] and image.shape[1] > size[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=way)


def _decode_into(data, out, reduced):
    height, width = out.shape[:2] if reduced else (0, 0)  # 0: as large as it is
    try:
        _check_scans(data)
        image = simplejpeg.decode_jpeg(data, "RGB", False, False, height, width, buffer=out)  # exact DCT, smooth chroma
    except ValueError:  # damaged, no JPEG, or too large for `out`: the long way tells
        return None
    return out if image.shape == out.shape else None


def _decode(data):
    if data[:2] == _JPEG:
        _check_scans(data)
        return _lenient(simplejpeg.decode_jpeg, data, fastdct=False, fastupsample=False)
    if bytes(data[:12]).startswith(_JPEG2000):
        return _decode_jpeg2000(data)
    if data[:4] == b"\x89PNG":
        _check_png(data)
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"not decodable ({error.err})") from error
    if image is None:
        raise ValueError("damaged, or of a kind that OpenCV does not know")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _lenient(read, data, **options):
    """What `read` makes of a JPEG, also of one with stray bytes between the segments of its header.

    OpenCV and MXNet skip those with a warning, which is an error to `read`. One about the pixels' own data stays an
    error: there it tells of damaged pixels.
    """
    try:
        return read(data, **options)
    except ValueError as error:
        if "extraneous bytes" not in str(error) or (clean := _without_strays(bytes(data))) == data:
            raise
    return read(clean, **options)


def _without_strays(data):
    """A JPEG whose segments, up to the pixels, follow each other without a byte between them."""
    parts, place = [data[:2]], 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        kind, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == 0xDA:  # the pixels begin
            return b"".join([*parts, data[place:]])
        if kind in (0x00, 0xFF):  # no marker, or one that is filled up
            place += 1
            continue
        parts.append(data[place : place + 2 + length])
        place += 2 + length
    return data


def _decode_jpeg2000(data):
    """By Pillow: a damaged header makes OpenCV's decoder end the process."""
    try:
        return np.array(Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(data)).convert("RGB"))
    except Exception as error:  # OSError, SyntaxError, ValueError, MemoryError, ...
        raise ValueError(f"damaged or cut off, {type(error).__name__}") from error


def _check_scans(data):
    data = bytes(data)
    # Single bytes are counted in a third of the time, and there are at least as many of them.
    if data.count(b"\xda") > _MAX_SCANS and data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"more than {_MAX_SCANS} scans")


def _check_png(data):
    """Refuse a PNG with a chunk longer than the file: OpenCV would ask for up to 2 GB before it sees that."""
    place = 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, place = data[place + 4 : place + 8], place + 12 + length
        if kind == b"IEND":
            break
    if place > len(data):
        raise ValueError("damaged or cut off: a part of the PNG is longer than the file")

"""Decoding agrees with OpenCV and MXNet to the last bit; damage is told."""

import cv2
import mxnet as mx
import numpy as np
import pytest

from arcface_gluon.data.decode import decode_image


def picture(height=112, width=112, seed=0):
    small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encode(image, ending=".jpg"):
    return cv2.imencode(ending, image)[1].tobytes()


@pytest.mark.parametrize("reuse", [False, True])
def test_same_pixels_as_opencv_and_mxnet(reuse):
    image = picture()
    data, out = encode(image), np.zeros((112, 112, 3), np.uint8) if reuse else None
    ours = decode_image(data, out=out)
    assert np.array_equal(ours, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    assert np.array_equal(ours, mx.image.imdecode(data).asnumpy())
    assert (ours is out) == reuse


@pytest.mark.parametrize("ending", [".png", ".bmp", ".webp", ".jpg"])
def test_channels_are_rgb_in_every_format(ending):
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 2] = 250  # OpenCV writes BGR
    out = decode_image(encode(red, ending), out=np.empty((20, 30, 3), np.uint8))
    assert out.shape == (20, 30, 3) and np.abs(out.astype(int) - [250, 0, 0]).max() <= 6


def test_grey_jpeg_gives_three_equal_channels():
    out = decode_image(encode(picture()[..., 0]), out=np.empty((112, 112, 3), np.uint8))
    assert out.shape == (112, 112, 3) and np.all(out == out[..., :1])


@pytest.mark.parametrize("height, width", [(100, 112), (112, 96), (300, 250), (40, 40)])
def test_other_sizes_are_scaled(height, width):
    data = encode(picture(height, width))
    assert decode_image(data).shape == (height, width, 3)
    scaled = decode_image(data, (112, 112), np.empty((112, 112, 3), np.uint8))
    assert scaled.shape == (112, 112, 3)
    assert abs(scaled.mean() - decode_image(data).mean()) < 3


def rotated_by_exif(data):
    """The same JPEG with the EXIF orientation 6 (turn by 90 degrees)."""
    tiff = b"II*\0\x08\0\0\0" + b"\1\0" + b"\x12\1\3\0\1\0\0\0\6\0\0\0" + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def test_exif_rotation_is_not_applied():
    data = encode(picture(60, 90))
    turned = rotated_by_exif(data)
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (90, 60, 3)
    assert np.array_equal(decode_image(turned), decode_image(data))


def test_damage_is_a_value_error():
    data = encode(picture())
    bomb = bytearray(data)
    at = data.index(b"\xff\xc0") + 5
    bomb[at : at + 4] = b"\xff\xff\xff\xff"
    flipped = bytearray(data)
    flipped[2:40] = bytes(38)
    damaged = [
        b"",
        b"\xff\xd8",
        b"text",
        data[: len(data) // 2],
        data[:-2],
        bytes(bomb),
        bytes(flipped),
        encode(picture(), ".png")[:200],
    ]
    for bad in damaged:
        for out in (None, np.empty((112, 112, 3), np.uint8)):
            with pytest.raises(ValueError):
                decode_image(bad, (112, 112), out)


def test_png_with_a_part_longer_than_the_file_is_refused_before_memory_is_asked_for():
    data = encode(picture(), ".png")
    longer = data[:33] + b"\x7f\xff\xff\xff" + data[37:]
    with pytest.raises(ValueError, match="longer than the file"):
        decode_image(longer)
    assert decode_image(data).shape == (112, 112, 3)

"""Decoding agrees with OpenCV and MXNet to the last bit; damage is told, and no header makes memory be taken."""

import io
import struct
import zlib

import cv2
import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from arcface_gluon.data.images import decode
from arcface_gluon.data.images.decode import decode_image, image_size, is_image
from arcface_gluon.data.images.orientation import is_animated, orientation


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


FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")


def encode_as(kind, height=24, width=40):
    buffer = io.BytesIO()
    Image.fromarray(picture(height, width)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_header_of_every_format_tells_its_size(kind):
    data = encode_as(kind)
    assert is_image(data[:16]) and image_size(data) == decode_image(data).shape[:2] == (24, 40)


def announcing(kind, width, height):
    """A small image whose header speaks of width x height pixels."""
    data = bytearray(encode_as(kind))
    if kind == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    elif kind == "PNG":
        struct.pack_into(">II", data, 16, width, height)
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    elif kind == "BMP":
        struct.pack_into("<ii", data, 18, width, height)
    elif kind == "TIFF":
        directory = struct.unpack_from("<I", data, 4)[0]
        for entry in range(directory + 2, directory + 2 + 12 * data[directory], 12):
            if data[entry : entry + 2] in (b"\0\1", b"\1\1"):
                struct.pack_into("<HII", data, entry + 2, 4, 1, width if data[entry] == 0 else height)
    elif kind == "WEBP":
        struct.pack_into("<HH", data, data.index(b"\x9d\x01\x2a") + 3, width, height)
    elif kind == "PPM":
        data = data.replace(b"40 24", b"%d %d" % (width, height))
    else:  # the codestream alone: the box around it still says 40 x 24
        struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, width, height)
    return bytes(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_of_too_many_pixels_is_refused_before_a_decoder_sees_it(kind, monkeypatch):
    monkeypatch.setattr(decode.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="pixels are too many|header is damaged"):
        decode_image(announcing(kind, 16383, 16383))


def test_a_tiff_of_a_giant_tile_is_refused():
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 30000, 323: 30000, 324: 0, 325: 16}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(20)
    with pytest.raises(ValueError, match="30000 x 30000"):
        decode_image(data)


def test_opencv_itself_has_the_limit():
    # For what its parsers read differently from ours.
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(announcing("PPM", 16383, 16383), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("side", [112, 104])
def test_a_reduced_jpeg_is_as_opencv_reduces_it(times, side):
    random = np.random.default_rng(times)
    picture = cv2.resize(random.integers(0, 256, (9, 9, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    out = np.empty((side // times, side // times, 3), np.uint8)
    for sampling in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])[1].tobytes()
        flag = getattr(cv2, f"IMREAD_REDUCED_COLOR_{times}")
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), flag)[..., ::-1]
        reduced = decode_image(data, out.shape[:2], out, reduced=True)
        assert reduced is out and np.array_equal(reduced, expected)
        by_area = decode_image(data, out.shape[:2], out)
        assert by_area is not out and 0 < np.abs(by_area.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_what_cannot_be_reduced_is_decoded_whole_and_scaled(kind):
    picture = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
    data, size = cv2.imencode(kind, picture)[1].tobytes(), (56, 56)
    reduced = decode_image(data, size, np.empty((*size, 3), np.uint8), reduced=True)
    assert np.array_equal(reduced, decode_image(data, size))


def test_a_jpeg_of_endless_scans_is_refused():
    data = encode(picture())
    scan = data[data.index(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="scans"):
        decode_image(data[:-2] + 200 * scan + b"\xff\xd9")


def test_only_known_formats_reach_a_decoder():
    for data in (b"#?RADIANCE\n", b"\x59\xa6\x6a\x95", b"GIF89a", b"v/1\x01", b"RIFF....WAVE", b"<svg"):
        assert not is_image(data)
        with pytest.raises(ValueError, match="known format|is not read"):
            decode_image(data + bytes(100))


@pytest.mark.parametrize("height, width, way", [(300, 40, "LINEAR"), (40, 300, "LINEAR"), (300, 250, "AREA")])
def test_only_images_larger_along_both_sides_are_averaged(height, width, way):
    data = encode(picture(height, width))
    scaled = cv2.resize(decode_image(data), (112, 112), interpolation=getattr(cv2, f"INTER_{way}"))
    assert np.array_equal(decode_image(data, (112, 112)), scaled)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_no_format_is_turned_by_its_exif(kind):
    exif = Image.Exif()
    exif[0x112] = 6
    files = []
    for options in ({}, {"exif": exif}):
        file = io.BytesIO()
        lossless = {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(picture(60, 90)).save(file, kind, **lossless, **options)
        files.append(file.getvalue())
    plain, turned = map(decode_image, files)
    assert files[0] != files[1] and plain.shape == (60, 90, 3) and np.array_equal(turned, plain)


def test_a_jpeg_2000_is_as_opencv_reads_it_and_a_damaged_one_is_told():
    data = encode(picture(), ".jp2")
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(decode_image(data), expected)
    at = data.index(b"\xff\x4f\xff\x51") + 40  # its number of components: OpenCV's decoder ends the process
    for damaged in (data[:at] + b"\0\0" + data[at + 2 :], data[:200]):
        with pytest.raises(ValueError):
            decode_image(damaged)


@pytest.mark.parametrize("marker", [0xDB, 0xC0, 0xC4, 0xDA])
@pytest.mark.parametrize("stray", [b"\x00", b"\x00\xff\x00stray", b"12345678" * 20])
def test_stray_bytes_between_the_segments_of_a_jpeg_are_skipped(marker, stray):
    """OpenCV and MXNet warn of them, and decode the image."""
    smooth = cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 9, 3), np.uint8), (40, 24))
    whole = encode(smooth)
    place = whole.index(bytes([0xFF, marker]))
    data = whole[:place] + stray + whole[place:]
    assert image_size(data) == (24, 40)
    np.testing.assert_array_equal(decode_image(data), decode_image(whole))
    np.testing.assert_array_equal(decode_image(data, (24, 40), np.empty((24, 40, 3), np.uint8)), decode_image(whole))
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_image(data), opencv[..., ::-1])


def test_bytes_among_the_pixels_of_a_jpeg_are_told():
    whole = encode(picture())
    with pytest.raises(ValueError, match="extraneous bytes before marker 0xd9"):
        decode_image(whole[:900] + bytes(3) + whole[900:])


@pytest.mark.parametrize(
    "start, words",
    [(b"", "empty"), (b"\0\0\0\x18ftypheic", "^HEIC is not read; convert it: JPEG, PNG"), (b"GIF89a", "^GIF is"),
     (b"\0\0\0\x1cftypavif", "^AVIF is"), (b"no image at all", "known format: JPEG, PNG, WebP")],
)  # fmt: skip
def test_what_is_no_known_format_is_told_by_its_name_with_those_that_are(start, words):
    with pytest.raises(ValueError, match=words):
        image_size(start)


def test_a_webp_that_pillow_refuses_for_its_size_is_told_so():
    side = b"\xff\x3f" * 2  # 16,384 less one
    frame = b"VP8 " + (4 + 10).to_bytes(4, "little") + bytes(3) + b"\x9d\x01\x2a" + side + bytes(4)
    data = b"RIFF" + (4 + len(frame)).to_bytes(4, "little") + b"WEBP" + frame
    with pytest.raises(ValueError, match="pixels are too many"):
        image_size(data)


def test_nothing_but_the_error_is_said_of_an_odd_image(capfd, recwarn):
    floats, odd = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(floats, "TIFF")
    with pytest.raises(ValueError):
        decode_image(floats.getvalue())
    Image.new("RGB", (8, 8)).save(odd, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    malformed = odd.getvalue().replace(b"MPF\0II*\0", b"MPF\0xxxx")
    assert malformed != odd.getvalue() and not is_animated(malformed) and orientation(malformed) == 1
    assert capfd.readouterr() == ("", "") and not recwarn.list

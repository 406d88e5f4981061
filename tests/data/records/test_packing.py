"""Files to records: what is stored, in which order, and what is refused."""

import io

import cv2
import numpy as np
import pytest
from helpers import tiny_jpeg, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from arcface_gluon.data import FaceRecords, decode_image
from arcface_gluon.data.images.listing import read_listing
from arcface_gluon.data.records.packing import Encoding, encode, pack_files
from arcface_gluon.data.records.unpacking import unpack_records
from arcface_gluon.errors import UserError


def png(value, size=(8, 8)):
    return cv2.imencode(".png", np.full((*size, 3), value, np.uint8))[1].tobytes()


def write_faces(folder, people):
    """{person: [image …]}, called 1.jpg, 2.jpg, …"""
    for person, images in people.items():
        for number, image in enumerate(images, 1):
            path = folder / person / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)


def contents(folder):
    records = FaceRecords(folder)
    return [records.read(i) for i in range(len(records))]


def test_a_folder_of_folders(tmp_path):
    images = {"Bo": [tiny_jpeg(0, i) for i in range(11)], "Ann": [png(90)]}
    write_faces(tmp_path / "in", images)
    done = pack_files(read_listing(tmp_path / "in"), tmp_path / "out", quiet=True)
    assert contents(tmp_path / "out") == [(png(90), 0), *((image, 1) for image in images["Bo"])]  # 2.jpg before 10.jpg
    assert (done.written, done.size, done.unchanged, done.left_out) == ((12, 2, 0), (8, 8), 12, [])
    assert (tmp_path / "out/names.tsv").read_text() == "0\tAnn\n1\tBo\n"
    with pytest.raises(UserError, match="is there already"):
        pack_files(read_listing(tmp_path / "in"), tmp_path / "out")


def test_what_cannot_be_packed_is_named_or_left_out(tmp_path):
    write_faces(tmp_path / "in", {"a": [tiny_jpeg(0)], "b": [tiny_jpeg(1), b"hello"]})
    (tmp_path / "in/c").mkdir()
    (tmp_path / "in/a/dead.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(UserError, match="1 identities have no images, such as c"):
        pack_files(read_listing(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in/c").rmdir()
    with pytest.raises(UserError, match=r"b/2\.jpg cannot be used: not an image.*--skip-missing"):
        pack_files(read_listing(tmp_path / "in"), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()
    done = pack_files(read_listing(tmp_path / "in"), tmp_path / "out", skip_missing=True, quiet=True)
    assert done.written == (2, 2, 1)
    assert (tmp_path / "out/skipped.txt").read_text() == "b/2.jpg\n"
    write_lines(tmp_path / "in/list.txt", ["a/1.jpg\t0", "a/9.jpg\t1"])
    with pytest.raises(UserError, match=r"1 of 2 images are missing, the first is .*a/9\.jpg"):
        pack_files(read_listing(tmp_path / "in/list.txt"), tmp_path / "other")
    write_faces(tmp_path / "in", {"b": [tiny_jpeg(1), tiny_jpeg(2, size=(9, 8))]})
    with pytest.raises(UserError, match=r"2\.jpg is 9x8, those before it are 8x8.*--size"):
        pack_files(read_listing(tmp_path / "in"), tmp_path / "other", quiet=True)


def test_what_is_stored():
    jpeg, grey = tiny_jpeg(3), cv2.imencode(".pgm", np.full((8, 8), 70, np.uint8))[1].tobytes()
    assert encode(jpeg, Encoding()).data is jpeg and encode(jpeg, Encoding((8, 8), "jpg")).data is jpeg
    for data in (jpeg, png(50), grey):
        stored = encode(data, Encoding(kind="png")).data
        assert stored[:4] == b"\x89PNG" and (decode_image(stored) == decode_image(data)).all()
    assert encode(grey, Encoding()).data[:4] == b"\x89PNG"
    assert encode(png(50), Encoding(kind="jpg")).data[:2] == b"\xff\xd8"
    worse = encode(jpeg, Encoding(quality=5))
    assert len(worse.data) < len(jpeg) and not worse.unchanged
    larger = encode(jpeg, Encoding(size=(16, 12)))
    assert larger.size == decode_image(larger.data).shape[:2] == (16, 12)


def test_photographs_are_turned_as_exif_says():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    left_red = np.zeros((8, 16, 3), np.uint8)
    left_red[:, :8, 0] = 255
    Image.fromarray(left_red).save(buffer, "jpeg", exif=exif)
    turned = encode(buffer.getvalue(), Encoding())
    image = decode_image(turned.data)
    assert image.shape[:2] == turned.size == (16, 8)
    assert image[2, 4, 0] > 200 > 60 > image[13, 4, 0]


def test_animations_are_refused():
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (60 * i, 0, 0)) for i in range(2)]
    frames[0].save(buffer, "webp", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="animated"):
        encode(buffer.getvalue(), Encoding())


@settings(max_examples=8)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=8).filter(lambda labels: 0 in labels),
    kinds=st.integers(0, 255),
)
def test_unpacked_and_packed_again_it_is_the_same(tmp_path_factory, labels, kinds):
    folder = tmp_path_factory.mktemp("set")
    images = [png(i) if kinds >> i & 1 else tiny_jpeg(5, i) for i in range(len(labels))]
    for number, image in enumerate(images):
        path = folder / "in" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image)
    write_lines(folder / "in/a.lst", [f"{i}\t{label}\t{i}.jpg" for i, label in enumerate(labels)])
    write_lines(folder / "in/names.tsv", [f"{label}\tPerson {label}" for label in sorted(set(labels))])
    pack_files(read_listing(folder / "in/a.lst"), folder / "first", quiet=True)
    assert contents(folder / "first") == list(zip(images, labels))
    unpack_records(folder / "first", folder / "files")
    pack_files(read_listing(folder / "files/images.lst"), folder / "second", quiet=True)
    for name in ("train.rec", "train.idx", "property", "names.tsv"):
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes()

"""Folders as people have them: links, junk, endings and names; and files found under another ending."""

import os
import unicodedata

import cv2
import numpy as np
import pytest

from arcface_gluon.data.images.folder import find_image, find_images, left_out_line
from arcface_gluon.data.images.listing import read_listing
from arcface_gluon.data.images.sources import open_images
from arcface_gluon.errors import UserError

IMAGE = np.zeros((8, 8, 3), np.uint8)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ending = path.suffix.lower() if path.suffix.lower() in (".png", ".webp", ".tif", ".bmp") else ".jpg"
        path.write_bytes(cv2.imencode(ending, IMAGE)[1].tobytes())


def test_links_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path / "other", "1.jpg")
    root = tmp_path / "faces"
    put(root, "real/0.jpg")
    os.symlink(tmp_path / "other", root / "linked")
    os.symlink(root / "real" / "0.jpg", root / "real" / "link.jpg")
    os.symlink(root, root / "real" / "round")
    os.symlink(tmp_path / "nowhere", root / "broken.jpg")
    os.symlink("itself.jpg", root / "itself.jpg")
    names, left_out = find_images(root)
    assert names == ["linked/1.jpg", "real/0.jpg", "real/link.jpg"]
    assert left_out == {"links round in a circle": 1, "broken links": 2}
    assert read_listing(root).images.names == names


def test_links_that_double_at_each_level_end(tmp_path):
    for level in range(20):
        put(tmp_path / "d" / f"{level}", "0.jpg")
        for link in "ab":
            os.symlink(tmp_path / "d" / f"{level + 1}", tmp_path / "d" / f"{level}" / link)
    names, _ = find_images(tmp_path / "d" / "0")
    assert 20 <= len(names) <= 20 * 17


def test_endings_and_first_bytes(tmp_path):
    put(tmp_path, "a.jfif", "b.webp", "c.tif", "d.JPEG", "e.jpe", "f", "A.J._Buckley_0001", "frame.0007")
    (tmp_path / "notes").write_text("BMW and P5 are no images")
    (tmp_path / "photo.heic").write_bytes(b"....ftypheic")
    (tmp_path / "list.txt").write_text("a.jfif")
    (tmp_path / "other.txt").write_text("P5 ")
    (tmp_path / "faces.csv").write_text("photo,crop")  # of `align`, which nobody misses
    names, left_out = find_images(tmp_path)
    assert names == ["A.J._Buckley_0001", "a.jfif", "b.webp", "c.tif", "d.JPEG", "e.jpe", "f", "frame.0007"]
    assert left_out == {".txt": 2, ".heic": 1, "without an ending": 1}
    assert left_out_line("faces", 8, left_out) == (
        "faces: 8 images; left out: 2 .txt, 1 without an ending, 1 .heic; convert .heic to JPEG or PNG to have them too"
    )
    assert left_out_line("faces", 8, {}) is None


def test_junk_of_operating_systems_is_left_out(tmp_path):
    junk = ("p/._0.jpg", "__MACOSX/p/._0.jpg", "p/@eaDir/0.jpg", ".ipynb_checkpoints/0-checkpoint.jpg", "p/Thumbs.db")
    put(tmp_path, "p/0.jpg", *junk)
    names, left_out = find_images(tmp_path)
    assert names == ["p/0.jpg"] and left_out == {"of operating systems": 5}


@pytest.mark.parametrize("space", ["\u3000", "\u00a0", "\u2009", "\u200b", " "])
def test_names_with_any_space_are_kept_and_listed(tmp_path, space):
    put(tmp_path, f"p{space}1/a{space}b.jpg", f"p{space}1/c{space}.jpg")
    images = open_images(tmp_path)
    assert images.names == [f"p{space}1/a{space}b.jpg", f"p{space}1/c{space}.jpg"]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in images.names), encoding="utf-8")
    assert open_images(tmp_path / "list.txt").names == images.names


@pytest.mark.parametrize("name", ["a\tb.jpg", "a\nb.jpg", b"a\xff.jpg", "a\u2028b.jpg"])
def test_names_that_no_list_can_hold_are_refused(tmp_path, name):
    with open(os.path.join(os.fsencode(tmp_path), os.fsencode(name)), "wb") as file:
        file.write(b"\xff\xd8")
    with pytest.raises(UserError, match="cannot stand in a list"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    "there, asked",
    [
        ("a/1.JPG", "a/1.jpg"),
        ("a/1.jpg", "a/1.JPG"),
        ("a/1.png", "a/1.jpg"),
        ("a/1.jpg", "a\\1.jpg"),
        ("a/1.jpg", "a/1"),
        (unicodedata.normalize("NFD", "José/1.jpg"), unicodedata.normalize("NFC", "José/1.jpg")),
    ],
)
def test_an_image_is_found_under_another_ending(tmp_path, there, asked):
    put(tmp_path, there)
    assert find_image(tmp_path / asked) == tmp_path / there


def test_another_name_is_not_found(tmp_path):
    put(tmp_path, "a/Anna.jpg", "a/1.jpg.txt")
    for asked in ("a/anna.jpg", "a/2.jpg", "b/1.jpg", "a/1.jpg"):
        assert find_image(tmp_path / asked) is None
    put(tmp_path, "a/2.PNG")
    assert find_image(tmp_path / "a" / "2.jpg") == tmp_path / "a" / "2.PNG"  # written since


def test_the_same_ending_is_preferred(tmp_path):
    put(tmp_path, "1.bmp", "1.JPG")
    assert find_image(tmp_path / "1.jpg").name == "1.JPG"

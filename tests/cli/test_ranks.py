"""What one process tells the others of the images that they are to embed."""

import io
import pickle

import numpy as np
import pytest
from helpers import tiny_jpeg

from arcface_gluon.cli import ranks
from arcface_gluon.data.images.sources import EncodedImages, ImageFiles, RecordImages, UnalignedFiles
from arcface_gluon.errors import UserError


def sent(images):
    return ranks._Images(io.BytesIO(pickle.dumps(images, protocol=4))).load()


def test_images_arrive_as_they_are(orl, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(tiny_jpeg(number))
    names = [f"{number}.jpg" for number in range(3)]
    for images in (
        ImageFiles("a list", tmp_path, names, ["a", "b", "a"]),
        UnalignedFiles("a list", tmp_path, names, np.zeros((3, 5, 2), np.float32)),
        EncodedImages("a set", [tiny_jpeg(1), tiny_jpeg(2)]),
        RecordImages(orl / "train.rec"),
    ):
        arrived = sent(images)
        assert type(arrived) is type(images) and arrived.fingerprint() == images.fingerprint()
        assert arrived.read(1) == images.read(1) and arrived.describe(1) == images.describe(1)


def test_nothing_else_is_unpickled():
    for other in (print, np.load, io.BytesIO):
        with pytest.raises(pickle.UnpicklingError, match="is no description of images"):
            sent(other)


def test_a_command_in_one_process_is_just_done():
    assert ranks.run(["embed", "images", "--model", "m"], lambda: 7) == 7
    with pytest.raises(UserError, match="--hosts=a:2 says where processes are started; say how many with --np"):
        ranks.run(["embed", "images", "--hosts", "a:2"], lambda: 7)

"""What is said of a verification set when it is opened."""

from collections import Counter

import cv2
import numpy as np
import pytest

from arcface_gluon.data.images.sizes import size_line
from arcface_gluon.data.verification.check import check_pairs
from arcface_gluon.errors import UserError


def jpeg(seed, side=112):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


IMAGES = [jpeg(i % 5) for i in range(20)]
TRUTH = [True, False] * 5


def test_a_whole_set_has_no_warnings():
    assert check_pairs("lfw.bin", IMAGES, TRUTH) == []


def test_damaged_images_are_counted_once_each_and_the_first_is_named():
    images = [*IMAGES[:3], b"\xff\xd8 cut", *IMAGES[4:7], b"\xff\xd8 cut", *IMAGES[8:]]
    with pytest.raises(UserError, match=r"lfw\.bin: 1 of 6 images cannot be decoded, the first is image 2 of pair 1"):
        check_pairs("lfw.bin", images, TRUTH)


def test_too_few_pairs():
    with pytest.raises(UserError, match=r"lfw\.bin: 9 pairs are too few for 10-fold"):
        check_pairs("lfw.bin", IMAGES[:18], TRUTH[:9])


@pytest.mark.parametrize("same, kind", [(True, "one person"), (False, "two people")])
def test_one_kind_of_pair(same, kind):
    (line,) = check_pairs("lfw.bin", IMAGES, [same] * 10)
    assert line.startswith(f"lfw.bin: all 10 pairs are of {kind};")


def test_images_of_another_size():
    (line,) = check_pairs("lfw.bin", [jpeg(9, 160), *IMAGES[1:]], TRUTH)
    assert line.startswith("lfw.bin: 1 of 6 images are 160x160, not 112x112 pixels") and "aligned" in line
    assert check_pairs("lfw.bin", [jpeg(i, 64) for i in range(20)], TRUTH, (64, 64)) == []


def test_many_sizes_are_said_in_one_line():
    sizes = Counter({(112, 112): 7, (250, 250): 5, **{(100 + i, 90): 1 for i in range(6)}})
    assert "11 of 18 images are 250x250, 100x90, 101x90 and 4 other sizes, not" in size_line("faces", sizes, (112, 112))
    assert size_line("faces", Counter({(112, 96): 3}), (112, 96)) is None

import cv2
import numpy as np
import pytest

from arcface_gluon.detect.area import AreaPyramid
from arcface_gluon.detect.boxes import suppress


@pytest.mark.parametrize(
    "box, size", [((0, 0, 50, 40), (17, 23)), ((7, 3, 19, 40), (24, 24)), ((49, 39, 50, 40), (2, 3))]
)
def test_areas_are_means_of_pixels(box, size):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    left, top, right, bottom = box
    part, expected = image[top:bottom, left:right].astype(np.float64), np.zeros((3, *size))
    rows, columns = (
        [(i * side // n, int(np.ceil((i + 1) * side / n))) for i in range(n)] for side, n in zip(part.shape, size)
    )
    for i, (a, b) in enumerate(rows):
        for j, (c, d) in enumerate(columns):
            expected[:, i, j] = part[a:b, c:d].mean(axis=(0, 1))
    np.testing.assert_allclose(AreaPyramid(image).crop(np.array([box]), *size)[0], expected, rtol=1e-6)


def test_areas_of_an_image_whose_sum_passes_32_bits():
    image = np.full((4200, 4200, 3), 255, np.uint8)
    assert (AreaPyramid(image).crop(np.array([[0, 0, 4200, 4200]]), 12, 12) == 255).all()


def test_suppression_keeps_the_best_of_what_overlaps():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 5]], np.float32)
    scores = np.array([0.8, 0.9, 0.7, 0.6], np.float32)
    # Box 0 shares 90 of 110 with box 1; box 3 shares 45 of 105 with it, and 50 of its own 50 with box 0.
    assert suppress(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, 0.4).tolist() == [1, 2]
    # Over the smaller with whole pixels: box 3 has 66, of which 60 in box 1, and box 0 121, of which 110.
    assert suppress(boxes, scores, 0.9, smaller=True).tolist() == [1, 2]
    assert suppress(boxes, scores, 0.95).tolist() == [1, 0, 2, 3]
    assert suppress(boxes, scores, 0.92, smaller=True).tolist() == [1, 0, 2]


def test_suppression_of_nothing():
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).size == 0


def test_image_is_not_needed_afterwards():
    image = np.zeros((20, 20, 3), np.uint8)
    pyramid = AreaPyramid(image)
    image[:] = 9
    assert cv2.integral(image)[-1, -1, 0] and not pyramid.crop(np.array([[0, 0, 20, 20]]), 5, 5).any()

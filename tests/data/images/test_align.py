"""The five-point similarity against known transforms, OpenCV, and the least-squares conditions."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data.images.align import TEMPLATE, align, estimate_similarity, template

finite = st.floats(-300, 300)


def similarity(angle, scale, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def move(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


@settings(deadline=None, max_examples=60)
@given(st.floats(-3.2, 3.2), st.floats(0.05, 20), finite, finite)
def test_known_transform_is_found(angle, scale, x, y):
    true = similarity(angle, scale, x, y)
    points = move(true, TEMPLATE)
    found = estimate_similarity(points)
    assert np.abs(move(found, points) - TEMPLATE).max() < 1e-9
    assert np.abs(found[:, :2] @ true[:, :2] - np.eye(2)).max() < 1e-9


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_least_squares_solution_by_linear_algebra(seed):
    # A similarity is linear in (a, b, x, y): [a -b; b a], so the normal equations give it independently.
    rng = np.random.default_rng(seed)
    points, target = rng.normal(size=(2, 5, 2)) * 50 + 60
    rows = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
    a, b, x, y = np.linalg.lstsq(np.array(rows), target.T.ravel(), rcond=None)[0]
    assert np.abs(estimate_similarity(points, target) - [[a, -b, x], [b, a, y]]).max() < 1e-8


def test_agrees_with_opencv_on_a_face_without_outliers():
    points = move(similarity(0.2, 1.7, 30, 80), TEMPLATE) + np.random.default_rng(0).normal(0, 0.3, (5, 2))
    theirs, inliers = cv2.estimateAffinePartial2D(points, TEMPLATE, method=cv2.LMEDS)
    assert inliers.all() and np.abs(theirs - estimate_similarity(points)).max() < 0.05


def test_mirrored_points_are_not_mirrored_back():
    mirrored = TEMPLATE * [-1, 1]
    linear = estimate_similarity(mirrored)[:, :2]
    assert np.linalg.det(linear) > 0


@pytest.mark.parametrize("size, eye", [(112, 38.2946), (56, 19.1473), (224, 76.5892), (128, 46.2946), (256, 92.5892)])
def test_template_sizes(size, eye):
    assert template(size)[0, 0] == pytest.approx(eye)
    assert template(size).shape == (5, 2)


def test_template_is_level_and_symmetric():
    left, right, nose, mouth_left, mouth_right = TEMPLATE
    assert left[0] < nose[0] < right[0] and mouth_left[0] < mouth_right[0] and left[1] < nose[1] < mouth_left[1]
    assert abs(left[1] - right[1]) < 0.5 and abs(mouth_left[1] - mouth_right[1]) < 0.5


@pytest.mark.parametrize("size", [112, 128, 224])
def test_points_of_a_picture_land_on_the_template(size):
    true = similarity(-0.4, 2.5, 60, 150)
    points = move(true, TEMPLATE)
    image = np.zeros((500, 500, 3), np.uint8)
    for i, point in enumerate(points):
        cv2.circle(image, tuple(int(round(v)) for v in point), 6, (0, 0, 40 * (i + 1)), -1)
    crop = align(image, points, size)
    assert crop.shape == (size, size, 3)
    for i, (x, y) in enumerate(template(size)):
        assert crop[int(round(y)), int(round(x))].tolist() == [0, 0, 40 * (i + 1)]


def test_outside_of_the_picture_is_black():
    image = np.full((60, 60, 3), 255, np.uint8)
    crop = align(image, TEMPLATE + 20)
    assert crop[:30, :30].min() == 255 and crop[60:].max() == 0


def test_wrong_arguments():
    for size in (0, -112, 100):
        with pytest.raises(ValueError, match="multiple of 56, of 128"):
            template(size)
    with pytest.raises(ValueError, match="do not match"):
        estimate_similarity(TEMPLATE[:4])
    for points in (np.full((5, 2), 7.3), np.full((5, 2), np.nan)):
        with pytest.raises(ValueError, match="not finite, or all at one place"):
            estimate_similarity(points)

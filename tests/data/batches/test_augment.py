"""Random changes: reproducible from the position alone, within their limits, even in distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data.batches.augment import Augment, random_draws


def apply(augment, image, **values):
    """Apply with draws that are 0.5 (nothing happens; 1.0 for chances) except those given by name."""
    names = ["x", "y", "angle", "size", "flip", "contrast", "brightness", "erase", "area", "aspect", "left", "top"]
    neutral = {"flip": 0.999, "erase": 0.999}
    draws = np.array([values.get(name, neutral.get(name, 0.5)) for name in names])
    return augment(image.copy(), draws, np.empty_like(image)).copy()


@pytest.fixture
def image():
    y, x = np.mgrid[:112, :112]
    return np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8) + np.uint8(60)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**40), st.integers(1, 20), st.integers(0, 2**32))
def test_draws_depend_on_the_position_only(position, count, seed):
    together = random_draws(seed, position, count)
    assert together.shape == (count, 12) and together.min() >= 0 and together.max() < 1
    assert np.array_equal(together[-1], random_draws(seed, position + count - 1, 1)[0])
    assert not np.array_equal(together, random_draws(seed + 1, position, count))
    assert not np.array_equal(together, random_draws(seed, position + 1, count))


def test_draws_are_even_and_independent():
    draws = random_draws(3, 0, 20000)
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(draws.var(axis=0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(draws.T) - np.eye(12)).max() < 0.03
    assert np.abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.03


def test_draws_stay_as_they_were_in_earlier_versions():
    # Another order would break the resumption of older runs.
    assert random_draws(1, 2, 1)[0, :3].tolist() == [0.9435537033889225, 0.18046913808919163, 0.11094042164571316]


def test_default_only_mirrors(image):
    assert np.array_equal(apply(Augment(), image, flip=0.6), image)
    assert np.array_equal(apply(Augment(), image, flip=0.4), image[:, ::-1])
    assert np.array_equal(apply(Augment(flip=0), image, flip=0.0), image)


def test_shift_moves_by_pixels(image):
    moved = apply(Augment(shift=8), image, x=1.0, y=0.0)
    assert np.array_equal(moved[:104, 8:], image[8:, :104])


def test_rotation_by_a_right_angle(image):
    assert np.abs(apply(Augment(rotate=90), image, angle=1.0).astype(int) - np.rot90(image)).max() <= 1


def test_scale_keeps_the_centre(image):
    larger = apply(Augment(scale=0.5), image, size=1.0)
    assert abs(int(larger[56, 56, 0]) - int(image[56, 56, 0])) <= 1
    slope = (int(larger[56, 90, 0]) - int(larger[56, 20, 0])) / 70
    assert slope == pytest.approx(1 / 1.5, abs=0.03)


def test_light_changes_contrast_and_brightness_without_wrapping(image):
    brighter = apply(Augment(light=0.5), image, brightness=1.0)
    assert np.array_equal(brighter, np.clip(image.astype(int) + 64, 0, 255))
    flatter = apply(Augment(light=0.5), image, contrast=0.0)
    assert np.abs(flatter - (0.5 * (image - 127.5) + 127.5)).max() <= 0.501
    assert np.array_equal(apply(Augment(light=0.5), image), image)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))
def test_erased_rectangle_has_the_right_area(values):
    image = np.full((112, 112, 3), 9, np.uint8)
    area, aspect, left, top = values
    changed = apply(Augment(erase=1), image, erase=0.0, area=area, aspect=aspect, left=left, top=top)
    grey = (changed == 127).all(axis=2)
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    assert grey.sum() == len(rows) * len(columns)
    assert grey.mean() == pytest.approx(0.02 + 0.13 * area, abs=0.006)
    assert 0.4 < len(rows) / len(columns) < 2.5
    assert (changed[~grey] == 9).all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=12, max_size=12))
def test_all_together_stays_an_image(values):
    image = np.full((112, 112, 3), 200, np.uint8)
    augment = Augment(shift=10, rotate=20, scale=0.2, light=0.4, erase=0.5)
    result = augment(image.copy(), np.array(values), np.empty_like(image))
    assert result.shape == image.shape and result.dtype == np.uint8 and result.flags.c_contiguous


@pytest.mark.parametrize("flip", [0.0, 0.3, 1.0])
def test_which_images_are_mirrored_is_known_for_many_at_once(image, flip):
    draws = random_draws(4, 0, 30)
    found = Augment(flip=flip).mirrors(draws).tolist()
    assert found == [np.array_equal(Augment(flip)(image.copy(), one, image * 0), image[:, ::-1]) for one in draws]


def test_any_change_besides_the_mirror_is_known():
    assert Augment().only_mirrors and Augment(flip=0).only_mirrors and Augment(flip=0.3).only_mirrors
    for name in ("shift", "rotate", "scale", "light", "erase", "colour", "jpeg", "cutout"):
        assert not Augment(**{name: 1}).only_mirrors


def test_later_draws_leave_the_first_twelve_as_they_are():
    more = random_draws(1, 2, 3, more=True)
    assert more.shape == (3, 24) and np.array_equal(more[:, :12], random_draws(1, 2, 3))
    assert np.abs(np.corrcoef(random_draws(3, 0, 20000, more=True).T) - np.eye(24)).max() < 0.03


def apply_later(augment, image, **values):
    names = ["brightness", "contrast", "saturation", "jpeg", "quality", "cutout", "x", "y"]
    draws = np.full(24, 0.5)
    draws[[4, 7]] = 0.999  # neither mirrored nor erased
    for name, value in values.items():
        draws[12 + names.index(name)] = value
    assert augment.later
    return augment(image.copy(), draws, np.empty_like(image)).astype(int)


def test_colour_changes_brightness_contrast_and_saturation(image):
    augment = Augment(colour=0.2)
    whole = image.astype(float)
    grey = whole @ [0.299, 0.587, 0.114]
    assert np.abs(apply_later(augment, image) - image).max() <= 1
    assert np.abs(apply_later(augment, image, brightness=0.0) - 0.8 * whole).max() <= 1
    expected = grey.mean() + 0.8 * (whole - grey.mean())
    assert np.abs(apply_later(augment, image, contrast=0.0) - expected).max() <= 1
    expected = np.clip(grey[..., None] + 1.2 * (whole - grey[..., None]), 0, 255)
    assert np.abs(apply_later(augment, image, saturation=1.0) - expected).max() <= 1


def test_jpeg_compresses_the_more_the_lower_the_quality(image):
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 20, image.shape), 0, 255).astype(np.uint8)
    lost = [
        np.abs(apply_later(Augment(jpeg=0.6), noisy, quality=quality) - noisy).mean() for quality in (0.0, 0.5, 0.99)
    ]
    assert lost[0] > lost[1] > lost[2] > 0
    assert np.array_equal(apply_later(Augment(jpeg=0.6), noisy, jpeg=0.7), noisy)


def test_cutout_hides_a_square_around_any_pixel(image):
    hidden = apply_later(Augment(cutout=20), image, cutout=0.4, x=0.5, y=0.25)
    assert (hidden[18:38, 46:66] == 127).all()
    hidden[18:38, 46:66] = image[18:38, 46:66]
    assert np.array_equal(hidden, image)
    corner = apply_later(Augment(cutout=20), image, cutout=0.4, x=0.0, y=0.0)
    assert (corner[:10, :10] == 127).all() and np.array_equal(corner[10:], image[10:])
    assert np.array_equal(apply_later(Augment(cutout=20), image, cutout=0.5), image)


def test_scale_goes_both_ways(image):
    assert np.array_equal(apply(Augment(scale=0.5), image, size=0.5), image)
    smaller = apply(Augment(scale=0.5), image, size=0.0)
    assert (int(smaller[56, 66, 0]) - int(smaller[56, 46, 0])) / 20 == pytest.approx(1 / 0.5, abs=0.06)

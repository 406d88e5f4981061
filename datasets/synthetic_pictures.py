"""Pictures of procedural identities, which are no faces: what makes an identity, and what changes between images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Sequence

import cv2
import numpy as np

from arcface_gluon.data.images.align import TEMPLATE

SIZE = 112
# What `render` says of an image: where the head turns and the light comes from, what covers it, and how sharp it is.
CONDITIONS = ("pose", "light", "occlusion", "blur")
_FARTHEST = 6  # deviations
_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def encoded_images(
    identity: int,
    seed: int,
    group: int,
    count: int,
    difficulty: float,
    size: int = SIZE,
    mixed: bool = False,
    heavy_tails: bool = False,
) -> list[tuple[bytes, tuple[str, ...]]]:
    """JPEGs of one identity, size x size, and under which CONDITIONS each is drawn; they depend on the arguments only.

    `mixed` and `heavy_tails` as for `synthetic.prepare`.
    """
    rng = np.random.default_rng([seed, group, identity])
    person = draw_person(rng)
    most = min(1.0, 2 * difficulty)
    drawn = (
        render(person, rng, rng.uniform(0, most) if mixed else difficulty, _student if heavy_tails else _normal)
        for _ in range(count)
    )
    return [(_jpeg(image, size), conditions) for image, conditions in drawn]


def _jpeg(image, size):
    if size != SIZE:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 92]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


@dataclass
class Person:
    """What all images of an identity share.

    Attributes:
        albedo: (112, 112, 3) float32, 0..255: colour under plain light.
        relief: (112, 112) float32: height over the picture's plane, pixels.
        normal: three (112, 112) float32: x, y and z of the relief's normals.
        head: (112, 112, 3) float32, 0..1: where the head is, the same in all channels.
    """

    albedo: np.ndarray
    relief: np.ndarray
    normal: tuple
    head: np.ndarray


def draw_person(rng: np.random.Generator) -> Person:
    """Draw an identity."""
    points = TEMPLATE + rng.normal(0, 1.6, (5, 2))
    spread = rng.normal(0, 2.0)
    points[[0, 3], 0] -= spread
    points[[1, 4], 0] += spread
    x = (_X - np.float32(56 + rng.normal(0, 1))) / np.float32(41 + rng.normal(0, 3))
    y = (_Y - np.float32(62 + rng.normal(0, 2))) / np.float32(56 + rng.normal(0, 4))
    inside = 1 - x * x - y * y
    head = cv2.merge([np.clip(0.5 + 12 * inside, 0, 1)] * 3)
    albedo = _draw_albedo(points, rng)

    relief = 26 * np.sqrt(np.maximum(inside, 0)) + smooth_field(rng, 6, 1.5)[..., 0]
    nose, eyes = points[2], points[:2].mean(axis=0)
    bumps = [  # height, centre, width and height of nose ridge, nose tip, brow, chin and cheeks
        (rng.uniform(5, 13), (nose + eyes) / 2 + [0, 4], rng.uniform(4, 7), 15),
        (rng.uniform(2, 7), nose, rng.uniform(5, 9), 6),
        (rng.uniform(0, 5), eyes - [0, 12], 26, 6),
        (rng.uniform(0, 6), (56, 106), rng.uniform(8, 15), 8),
        (rng.uniform(0, 5), (30, 74), 11, 10),
        (rng.uniform(0, 5), (82, 74), 11, 10),
    ]
    for height, (x, y), width, length in bumps:
        relief += np.outer(height * _bell(_Y[:, 0], y, length), _bell(_X[0], x, width))
    relief = cv2.GaussianBlur(np.float32(relief), (0, 0), 1.5)
    dy, dx = np.gradient(relief)
    z = 1 / np.sqrt(dx * dx + dy * dy + 1)
    return Person(albedo, relief, (-dx * z, -dy * z, z), head)


def _draw_albedo(points, rng):
    skin = rng.random() * np.array([143, 135, 125]) + [95, 65, 50] + rng.normal(0, 8, 3)
    hair = rng.random() ** 2 * np.array([150, 120, 80]) + [50, 38, 30] + rng.normal(0, 6, 3)
    iris, lips = rng.uniform(20, 150, 3), rng.uniform([120, 50, 50], [200, 100, 110])
    albedo = np.float32(skin) + smooth_field(rng, 4, 12) + smooth_field(rng, 9, 9)

    size, lift, slant = rng.uniform(5, 8), rng.uniform(9, 15), rng.normal(0, 0.18)
    opening, brow, nostril = size * rng.uniform(0.38, 0.62), rng.uniform([7, 1.3], [11, 3.2]), rng.uniform(3, 6)
    radius = min(opening, rng.uniform(2.2, 3.2))
    for side, eye in zip((1, -1), points[:2]):
        _paint(albedo, [228, 224, 218], eye, (size, opening), side * slant / 2)
        _paint(albedo, iris, eye, (radius, radius))
        _paint(albedo, 0.8 * hair, eye - [0, lift], brow, side * slant, softness=0.5)
        _paint(albedo, [70, 40, 35], points[2] + [side * nostril, 3], (2.5, 1.8), share=0.6, softness=0.8)
    mouth, width = points[3:].mean(axis=0), (points[4, 0] - points[3, 0]) / 2 * rng.uniform(0.75, 1.05)
    _paint(albedo, lips, mouth, (width, rng.uniform(2.5, 6)), share=rng.uniform(0.5, 1))
    _paint(albedo, 0.4 * lips, mouth, (0.9 * width, 0.9))
    for _ in range(rng.integers(0, 5)):  # moles
        spot, radius = rng.uniform([28, 30], [84, 105]), rng.uniform(1, 3)
        _paint(albedo, [80, 50, 40], spot, (radius, radius), share=rng.uniform(0.4, 0.9), softness=0.6)

    # Hair covers what lies above a wavy line, and for some the chin.
    wave = sum(rng.normal(0, 3) * np.cos((k * np.pi / SIZE) * _X[0] + rng.uniform(0, 6)) for k in (1, 2, 4))
    cover = np.clip((rng.normal(24, 6) + wave - _Y) / 4 + 0.5, 0, 1)
    if rng.random() < 0.25:
        beard = rng.uniform(0.3, 0.9) * np.clip((_Y - rng.normal(92, 5) - wave) / 6 + 0.5, 0, 1)
        cover = np.maximum(cover, beard)
    albedo += np.float32(cover)[..., None] * (np.float32(hair) - albedo)
    return np.clip(albedo, 4, 250)


def _paint(albedo, colour, centre, axes, angle=0.0, share=1.0, softness=0.25):
    """Lay an ellipse with a soft edge over a picture; only its surroundings are touched."""
    reach = 1.3 * max(axes) + 1
    left, top = (max(0, int(value - reach)) for value in centre)
    right, bottom = (int(value + reach) + 1 for value in centre)
    window = np.s_[top:bottom, left:right]
    x, y = _X[window] - np.float32(centre[0]), _Y[window] - np.float32(centre[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    inside = 1 - ((c * x + s * y) / np.float32(axes[0])) ** 2 - ((c * y - s * x) / np.float32(axes[1])) ** 2
    cover = np.float32(share) * np.clip(0.5 + inside / np.float32(2 * softness), 0, 1)
    albedo[window] += cover[..., None] * (np.float32(colour) - albedo[window])


def _bell(values, centre, width):
    return np.exp(-0.5 * ((values - centre) / width) ** 2)


def _normal(rng, deviations):
    """Numbers of a normal distribution."""
    return rng.normal(0, deviations)


def _student(rng, deviations):
    """Numbers of a multivariate Student's t with three degrees of freedom: some are far out, and then all are."""
    drawn = rng.normal(0, deviations) * np.sqrt(3 / rng.chisquare(3))
    farthest = _FARTHEST * np.array(deviations)
    return np.clip(drawn, -farthest, farthest)


def render(
    person: Person,
    rng: np.random.Generator,
    difficulty: float,
    spread: Callable[[np.random.Generator, Sequence[float]], np.ndarray] = _normal,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Draw one image of an identity.

    Args:
        spread: draws the direction of light and the turning of the head, of given deviations.

    Returns:
        (112, 112, 3) uint8, RGB, and the value of each of the CONDITIONS.
    """
    d = difficulty
    # Light: direction, share of ambient light, colour.
    light = np.array([*spread(rng, (0.8 * d, 0.8 * d)), 1.0])
    light /= np.linalg.norm(light)
    ambient = 1 - d * rng.uniform(0.2, 0.9)
    shade = sum(np.float32(part) * axis for part, axis in zip(light, person.normal))
    shade = ambient + (1.25 * (1 - ambient)) * np.maximum(shade, 0)
    colour = 1 + 0.3 * d * rng.uniform(-1, 1) + 0.12 * d * rng.uniform(-1, 1, 3)
    # NumPy is slow where the last axis (here of three) is broadcast, so all factors get three channels first.
    image = person.albedo * cv2.merge([shade * np.float32(channel) for channel in colour])
    background = smooth_field(rng, 3, 50 * d, 128 + d * rng.uniform(-105, 105, 3))
    image -= background
    image *= person.head
    image += background

    # Pose and expression: residual misalignment, turning (near parts move more), a smooth deformation.
    angle, scale = d * rng.normal(0, 0.16), np.exp(d * rng.normal(0, 0.09))
    c, s = np.float32(scale * np.cos(angle)), np.float32(scale * np.sin(angle))
    x, y = _X - 55.5, _Y - 55.5
    yaw, pitch = np.float32(d * spread(rng, (0.4, 0.25)))
    bend = cv2.resize(np.float32(d * rng.normal(0, 1.8, (5, 5, 2))), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    shift = np.float32(55.5 + d * rng.normal(0, 3.5, 2))
    map_x = c * x - s * y + shift[0] + yaw * person.relief + bend[..., 0]
    map_y = s * x + c * y + shift[1] + pitch * person.relief + bend[..., 1]
    image = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    occluded = rng.random() < 0.5 * d
    if occluded:
        _occlude(image, rng)
    blur = d * rng.uniform(0, 2.2)
    blurred = blur > 0.35
    if blurred:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    top, left = rng.integers(0, 256 - SIZE, 2)
    noise = _noise()[top : top + SIZE, left : left + SIZE]
    image = cv2.scaleAdd(noise, 1 + d * rng.uniform(0, 14), image)
    sides = _side(yaw, 0.15, "frontal"), _side(light[0], 0.3, "front")
    conditions = (*sides, "covered" if occluded else "clear", "blurred" if blurred else "sharp")
    return cv2.convertScaleAbs(cv2.max(image, 0)), conditions


def _side(value, least, middle):
    return middle if abs(value) <= least else "left" if value < 0 else "right"


def _occlude(image, rng):
    """Something of one colour in front: an ellipse or a bar, up to a quarter of the picture."""
    centre, colour = rng.integers(10, 102, 2).tolist(), rng.uniform(10, 240, 3).tolist()
    axes = rng.integers(8, 34, 2).tolist()
    if rng.random() < 0.5:
        cv2.ellipse(image, tuple(centre), tuple(axes), rng.uniform(0, 180), 0, 360, colour, -1)
    else:
        (x, y), (w, h) = centre, axes
        cv2.rectangle(image, (x - w, y - h // 2), (x + w, y + h // 2), colour, -1)


@lru_cache(maxsize=1)
def _noise():
    """Unit Gaussian noise to cut pieces from; drawing it anew would take half of the time of an image."""
    return np.random.default_rng(0).standard_normal((256, 256, 3), np.float32)


def smooth_field(rng: np.random.Generator, cells: int, deviation: float, mean: float = 0.0) -> np.ndarray:
    """(112, 112, 3) float32: random values on a coarse grid of `cells` x `cells`, interpolated."""
    grid = np.float32(rng.normal(mean, deviation, (cells, cells, 3)))
    return cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)

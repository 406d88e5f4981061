"""Small sets in exactly the layouts of MegaFace, IJB-B/C, Trillion-Pairs and iQIYI-VID, from any training set.

    arcface-gluon data demo megaface --from datasets/orl --out datasets/demo/megaface

They show that an evaluation runs and what its results look like; a dozen people say nothing about a network. Each
builder takes the images of a dozen people or more, at least eight of each. The same images give the same files.
`planted` draws features instead of images, at any size, for measuring speed and for checking counts.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Iterable, Sequence

import cv2
import numpy as np
from arcface_gluon.datasets import demo_pairs, orl

from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import FaceRecords
from arcface_gluon.data.benchmarks.ijb import BENCHMARKS, layout
from arcface_gluon.data.benchmarks.megaface import distractor_list_path
from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.images.align import TEMPLATE
from arcface_gluon.data.images.decode import decode_image
from arcface_gluon.errors import UserError
from arcface_gluon.files import atomic_write, write_json

DATASETS = Path("datasets")  # of the working folder
_ENOUGH = 8
# Faces of IJB lie in loose crops: the demo's have this many pixels more on the left and above.
_MARGIN = 24, 16
_TEMPLATE_SIZE = 112

EXAMPLE = "arcface-gluon data demo megaface --from datasets/orl --out datasets/demo/megaface"


def megaface(
    folder: str | os.PathLike[str],
    images: Iterable[tuple[np.ndarray, int]],
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> None:
    """MegaFace: folders, lists of `sizes` distractors (10, 100 and all) in three sets, text lists, noise lists.

    Two fifths of the people are probes, the images of the others distractors. One probe image shows somebody else, and
    one distractor is a probe person: both are in the noise lists, so that the refined protocol has something to do.

    Args:
        images: iterable of (image uint8 RGB, identity).
    """
    folder, people = Path(folder), _people(images)
    count = max(2, len(people) * 2 // 5)
    probes, distractors = dict(list(people.items())[:count]), dict(list(people.items())[count:])
    paths, identities = [], []
    for person, pictures in probes.items():
        for number, picture in enumerate(pictures, 1):
            paths.append(f"{_name(person)}/{_name(person)}_{number}.png")
            identities.append(_name(person))
            _write(folder / "facescrub_images" / paths[-1], picture)
    wrong, stray = paths[-1], probes[next(iter(probes))][0]
    _write(folder / "facescrub_images" / wrong, next(iter(distractors.values()))[0])
    others = {}
    for position, (person, pictures) in enumerate(distractors.items()):
        for number, picture in enumerate(pictures):
            others[f"{position % 10}/{_name(person)}/{number}.jpg"] = picture
    stray_path = "9/stray/0.jpg"
    others[stray_path] = stray
    for path, picture in others.items():
        _write(folder / "megaface_images" / path, picture)
    _write_lines(folder / "facescrub_lst", paths)
    _write_lines(folder / "megaface_lst", others)
    write_json(folder / "templatelists" / "facescrub_features_list.json", {"path": paths, "id": identities})
    for number in (1, 2, 3):
        # As in the devkit, there are three sets, and a smaller list of a set is part of the larger ones.
        order = np.random.default_rng((seed, number)).permutation(list(others)).tolist()
        for size in sorted({min(size, len(order)) for size in sizes or (10, 100, len(order))}):
            write_json(distractor_list_path(folder / "templatelists", size, number), {"path": order[:size]})
    _write_lines(folder / "facescrub_noises.txt", ["# probes that show somebody else", Path(wrong).name])
    _write_lines(folder / "megaface_noises.txt", ["# distractors that show a probe person", stray_path])


def ijb(folder: str | os.PathLike[str], images: Iterable[tuple[np.ndarray, int]], benchmark: str = "IJBC") -> None:
    """IJB-B or IJB-C: loose crops with landmarks, templates of several media, all 1:1 pairs, two 1:N galleries.

    The first half of a person's images are the gallery template, the others probe templates of one and two images. Of
    every eight people one is enrolled in neither gallery.
    """
    folder, people = Path(folder), _people(images)
    where = layout(folder, benchmark)
    rows, landmarks, galleries, probes = [], [], ([], []), []
    for subject, pictures in enumerate(people.values(), 1):
        half = len(pictures) // 2
        templates = [list(range(half))]
        rest, size = list(range(half, len(pictures))), 1
        while rest:
            templates.append(rest[:size])
            rest, size = rest[size:], 3 - size
        for number, members in enumerate(templates):
            template = subject * 100 + number
            if number:
                probes.append((template, subject))
            elif subject % 8:
                galleries[subject % 2].append((template, subject))
            for place, picture in enumerate(members):
                name = f"{len(rows) + 1}.jpg"
                # Two images a medium.
                rows.append(f"{name} {template} {template * 10 + place // 2}")
                points = TEMPLATE * (np.array(pictures[picture].shape[1::-1]) / _TEMPLATE_SIZE) + _MARGIN
                landmarks.append(f"{name} {' '.join(f'{x:.4f}' for x in points.ravel())} 0.99")
                left, top = _MARGIN
                loose = cv2.copyMakeBorder(pictures[picture], top, top, left, left, cv2.BORDER_REPLICATE)
                _write(where.images / name, loose)
    _write_lines(where.media, rows)
    _write_lines(where.landmarks, landmarks)
    enrolled = galleries[0] + galleries[1]
    pairs = (f"{a} {b} {int(s == t)}" for (a, s), (b, t) in product(enrolled, probes))
    _write_lines(where.pairs, pairs)
    for path, members in [*zip(where.galleries, galleries), (where.probes, probes)]:
        _write_lines(path, ["TEMPLATE_ID,SUBJECT_ID", *(f"{template},{subject}" for template, subject in members)])


def trillion_pairs(folder: str | os.PathLike[str], images: Iterable[tuple[np.ndarray, int]]) -> None:
    """Trillion-Pairs: `elfw/<person>/<image>` with elfw_lst, and `flickr/<image>` with flickr_lst."""
    folder, people = Path(folder), _people(images)
    half = max(2, len(people) // 2)
    lists = {"elfw": [], "flickr": []}
    for position, (person, pictures) in enumerate(people.items()):
        for number, picture in enumerate(pictures):
            which = "elfw" if position < half else "flickr"
            path = f"{_name(person)}/{number}.jpg" if position < half else f"{len(lists[which])}.jpg"
            lists[which].append(path)
            _write(folder / which / path, picture)
    for which, paths in lists.items():
        _write_lines(folder / f"{which}_lst", paths)


def iqiyi(folder: str | os.PathLike[str], images: Iterable[tuple[np.ndarray, int]]) -> None:
    """iQIYI-VID: frames of videos, train.txt and val.txt; the videos of the last quarter of people are distractors."""
    folder, people = Path(folder), _people(images)
    known = len(people) * 3 // 4
    train, val = [], []
    for person, pictures in enumerate(people.values()):
        starts = range(0, len(pictures), 2)
        for number, start in enumerate(starts):
            video = f"IQIYI_VID_{person:04d}_{number}"
            for frame, picture in enumerate(pictures[start : start + 2]):
                _write(folder / "frames" / video / f"{frame:04d}.jpg", picture)
            if person >= known:
                val.append(f"{video} -1")
            else:
                (train if number < len(starts) // 2 else val).append(f"{video} {person}")
    _write_lines(folder / "train.txt", train)
    _write_lines(folder / "val.txt", val)


def planted(
    count: int, people: int, size: int = 512, spread: float = 1.0, seed: int = 0, block: int = 65536
) -> tuple[np.ndarray, np.ndarray]:
    """Random unit features of planted identities.

    Args:
        count: how many. people: number of identities, given out evenly; 0: each feature is its own, as of distractors.
        spread: length of the deviation from the identity's direction, in units of its own length; 1 makes genuine
            cosines of about 0.5, beside 0 +- 1/sqrt(size) of others.

    Returns:
        (features, labels): (count, size) float32 of length 1; (count,) int64.
    """
    features, labels = np.empty((count, size), np.float32), np.arange(count) % people if people else np.arange(count)
    centres = np.random.default_rng((seed, 0)).standard_normal((people, size), np.float32)
    for start in range(0, count, block):
        part = features[start : start + block]
        np.random.default_rng((seed, 1, start)).standard_normal(dtype=np.float32, out=part)
        if people:
            part *= spread
            part += centres[labels[start : start + block]]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return features, labels


def _people(images):
    """Images by identity, in order of first appearance, of those with enough of them."""
    people = {}
    for image, identity in images:
        people.setdefault(identity, []).append(image)
    people = {identity: pictures for identity, pictures in people.items() if len(pictures) >= _ENOUGH}
    if len(people) < 8:
        raise UserError(f"a demo set needs 8 people with {_ENOUGH} images each, not {len(people)}; use another set")
    return people


def _name(identity):
    return f"Person_{identity}"


def _write(path, picture):
    with atomic_write(path) as file:
        file.write(cv2.imencode(path.suffix, picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def _write_lines(path, lines):
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)


BUILDERS = {
    "megaface": megaface,
    **{name.lower(): lambda folder, images, name=name: ijb(folder, images, name) for name in BENCHMARKS},
    "trillion-pairs": trillion_pairs,
    "iqiyi": iqiyi,
}


def prepare(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Write the ten held-out people of ORL in the layout `name`; the ORL set is prepared first if it is missing.

    Args:
        folder: where to; datasets/demo/<name> by default.
    """
    orl.prepare(DATASETS / "orl")
    faces = demo_pairs.read_faces(DATASETS / "orl" / "orl.bin")
    folder = Path(folder or DATASETS / "demo" / name)
    BUILDERS[name](folder, ((decode_image(image), person) for image, person in zip(faces.images, faces.person)))
    mark_demo(folder)
    return folder


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("data demo", __doc__, EXAMPLE)
    parser.add_argument("set", choices=BUILDERS, help="which benchmark's layout")
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder with train.rec")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    args = parser.parse_args(arguments)
    records = FaceRecords(args.source)
    images = ((decode_image(image), label) for image, label in map(records.read, range(len(records))))
    BUILDERS[args.set](args.out, images)
    mark_demo(args.out)
    print(args.out)
    return 0

"""Which data sets of Table 1 are in a folder, whole or in part, told from lists, indices and headers alone."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Callable, Iterable, NamedTuple, Sequence

from ...errors import UserError
from ..benchmarks import ijb, iqiyi, megaface
from ..demos import is_demo
from ..records.training_set import RECORD_FILES, FaceRecords
from ..verification.bin_file import read_bin
from ..verification.pair_lists import is_whole_set, read_ytf
from ..verification.sets import SETS
from .table1 import TABLE1, TRAINING_SIZES, DataSet, is_whole_training_set

PRESENT, INCOMPLETE, ABSENT = "present", "incomplete", "absent"
# Files of a long list that are looked for, evenly over it.
_SAMPLE = 1000
# What whole benchmarks have.
_MEGAFACE = (3_530, 1_000_000)
_IJB = {"IJBB": (227_630, 8_010_270), "IJBC": (469_375, 15_658_489)}
_TRILLION = (274_000, 1_580_000)
_IQIYI = (172_835, 4_934)
_YTF = 3_425


class Presence(NamedTuple):
    """What is here of a data set.

    Attributes:
        data_set: which.
        state: "present", "incomplete" or "absent".
        place: its file or folder; None where it is absent.
        found: identities, images or pairs, in words.
        missing: what is not there, in words.
    """

    data_set: DataSet
    state: str
    place: Path | None = None
    found: str = ""
    missing: list[str] = []


def check_all(folder: str | os.PathLike[str]) -> list[Presence]:
    """Look for every set of Table 1 below a folder, in the order of the table.

    Raises:
        UserError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name the one that holds the data sets")
    return [check(one, folder) for one in TABLE1]


def check(data_set: DataSet, folder: Path) -> Presence:
    """Look for one set below a folder of data sets; demo sets do not count."""
    try:
        return _CHECKS[data_set.kind](data_set, folder)
    except (UserError, OSError) as error:
        return Presence(data_set, INCOMPLETE, folder, "", [str(error)])


def _state(data_set, place, found, missing):
    return Presence(data_set, INCOMPLETE if missing else PRESENT, place, found, missing)


def _training(data_set: DataSet, folder: Path) -> Presence:
    own = {"casia": "CASIA", "vgg2": "VGG2"}.get(data_set.key, data_set.title)
    states = []
    for name, size in {data_set.key: own, **data_set.within}.items():
        place = folder / name
        if not place.is_dir() or is_demo(place):
            continue
        absent = [file for file in (RECORD_FILES[0], RECORD_FILES[2]) if not (place / file).is_file()]
        if absent:
            states.append(_state(data_set, place, "", absent))
            continue
        records = FaceRecords(place)
        identities, images = records.num_identities, len(records)
        missing = []
        if not is_whole_training_set(size, identities, images):
            whole = f"the whole set has about {TRAINING_SIZES[size][0]:,} and {TRAINING_SIZES[size][1]:,}"
            missing.append(f"{whole}: it is a part, or another set")
        states.append(_state(data_set, place, f"{identities:,} identities, {images:,} images", missing))
    return min(states, key=lambda one: one.state != PRESENT, default=Presence(data_set, ABSENT))


def _pairs(data_set: DataSet, folder: Path) -> Presence:
    name = f"{data_set.key}.bin"
    places = [
        path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_file() and not is_demo(path)
    ]
    states = []
    for place in places:
        try:
            images, issame = read_bin(place)
        except UserError as error:
            states.append(_state(data_set, place, "", [str(error)]))
            continue
        found = f"{len(issame):,} pairs of {len(set(images)):,} images"
        whole = is_whole_set(data_set.key, issame)
        missing = [] if whole else [f"{SETS[data_set.key].pairs:,} pairs, half of them genuine, are the whole set"]
        states.append(_state(data_set, place, found, missing))
        if whole:
            break
    return min(states, key=lambda one: one.state != PRESENT, default=Presence(data_set, ABSENT))


def _ytf(data_set: DataSet, folder: Path) -> Presence:
    place = folder / data_set.key
    if not place.is_dir() or is_demo(place):
        return Presence(data_set, ABSENT)
    missing, found, names = [], "", []
    if (place / "splits.txt").is_file():
        pairs = read_ytf(place / "splits.txt")
        names = sorted({name for pair in pairs for name in pair[:2]})
        found = f"{len(pairs):,} pairs of {len(names):,} videos"
        if len(pairs) != SETS["ytf"].pairs:
            missing.append(f"{SETS['ytf'].pairs:,} pairs are the whole set")
    else:
        missing.append("splits.txt")
    root = place / "aligned_images_DB"
    if not root.is_dir():
        return _state(data_set, place, found, [*missing, "aligned_images_DB/"])
    videos = sum(1 for person in os.scandir(root) if person.is_dir() for one in os.scandir(person.path) if one.is_dir())
    if videos != _YTF:
        missing.append(f"aligned_images_DB has {videos:,} of {_YTF:,} videos")
    missing += _absent(names, lambda name: _has_files(root / name), "videos of the list have no frames", len(names))
    return _state(data_set, place, found, missing)


def _megaface(data_set: DataSet, folder: Path) -> Presence:
    place = folder / data_set.key
    if not place.is_dir() or is_demo(place):
        return Presence(data_set, ABSENT)
    lists = place / "templatelists"
    probe_list = lists / "facescrub_features_list.json"
    distractor_list = megaface.distractor_list_path(lists, _MEGAFACE[1], 1)
    notes = [place / "facescrub_noises.txt", place / "megaface_noises.txt"]
    missing, found = _absent_files(place, [probe_list, distractor_list, *notes]), []
    for path, read, size, root, what in (
        (probe_list, megaface.read_probe_list, _MEGAFACE[0], "facescrub_images", "probes"),
        (distractor_list, megaface.read_distractor_list, _MEGAFACE[1], "megaface_images", "distractors"),
    ):
        paths = read(path).paths if path.is_file() else []
        found += [f"{len(paths):,} {what}"] if paths else []
        missing += _of_list(place / root, paths, size, what, path.is_file())
    return _state(data_set, place, ", ".join(found), missing)


def _ijb(data_set: DataSet, folder: Path) -> Presence:
    place = next((one for one in (folder / "ijb" / data_set.key, folder / data_set.key) if one.is_dir()), None)
    if place is None or is_demo(place):
        return Presence(data_set, ABSENT)
    where, found = ijb.layout(place, data_set.key), []
    missing = _absent_files(place, [where.media, where.pairs, where.landmarks, *where.galleries, where.probes])
    names: list[str] = []
    if where.media.is_file():
        names = [
            line.split(None, 1)[0] for line in where.media.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
        found.append(f"{len(set(names)):,} images")
    missing += _of_list(where.images, names, _IJB[data_set.key][0], "images", where.media.is_file())
    if where.pairs.is_file():
        pairs = _lines(where.pairs)
        found.append(f"{pairs:,} pairs")
        if pairs != _IJB[data_set.key][1]:
            missing.append(f"{where.pairs.name} has {pairs:,} of {_IJB[data_set.key][1]:,} pairs")
    return _state(data_set, place, ", ".join(found), missing)


def _trillion(data_set: DataSet, folder: Path) -> Presence:
    place = next((folder / name for name in ("trillion", "trillion-pairs") if (folder / name).is_dir()), None)
    if place is None or is_demo(place):
        return Presence(data_set, ABSENT)
    lists = place / "elfw_lst", place / "flickr_lst"
    missing, found = _absent_files(place, lists), []
    for path, read, root, size, what in (
        (lists[0], megaface.read_probe_list, "elfw", _TRILLION[0], "probes"),
        (lists[1], megaface.read_distractor_list, "flickr", _TRILLION[1], "distractors"),
    ):
        paths = read(path).paths if path.is_file() else []
        found += [f"{len(paths):,} {what}"] if paths else []
        missing += _of_list(place / root, paths, size, what, path.is_file(), 0.01)
    return _state(data_set, place, ", ".join(found), missing)


def _iqiyi(data_set: DataSet, folder: Path) -> Presence:
    place = folder / data_set.key
    if not place.is_dir() or is_demo(place):
        return Presence(data_set, ABSENT)
    lists = place / "train.txt", place / "val.txt"
    missing = _absent_files(place, lists)
    if missing:
        return _state(data_set, place, "", missing)
    videos = iqiyi.read_set(*lists)
    people = len({person for person in videos.persons.tolist() if person >= 0})
    found = f"{len(videos.names):,} videos of {people:,} people"
    if (len(videos.names), people) != _IQIYI:
        missing.append(f"{_IQIYI[0]:,} videos of {_IQIYI[1]:,} people are the whole set")
    some = _some(videos.names)
    missing += _absent(
        some, lambda name: _has_files(place / "frames" / name), "videos have no frames", len(videos.names)
    )
    return _state(data_set, place, found, missing)


def _of_list(root: Path, paths: Sequence[str], size: int, what: str, listed: bool, tolerance: float = 0.0) -> list[str]:
    """What is missing of the images of a list below `root`, of which a whole one has `size`."""
    if not root.is_dir():
        return [f"{root.name}/"]
    missing = (
        [f"{len(paths):,} of {size:,} {what} are listed"]
        if listed and abs(len(paths) - size) > tolerance * size
        else []
    )
    return missing + _absent(
        _some(paths), lambda name: (root / name).is_file(), f"{what} are not in {root.name}/", len(paths)
    )


def _some(names: Sequence[str]) -> list[str]:
    step = max(1, -(-len(names) // _SAMPLE))
    return list(names[::step])


def _absent(names: Sequence[str], is_there: Callable[[str], bool], what: str, of: int) -> list[str]:
    gone = [name for name in names if not is_there(name)]
    looked = f"{len(names):,} looked for" + (f" of {of:,}" if of > len(names) else "")
    return [f"{len(gone):,} {what} ({looked}), such as {gone[0]}"] if gone else []


def _absent_files(place: Path, files: Iterable[Path]) -> list[str]:
    return [str(file.relative_to(place)) for file in files if not file.is_file()]


def _has_files(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _lines(path: Path) -> int:
    """Lines of a large file."""
    if not path.stat().st_size:
        return 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        count, last = 0, 0
        while block := view.read(1 << 24):
            count += block.count(b"\n")
            last = block[-1]
        return count + (last != ord("\n"))


_CHECKS: dict[str, Callable[[DataSet, Path], Presence]] = {
    "training": _training,
    "pairs": _pairs,
    "ytf": _ytf,
    "megaface": _megaface,
    "ijb": _ijb,
    "trillion": _trillion,
    "iqiyi": _iqiyi,
}

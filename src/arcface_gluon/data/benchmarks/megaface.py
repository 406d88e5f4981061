"""MegaFace's lists, folders, noise lists and result names, as the devkit and the ArcFace authors' scripts have them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Iterable, Sequence

import numpy as np

from ...errors import UserError
from ...files import read_json, read_lines
from ...progress import progress

# The ArcFace authors' script appends a 513th value to every vector: 0, or 100 for a noisy distractor.
_NOISE_MARK = 100.0


@dataclass
class ImageList:
    """paths: relative image paths, unique. identities: one a path, or None where the list has none."""

    paths: list
    identities: list | None = None


def read_probe_list(path: str | os.PathLike[str]) -> ImageList:
    """`facescrub_features_list.json` (parallel arrays `path` and `id`), or a text list of `person/image` lines."""
    if not _is_json(path):
        paths = [line for _, line in read_lines(path)]
        bare = next((line for line in paths if "/" not in line), None)
        if bare is not None:
            raise UserError(f"{path}: {bare} has no folder; a probe is written person/image")
        return ImageList(_unique(path, paths), [str(PurePosixPath(line).parent) for line in paths])
    value = _read_list(path)
    paths, identities = value["path"], value.get("id")
    if not isinstance(identities, list) or len(identities) != len(paths):
        raise UserError(f"{path} must have an `id` for each `path`, as facescrub_features_list.json has")
    return ImageList(_unique(path, paths), [str(identity) for identity in identities])


def read_distractor_list(path: str | os.PathLike[str]) -> ImageList:
    """`megaface_features_list.json_<size>_<set>` (array `path`), or a text list of one path a line."""
    paths = _read_list(path)["path"] if _is_json(path) else [line for _, line in read_lines(path)]
    return ImageList(_unique(path, paths))


def distractor_list_path(folder: str | os.PathLike[str], size: int | str, number: int | str) -> Path:
    """Where the devkit keeps the list of `size` distractors of set `number`."""
    return Path(folder) / f"megaface_features_list.json_{size}_{number}"


@dataclass
class Galleries:
    """paths: all distractors, each once. rows: {(size, set): int64 positions in them}, by size and set."""

    paths: list
    rows: dict


def find_lists(folder: str | os.PathLike[str]) -> list[tuple[int, int]]:
    """The (size, set) of all distractor lists in the devkit's folder, ascending."""
    found = []
    for path in Path(folder).glob(distractor_list_path("", "*", "*").name):
        size, _, number = path.name.split("json_")[1].partition("_")
        if size.isdecimal() and number.isdecimal():
            found.append((int(size), int(number)))
    return sorted(found)


def read_galleries(
    folder: str | os.PathLike[str], sizes: Sequence[int] | None = None, sets: Sequence[int] | None = None
) -> Galleries:
    """The distractor lists of `sizes` and `sets` (None: all that there are), as positions in one list of all images.

    Raises:
        UserError: a list that was asked for is missing or damaged, or there is none.
    """
    there = find_lists(folder)
    wanted = [key for key in there if (sizes is None or key[0] in sizes) and (sets is None or key[1] in sets)]
    # What was asked for by number must be there; `read_distractor_list` says what is not.
    wanted += [(size, number) for size in sizes or () for number in sets or () if (size, number) not in there]
    wanted += [(size, 1) for size in sizes or () if sets is None and all(key[0] != size for key in there)]
    if not wanted:
        raise UserError(
            f"{folder} has no distractor list of what was asked for (megaface_features_list.json_<size>_<set>); "
            "name the devkit's folder with --lists"
        )
    number, rows = {}, {}
    # From the largest on, so that its order of the images stays the order of all.
    for key in progress(sorted(wanted, key=lambda key: (-key[0], key[1])), desc="lists", unit=" lists"):
        paths = read_distractor_list(distractor_list_path(folder, *key)).paths
        rows[key] = np.fromiter((number.setdefault(path, len(number)) for path in paths), np.int64, len(paths))
    return Galleries(list(number), {key: rows[key] for key in sorted(wanted)})


def unknown_elsewhere(folder: str | os.PathLike[str], names: list[str], galleries: Galleries) -> list[str]:
    """Those of the noise list's `names` that are in none of the folder's other lists either."""
    for key in reversed(find_lists(folder)):
        if names and key not in galleries.rows:
            names = find_noisy(read_distractor_list(distractor_list_path(folder, *key)).paths, names)[1]
    return names


def feature_paths(root: str | os.PathLike[str], paths: Iterable[str], ending: str) -> list[Path]:
    """Feature files of images: the devkit appends `ending` (`_r100.bin`) to the path, the image's own ending stays."""
    return [Path(root) / f"{path}{ending}" for path in paths]


def algorithm(ending: str) -> str:
    """The algorithm's name in results: the ending before its first dot, without underscores around it."""
    return ending.split(".")[0].strip("_")


def result_name(ending: str, size: int, number: int) -> str:
    """File name of the devkit's result."""
    return f"cmc_facescrub_megaface_{algorithm(ending)}_{size}_{number}.json"


def read_noise_list(path: str | os.PathLike[str]) -> list[str]:
    """Names of mislabelled images: one a line, `#` starts a comment, only what follows a tab counts."""
    return [line.split("\t")[-1].strip() for _, line in read_lines(path) if not line.startswith("#")]


def find_noisy(paths: Sequence[str], noise: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Which images are in a noise list.

    A name with a folder must equal the path. A bare name is compared with the path's last part without its ending,
    since the lists say .png where features may come from .jpg.

    Returns:
        (mask, unknown): (n,) bool, and the names that are in the list but among no path.
    """
    exact = {name for name in noise if "/" in name}
    bare = {PurePosixPath(name).stem for name in noise if "/" not in name}
    stems = [PurePosixPath(path).stem for path in paths]
    mask = np.array([path in exact or stem in bare for path, stem in zip(paths, stems)], bool)
    known = set(paths), set(stems)
    unknown = [n for n in noise if (n not in known[0] if "/" in n else PurePosixPath(n).stem not in known[1])]
    return mask, unknown


@dataclass
class Noise:
    """Masks of the probes and distractors in noise lists.

    lists: the lists read. unknown: `list: name` of no image. counted: a line for each list with such names.
    """

    probes: np.ndarray
    distractors: np.ndarray
    lists: list
    unknown: list
    counted: list


def read_noise(
    probe_list: str | os.PathLike[str] | None,
    distractor_list: str | os.PathLike[str] | None,
    probes: Sequence[str],
    galleries: Galleries,
    folder: str | os.PathLike[str],
) -> Noise:
    """The noise lists (paths, or None) for the `probes` (paths) and the distractors of `galleries`.

    Names that are in no list of images are counted, as the authors' own list has most of them: it names images of 265
    people, the devkit's probes are of 80.

    Args:
        folder: of the devkit's lists: a noisy distractor may be in one that `galleries` is without.

    Raises:
        UserError: a noise list cannot be read, or all its names are unknown.
    """
    masks, unknown, counted = [], [], []
    for path, what, paths in ((probe_list, "probes", probes), (distractor_list, "distractors", galleries.paths)):
        named = read_noise_list(path) if path else []
        mask, strange = find_noisy(paths, named)
        if what == "distractors":
            strange = unknown_elsewhere(folder, strange, galleries)
        if strange and len(strange) == len(named):
            raise UserError(
                f"{path}: none of its {len(named):,} names is in a list of {what}, the first is {strange[0]}; "
                "check that it belongs to them"
            )
        if strange:
            counted.append(
                f"{path}: {len(strange):,} of {len(named):,} names are in no list of {what}, and are ignored"
            )
        masks.append(mask)
        unknown += [f"{path}: {name}" for name in strange]
    probe_mask, distractor_mask = masks
    lists = [path for path in (probe_list, distractor_list) if path]
    return Noise(probe_mask, distractor_mask, lists, unknown, counted)


def split_noise_mark(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo the 513th value that the ArcFace authors' noise script appended.

    Returns:
        (features, noisy): unchanged and all False if there is no such mark.
    """
    last = np.asarray(features[:, -1])
    if features.shape[1] % 2 == 0 or not np.isin(last, (0.0, _NOISE_MARK)).all():
        return features, np.zeros(len(features), bool)
    return features[:, :-1], last == _NOISE_MARK


def _is_json(path):
    return ".json" in Path(path).name


def _read_list(path):
    value = read_json(path)
    paths = value.get("path") if isinstance(value, dict) else None
    if not isinstance(paths, list) or not all(isinstance(item, str) for item in paths):
        raise UserError(f"{path} must be a JSON object with an array `path`, as the devkit's template lists are")
    return value


def _unique(source, paths):
    if not paths:
        raise UserError(f"{source} names no image")
    seen = set()
    for path in paths:
        if path in seen:
            raise UserError(f"{source} names {path} twice; remove one, or its scores would count double")
        seen.add(path)
    return paths

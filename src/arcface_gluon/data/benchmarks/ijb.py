"""The lists of IJB-B and IJB-C: images with templates and media, 1:1 pairs, landmarks with scores, 1:N enrolment."""

from __future__ import annotations

import codecs
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from ...errors import UserError
from ...files import csv_fields, read_lines

BENCHMARKS = ("IJBB", "IJBC")

_HINT = "check the path of the meta folder"
# What template, medium and subject numbers can be.
_NUMBERS = np.iinfo(np.int32)


def _number(text: str) -> int:
    """A whole number of a list; ValueError where it is none, or beyond 32 bits."""
    value = int(text)
    if not _NUMBERS.min <= value <= _NUMBERS.max:
        raise ValueError(f"{value} is beyond 32 bits")
    return value


@dataclass
class Layout:
    """Where the files of a benchmark lie below its root (the folder with IJBB/ or IJBC/ contents)."""

    images: Path
    media: Path
    pairs: Path
    landmarks: Path
    galleries: list
    probes: Path


def layout(root: str | os.PathLike[str], benchmark: str) -> Layout:
    """Paths of `benchmark` ("IJBB" or "IJBC") below `root`."""
    if benchmark not in BENCHMARKS:
        raise UserError(f"{benchmark!r} is not a template benchmark; choose {' or '.join(BENCHMARKS)}")
    root, name = Path(root), benchmark.lower()
    sets = ("S1", "S2") if benchmark == "IJBB" else ("G1", "G2")
    meta = root / "meta"
    return Layout(
        images=root / "loose_crop",
        media=meta / f"{name}_face_tid_mid.txt",
        pairs=meta / f"{name}_template_pair_label.txt",
        landmarks=meta / f"{name}_name_5pts_score.txt",
        galleries=[meta / f"{name}_1N_gallery_{part}.csv" for part in sets],
        probes=meta / f"{name}_1N_probe_mixed.csv",
    )


@dataclass
class Media:
    """names: image files. templates, media: int64, one each."""

    names: list
    templates: np.ndarray
    media: np.ndarray


def read_media(path: str | os.PathLike[str]) -> Media:
    """`*_face_tid_mid.txt`: lines `name template media`.

    Raises:
        UserError: a bad line (its number is told), or an image twice in a template.
    """
    names, templates, media, seen = [], [], [], set()
    for number, line in read_lines(path, _HINT):
        parts = line.split()
        try:
            name, template, medium = parts[0], _number(parts[1]), _number(parts[2])
        except (IndexError, ValueError):
            raise UserError(f"{path} line {number}: expected `name template media`, found {line!r}") from None
        if (name, template) in seen:
            raise UserError(f"{path} line {number}: {name} is twice in template {template}; remove one")
        seen.add((name, template))
        names.append(name)
        templates.append(template)
        media.append(medium)
    if not names:
        raise UserError(f"{path} names no image")
    return Media(names, np.array(templates), np.array(media))


@dataclass
class Landmarks:
    """points: (n, 5, 2) float32 x, y in pixels of the loose crop. scores: (n,) float32 of the face detector."""

    names: list
    points: np.ndarray
    scores: np.ndarray


def read_landmarks(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> Landmarks:
    """`*_name_5pts_score.txt`: lines `name x1 y1 … x5 y5 score`.

    Args:
        names: the images of the media list, which must be the same in the same order.

    Raises:
        UserError: a bad line, or another image than in the media list.
    """
    found, values = [], []
    for number, line in read_lines(path, _HINT):
        parts = line.split()
        try:
            row = [float(part) for part in parts[1:]]
        except ValueError:
            row = []
        if len(row) != 11 or not np.isfinite(row).all():
            raise UserError(f"{path} line {number}: expected a name, five points and a score, found {line!r}")
        if names is not None and (len(found) >= len(names) or names[len(found)] != parts[0]):
            raise UserError(f"{path} line {number}: {parts[0]} is not the image of that line in the media list")
        found.append(parts[0])
        values.append(row)
    if names is not None and len(found) != len(names):
        raise UserError(f"{path} has {len(found)} lines, the media list {len(names)}; they must be the same images")
    values = np.array(values, np.float32).reshape(-1, 11)
    return Landmarks(found, values[:, :10].reshape(-1, 5, 2), values[:, 10])


@dataclass
class Pairs:
    """first, second: int32 template numbers. same: bool."""

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray

    def repeated(self) -> int:
        """How many pairs are there again, in either order: each is scored as often as it is listed."""
        low, high = np.minimum(self.first, self.second), np.maximum(self.first, self.second)
        keys = np.sort(low.astype(np.int64) << 32 | high.view(np.uint32))
        return int((keys[1:] == keys[:-1]).sum())


def read_pairs(path: str | os.PathLike[str]) -> Pairs:
    """`*_template_pair_label.txt`: lines `template template 0|1`, 15.7 million of them for IJB-C.

    Raises:
        UserError: the file is missing, cut short, or has anything but such numbers.
    """
    try:
        with warnings.catch_warnings():
            # NumPy stops at what is no number, with this warning or (later versions) a ValueError.
            warnings.simplefilter("error", DeprecationWarning)
            with open(path, "rb") as file:
                if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                    file.seek(0)
                # Twice the width that is kept: NumPy lets larger numbers wrap round to those of other templates.
                values = np.fromfile(file, np.int64, sep=" ")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {_HINT}") from error
    except (DeprecationWarning, ValueError):
        raise UserError(f"{path} has something that is no number; lines must be `template template 0|1`") from None
    if not values.size or values.size % 3:
        raise UserError(f"{path} has {values.size} numbers, not three a line; it may be cut short, fetch it again")
    large = np.flatnonzero((values < _NUMBERS.min) | (values > _NUMBERS.max))
    if large.size:
        raise UserError(f"{path} line {large[0] // 3 + 1}: a number is beyond 32 bits; fetch the list again")
    first, second, same = values.astype(np.int32).reshape(-1, 3).T
    wrong = np.flatnonzero((same != 0) & (same != 1))
    if wrong.size:
        raise UserError(f"{path} line {wrong[0] + 1}: the label is {same[wrong[0]]}, it must be 0 or 1")
    return Pairs(np.ascontiguousarray(first), np.ascontiguousarray(second), same.astype(bool))


@dataclass
class Enrolment:
    """templates, subjects: int64, one row a template, in order of first appearance."""

    templates: np.ndarray
    subjects: np.ndarray


def read_enrolment(path: str | os.PathLike[str]) -> Enrolment:
    """A 1:N gallery or probe list: comma separated, one header line, columns 0 and 1 are template and subject.

    Raises:
        UserError: a bad line, or a template with two subjects.
    """
    subjects = {}
    for number, line in read_lines(path, _HINT):
        if number == 1:
            continue
        try:
            template, subject = (_number(value) for value in csv_fields(line, path, number)[:2])
        except ValueError:
            raise UserError(f"{path} line {number}: expected `template,subject,…`, found {line!r}") from None
        known = subjects.setdefault(template, subject)
        if known != subject:
            raise UserError(f"{path} line {number}: template {template} has subjects {known} and {subject}")
    if not subjects:
        raise UserError(f"{path} names no template")
    return Enrolment(np.array(list(subjects)), np.array(list(subjects.values())))

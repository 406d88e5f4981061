"""The pair lists of LFW, CFP, AgeDB, CALFW, CPLFW and YouTube Faces, as their owners give them out, and one's own.

Every reader returns the pairs in the ten folds' order, and refuses a list that is cut short or contradicts itself.
Paths are as in the list; the ending of an image may differ from it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Sequence

from ...errors import UserError
from ...files import csv_fields, read_lines
from ...parallel.shards import shard_ranges
from ..images.folder import path_below
from .sets import SETS

if TYPE_CHECKING:
    import numpy as np

FOLDS = 10
# First line of the list that `unpack` writes beside the images of a set.
UNPACKED = "fold\tpair\tkind\tfirst\tsecond"
_SAME = {"1": True, "true": True, "0": False, "false": False, "-1": False}
_KINDS = {"same": "1", "diff": "0"}  # of that list


class Pair(NamedTuple):
    """Two images (or videos) by their paths below the folder of images, and whether they show one person."""

    first: str
    second: str
    same: bool


def read_lfw(path: str | os.PathLike[str]) -> list:
    """LFW's pairs.txt: a header `folds <tab> n`, then in each fold n lines `name i j` and n lines `name i other j`.

    Image i of a name is name/name_000i.
    """
    pairs, announced = [], None
    for number, line in read_lines(path):
        fields = line.split()
        try:
            if announced is None:
                folds, count = (1, *map(int, fields)) if len(fields) == 1 else map(int, fields)
                announced = folds * 2 * count
            elif len(fields) == 3:
                pairs.append(Pair(_lfw_image(fields[0], fields[1]), _lfw_image(fields[0], fields[2]), True))
            else:
                name, i, other, j = fields
                pairs.append(Pair(_lfw_image(name, i), _lfw_image(other, j), False))
        except ValueError:
            raise _bad(path, number, line, "`name i j` or `name i other j`") from None
    if len(pairs) != (announced or 0):
        raise UserError(f"{path} announces {announced or 0:,} pairs and has {len(pairs):,}; fetch it again")
    return pairs


def _lfw_image(name, number):
    return f"{name}/{name}_{int(number):04d}.jpg"


def read_cfp(folder: str | os.PathLike[str], kind: str) -> list:
    """CFP's folder Protocol: Pair_list_F.txt and _P.txt number the images, Split/<kind>/01 … 10 pair the numbers.

    Args:
        kind: "FF", frontal with frontal, or "FP", frontal with profile.
    """
    folder = Path(folder)
    lists = [_numbered(folder / f"Pair_list_{side}.txt") for side in kind]
    pairs = []
    for fold in range(1, FOLDS + 1):
        for name, same in (("same", True), ("diff", False)):
            path = folder / "Split" / kind / f"{fold:02d}" / f"{name}.txt"
            for number, line in read_lines(path):
                try:
                    first, second = (images[int(field)] for images, field in zip(lists, line.split(",")))
                except (ValueError, KeyError):
                    raise _bad(path, number, line, "`a,b`, numbers of Pair_list_F.txt and _P.txt") from None
                pairs.append(Pair(first, second, same))
    return pairs


def _numbered(path):
    images = {}
    for number, line in read_lines(path):
        fields = line.split(maxsplit=1)
        if len(fields) != 2 or not fields[0].isdecimal():
            raise _bad(path, number, line, "`number path`")
        images[int(fields[0])] = fields[1].replace("\\", "/").replace("../", "")  # written as seen from Protocol
    return images


def read_agedb(path: str | os.PathLike[str]) -> list:
    """AgeDB's 04_FINAL_protocol_30_years.mat: `splits` has ten folds of 2 x n images and n marks, 1 or -1."""
    from scipy.io import loadmat  # needed by this reader alone

    pairs = []
    try:
        splits = loadmat(path)["splits"].reshape(-1)
        for split in splits:
            images, marks = tuple(split.reshape(-1)[0])[:2]
            for column, mark in zip(images.T, marks.reshape(-1)):
                first, second = (str(image.reshape(-1)[0][0].reshape(-1)[0]) for image in column)
                pairs.append(Pair(f"{first}.jpg", f"{second}.jpg", bool(mark == 1)))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # whatever a damaged file or another layout leads to
        reason = f"{type(error).__name__} {error}"
        raise UserError(f"{path} is not AgeDB's 04_FINAL_protocol_30_years.mat, or is damaged ({reason})") from error
    return pairs


def read_two_lines(path: str | os.PathLike[str]) -> list:
    """CALFW's and CPLFW's list: two lines a pair, each `image mark`; the mark is 0 for two people.

    CALFW lists all genuine pairs first, so that a fold of consecutive pairs would have one kind only: where that is so,
    fold i is made of the i-th tenth of the genuine pairs and the i-th tenth of the others.
    """
    pairs, waiting = [], None
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal() or (waiting and waiting[1] != fields[1]):
            raise _bad(path, number, line, "`image mark`, the same mark on both lines of a pair")
        if waiting:
            pairs.append(Pair(waiting[0], fields[0], fields[1] != "0"))
        waiting = None if waiting else fields
    if waiting:
        raise UserError(f"{path} ends within a pair; fetch it again")
    kinds = [[pair for pair in pairs if pair.same == same] for same in (True, False)]
    if min(map(len, kinds)) < FOLDS or all(0 < sum(p.same for p in fold) < len(fold) for fold in folds_of(pairs)):
        return pairs
    return [pair for folds in zip(*map(folds_of, kinds)) for fold in folds for pair in fold]


def folds_of(pairs: Sequence[Any]) -> list:
    """Pairs as the protocol divides them: ten lists of consecutive ones, the longer ones first."""
    return [pairs[start:stop] for start, stop in shard_ranges(len(pairs), FOLDS)]


def read_ytf(path: str | os.PathLike[str]) -> list:
    """YouTube Faces' splits.txt: `split, pair, name/video, name/video, …, same`, after a header line."""
    pairs = []
    for number, line in read_lines(path):
        fields = [field.strip() for field in line.split(",")]
        if number == 1 and not fields[0].isdecimal():
            continue
        if len(fields) < 5 or not fields[0].isdecimal() or fields[-1] not in ("0", "1"):
            raise _bad(path, number, line, "`split, pair, name/video, name/video, same`")
        first, second = fields[2:4]
        same = fields[-1] == "1"
        if (first.split("/")[0] == second.split("/")[0]) != same:
            raise UserError(f"{path} line {number}: the mark {fields[-1]} contradicts the names in {line!r}")
        pairs.append((int(fields[0]), Pair(first, second, same)))
    if not pairs:
        raise UserError(f"{path} names no pair; it may be cut short, fetch it again")
    return [pair for _, pair in sorted(pairs, key=lambda item: item[0])]


def is_whole_set(name: str, issame: Sequence[bool] | np.ndarray) -> bool:
    """Whether n truth values, in order, are those of the whole set `name`.

    Each fold of LFW's list has 300 genuine pairs and then 300 others; those of the other sets have as many of both
    kinds, in an order that depends on who packed them.
    """
    expected, same = SETS.get(name), [bool(value) for value in issame]
    if expected is None or (len(same), sum(same)) != (expected.pairs, expected.genuine):
        return False
    if name == "lfw":
        half = len(same) // FOLDS // 2
        return same == ([True] * half + [False] * half) * FOLDS
    return all(2 * sum(fold) == len(fold) for fold in folds_of(same))


def differences(name: str, pairs: Sequence[Pair]) -> list:
    """Lines that tell how pairs differ from what the whole set `name` has, and folds that lack a kind of pair."""
    whole, genuine = SETS[name], sum(pair.same for pair in pairs)
    counts = (("pairs", len(pairs), whole.pairs), ("genuine pairs", genuine, whole.genuine))
    lines = [f"{name}: {have:,} {what}, the whole set has {want:,}" for what, have, want in counts if have != want]
    if len(pairs) < FOLDS:
        return [*lines, f"{name}: fewer pairs than the {FOLDS} folds of the protocol"]
    uneven = [i for i, fold in enumerate(folds_of(pairs), 1) if 2 * sum(pair.same for pair in fold) != len(fold)]
    if uneven:
        lines.append(f"{name}: genuine and other pairs are not equal in number in fold {', '.join(map(str, uneven))}")
    return lines


def read_own_pairs(path: str | os.PathLike[str]) -> list:
    """Pairs of one's own: LFW's pairs.txt, the list that `unpack` writes beside a set's images, or a .csv.

    A .csv has lines `first,second,same`, with 1 or 0, true or false; a line of names may come first.

    Raises:
        UserError: a line fits none of these, or a path leads out of the folder that it starts from.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        pairs = _read_csv(path)
    elif next((line for _, line in read_lines(path)), "") == UNPACKED:
        pairs = _read_unpacked(path)
    else:
        pairs = read_lfw(path)
    if not pairs:
        raise UserError(f"{path} lists no pairs")
    for name in (name for pair in pairs for name in pair[:2]):
        if os.path.isabs(name):
            raise UserError(f"{path}: {name} is a whole path; give paths below the folder of images")
        path_below(name, path.parent, path)
    return pairs


def _read_unpacked(path):
    rows = [(number, line, line.split("\t")) for number, line in read_lines(path)]
    return [_pair(path, number, line, row[3:], _KINDS.get("".join(row[2:3]), "")) for number, line, row in rows[1:]]


def _read_csv(path):
    pairs = []
    for number, line in read_lines(path, "give first,second,same on each line"):
        fields = csv_fields(line, path, number)
        if number == 1 and fields and fields[-1].lower() not in _SAME:
            continue
        pairs.append(_pair(path, number, line, fields[:-1], fields[-1]))
    return pairs


def _pair(path, number, line, names, same):
    if len(names) != 2 or not all(names) or same.lower() not in _SAME:
        raise _bad(path, number, line, "`first,second,same`, where same is 1 or 0")
    return Pair(names[0], names[1], _SAME[same.lower()])


def _bad(path, number, line, expected):
    return UserError(f"{path} line {number}: expected {expected}, found {line!r}")

"""Pairs drawn from images with identities: genuine and impostor ones, in folds that share no identity."""

from __future__ import annotations

import os
from math import isqrt
from typing import TYPE_CHECKING, Sequence

import numpy as np

from ...errors import UserError
from ...progress import progress
from ..images.decode import decode_image
from ..images.encoded import encoded_bytes
from ..records.rewriting import usable
from .bin_file import write_bin
from .pair_lists import FOLDS

if TYPE_CHECKING:
    from ..records.training_set import FaceRecords

_MOST = 3000  # pairs of a kind where none are asked for: as many as LFW has
# Where more than one in so many of all pairs are wanted, all are listed; else they are drawn until there are enough.
_DENSE = 4


def draw_pairs(
    labels: Sequence[int] | np.ndarray,
    genuine: int | None = None,
    impostor: int | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> list[tuple[int, int, bool]]:
    """Pairs of images, fold after fold: as many of either kind in each, first the genuine ones.

    An identity is in one fold only. Where there are fewer than two of them a fold, that holds for genuine pairs, and an
    impostor pair has its first image of the fold and its second of another (`folds_share` tells). A pair occurs once.

    Args:
        labels: (n,) identity of each image.
        genuine, impostor: pairs of each kind, multiples of `folds`; by default as many of one kind as of the other, as
            many as there can be up to 3,000.
        folds: contiguous folds of equal size, ten for the usual protocol.
        seed: of the choice, which depends on nothing else.

    Returns:
        (first, second, same): indices of images.

    Raises:
        UserError: so many pairs cannot be drawn; says how many can.
    """
    labels = np.asarray(labels)
    for number, option in ((genuine, "--genuine"), (impostor, "--impostor")):
        if number is not None and (number < folds or number % folds):
            raise UserError(f"{option} {number}: give a multiple of the {folds} folds")
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    groups = _groups(labels, folds, random)
    shared = folds_share(labels, folds)
    pools = [groups[:number] + groups[number + 1 :] for number in range(folds)] if shared else [None] * folds
    most = [min(count) for count in zip(*map(_possible, groups, pools))]
    asked = [None if number is None else number // folds for number in (genuine, impostor)]
    usual = min([_MOST // folds, *most, *(number for number in asked if number)])
    wanted = [usual if number is None else number for number in asked]
    for each, possible, kind in zip(wanted, most, ("genuine", "impostor")):
        if each > possible or not each:
            raise UserError(
                f"{len(np.unique(labels)):,} identities give at most {possible * folds:,} {kind} pairs in {folds} "
                f"folds; {max(each, 1) * folds:,} are wanted: ask for fewer, or for fewer --folds, or add images"
            )
    pairs: list[tuple[int, int, bool]] = []
    taken: set[tuple[int, int]] = set()
    for people, others in zip(groups, pools):
        pairs += [(a, b, True) for a, b in _draw_genuine(people, wanted[0], random)]
        if others is None:
            impostors = _draw_impostor(people, wanted[1], random)
        else:
            impostors = _draw_between(people, others, wanted[1], random, taken)
        pairs += [(a, b, False) for a, b in impostors]
    return pairs


def usual_folds(labels: Sequence[int] | np.ndarray) -> int:
    """Ten, or as many as there are identities; two at least, as impostor pairs take."""
    return min(FOLDS, max(2, len(np.unique(labels))))


def folds_share(labels: Sequence[int] | np.ndarray, folds: int = FOLDS) -> bool:
    """Whether identities are too few for folds of two or more, so that impostor pairs are of two folds."""
    return len(np.unique(labels)) < 2 * folds


def _groups(labels, folds, random):
    """For each fold a list of its identities, each an array of image indices; folds of nearly equal size."""
    order = np.argsort(labels, kind="stable")
    people = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    if len(people) < 2:
        raise UserError(f"{len(people)} of the people is too few for pairs of two; take two or more")
    if len(people) < folds:
        raise UserError(f"identities: {len(people):,}, too few for {folds} folds; add people, or give fewer --folds")
    people = [people[i] for i in random.permutation(len(people))]
    people.sort(key=len, reverse=True)  # stable: random among those of equal size
    # Dealt forth and back, so that each fold has its share of those with many images.
    rounds = [people[start : start + folds] for start in range(0, len(people), folds)]
    groups: list[list] = [[] for _ in range(folds)]
    for number, dealt in enumerate(rounds):
        for fold, person in zip(range(folds) if number % 2 == 0 else range(folds - 1, -1, -1), dealt):
            groups[fold].append(person)
    return groups


def _possible(people, others):
    """(genuine, impostor): how many pairs a fold can have."""
    sizes = np.array([len(person) for person in people], np.int64)
    genuine = int((sizes * (sizes - 1) // 2).sum())
    if others is None:
        return genuine, int((sizes.sum() ** 2 - (sizes**2).sum()) // 2)
    # Two folds have these pairs in common: so many are left for each, and found soon.
    return genuine, int(sizes.sum()) * sum(len(person) for group in others for person in group) // _DENSE


def _draw_genuine(people, count, random):
    counts = np.array([len(person) * (len(person) - 1) // 2 for person in people], np.int64)
    ends = np.cumsum(counts)
    pairs = []
    for number in random.choice(int(ends[-1]), count, replace=False):
        which = int(np.searchsorted(ends, number, side="right"))
        rest = int(number - (ends[which] - counts[which]))
        # Pairs (j, i), j < i, in the order (0, 1), (0, 2), (1, 2), (0, 3) …
        i = (1 + isqrt(1 + 8 * rest)) // 2
        pairs.append((int(people[which][rest - i * (i - 1) // 2]), int(people[which][i])))
    return pairs


def _draw_impostor(people, count, random):
    images = np.concatenate(people)
    owner = np.repeat(np.arange(len(people)), [len(person) for person in people])
    if _possible(people, None)[1] < _DENSE * count:
        first, second = np.nonzero(owner[:, None] < owner[None, :])
        chosen = random.choice(len(first), count, replace=False)
        return [(int(images[a]), int(images[b])) for a, b in zip(first[chosen], second[chosen])]
    found: dict[tuple[int, int], None] = {}
    while len(found) < count:
        a, b = sorted(int(place) for place in random.integers(0, len(images), 2))
        if owner[a] != owner[b]:
            found.setdefault((int(images[a]), int(images[b])))
    return list(found)


def _draw_between(people, others, count, random, taken):
    own, other = np.concatenate(people), np.concatenate([person for group in others for person in group])
    found: list[tuple[int, int]] = []
    while len(found) < count:
        pair = int(random.choice(own)), int(random.choice(other))
        if pair not in taken:
            taken.update((pair, pair[::-1]))
            found.append(pair)
    return found


def write_drawn(
    records: FaceRecords,
    path: str | os.PathLike[str],
    genuine: int | None = None,
    impostor: int | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> list[bool]:
    """Write a .bin of pairs drawn from a training set's images, as they are stored; gives the pairs' truth values.

    Raises:
        UserError: as `draw_pairs`; a record is damaged, or the file cannot be written.
    """
    found = usable(records, skip_missing=True)
    pairs = draw_pairs(found.labels, genuine, impostor, folds, seed)
    images = {}
    for row in progress(sorted({row for pair in pairs for row in pair[:2]}), desc="reading", unit=" images", delay=1):
        index = int(found.indices[row])
        try:
            images[row] = encoded_bytes(records.encoded(index), f"{records.path}: record {records.keys[index]}")
            decode_image(images[row])
        except ValueError as error:
            raise UserError(
                f"{records.path}: record {records.keys[index]} is damaged ({error}); fetch it again"
            ) from None
    same = [pair[2] for pair in pairs]
    write_bin(path, [images[row] for pair in pairs for row in pair[:2]], same)
    return same

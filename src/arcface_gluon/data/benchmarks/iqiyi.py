"""iQIYI-VID: lists of videos with persons, and the frames of a video.

The layout read here: `frames/<video>/` holds a video's frames in the order of their names; a list has lines
`video person`, with person -1 for a video of nobody in the gallery. The challenge's own lists are not public.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import read_lines
from ..images.folder import find_images


@dataclass
class Videos:
    """names: of the videos, unique. persons: (n,) int64, -1 for a distractor. training: the first so many are known."""

    names: list
    persons: np.ndarray
    training: int = 0


def read_video_list(path: str | os.PathLike[str]) -> Videos:
    """Lines `video person`.

    Raises:
        UserError: a bad line (its number is told), or a video twice.
    """
    persons = {}
    for number, line in read_lines(path):
        try:
            name, person = line.rsplit(maxsplit=1)
            person = int(person)
        except ValueError:
            raise UserError(f"{path} line {number}: expected `video person`, found {line!r}") from None
        if name in persons:
            raise UserError(f"{path} line {number}: {name} is named twice; remove one")
        persons[name] = person
    if not persons:
        raise UserError(f"{path} names no video")
    return Videos(list(persons), np.array(list(persons.values())))


def read_set(train: str | os.PathLike[str], val: str | os.PathLike[str]) -> Videos:
    """The training videos of one list, then those to be found of another.

    Raises:
        UserError: a list is missing or damaged, a training video shows nobody, or a video is in both lists.
    """
    known, asked = read_video_list(train), read_video_list(val)
    nobody = next((name for name, person in zip(known.names, known.persons) if person < 0), None)
    if nobody is not None:
        raise UserError(f"{train}: {nobody} shows nobody; a training video needs a person")
    asked_names = set(asked.names)
    both = next((name for name in known.names if name in asked_names), None)
    if both is not None:
        raise UserError(f"{both} is in {train} and in {val}; take it out of one")
    return Videos([*known.names, *asked.names], np.concatenate([known.persons, asked.persons]), len(known.names))


def frames(
    root: str | os.PathLike[str], videos: Videos, skip_missing: bool = False
) -> tuple[list[str], np.ndarray, list[str]]:
    """All frames of the videos below `root`/frames.

    Args:
        skip_missing: leave out videos without frames and report them.

    Returns:
        (paths, video, missing): frame files, (n,) position of each frame's video in `videos`, names without frames.

    Raises:
        UserError: a video has no frame.
    """
    paths, positions, missing = [], [], []
    for position, name in enumerate(videos.names):
        folder = Path(root) / "frames" / name
        found = [folder / item for item in find_images(folder)[0]] if folder.is_dir() else []
        if not found:
            if not skip_missing:
                raise UserError(
                    f"{folder} has no frames, but the list names the video; extract them, take it out, "
                    "or leave out all such videos with --skip-missing"
                )
            missing.append(name)
        paths += found
        positions += [position] * len(found)
    return paths, np.array(positions, np.int64), missing

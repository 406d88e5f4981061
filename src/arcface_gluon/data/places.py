"""Where data lies: training sets under datasets/ or anywhere, verification sets beside them or by their paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

from ..errors import UserError, did_you_mean
from .demos import set_name
from .verification.bin_file import read_bin
from .verification.check import check_pairs

# Training sets that datasets/README.md has a section on, as the recipes call their folders.
SETS = ("orl", "synthetic", "casia", "vgg2", "ms1mv2", "deepglint", "ms1mv2_asian")


@dataclass
class VerificationSet:
    """An opened .bin.

    Attributes:
        path: the file.
        images: 2n encoded images; pair i is 2i and 2i + 1.
        issame: n truth values; True: of one person.
    """

    path: Path
    images: list[bytes]
    issame: list[bool]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.issame))

    def check(self, size: tuple[int, int]) -> list[str]:
        """Warnings about it, for a network that takes (height, width); see `check_pairs`."""
        return check_pairs(self.path, self.images, self.issame, size)


def find_data(path: str | None) -> Path:
    """Folder of training records: a folder under datasets/, or any path.

    Raises:
        UserError: files are missing; says which, where it looked, and which page tells how to get them.
    """
    if not path:
        raise UserError("no training data: set data.path=/folder (make … DATA=/folder)")
    candidates = [Path(path)] if os.sep in path or Path(path).is_absolute() else [Path("datasets") / path, Path(path)]
    for folder in candidates:
        if (folder / "train.rec").is_file():
            return folder
    looked = " and ".join(str(folder.resolve()) for folder in candidates)
    page = "datasets/README.md" + (f", section {path}," if path in SETS else "")
    other = did_you_mean(path, SETS) if len(candidates) > 1 and path not in SETS else ""
    raise UserError(
        f"no train.rec (with train.idx and property) in {looked}{other}; "
        f"{page} tells how to get them, or give their folder with DATA=/path"
    )


def find_set(name: str, data_folder: Path) -> Path:
    """Where a verification set of data.validation lies: beside the records, or at the path given."""
    path = data_folder / f"{name}.bin"
    return Path(name) if str(name).endswith(".bin") or (not path.is_file() and Path(name).is_file()) else path


def open_validation(names: Sequence[str], data_folder: Path) -> dict[str, VerificationSet]:
    """{set's name: verification set} of the .bin files beside the records, or given by path.

    Raises:
        UserError: a file is missing or not a verification set.
    """
    sets = {}
    for name in names:
        path = find_set(name, data_folder)
        if not path.is_file():
            cure = (
                "name one that is there"
                if path == Path(name)
                else "put it there, or name those you have with data.validation=lfw,agedb_30 ([] for none)"
            )
            raise UserError(f"no verification set {path}; {cure}")
        images, issame = read_bin(path)
        sets[set_name(path)] = VerificationSet(path, images, issame)
    return sets


def find_unseen(data_folder: Path) -> dict[str, Path]:
    """{name: folder} of labelled sets of people who are not in the training set: unseen…/train.rec beside it."""
    return {path.parent.name: path.parent for path in sorted(data_folder.glob("unseen*/train.rec"))}

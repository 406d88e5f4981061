"""Where data lies: training sets under datasets/ or anywhere, verification sets beside them or by their paths."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

from ..errors import UserError, did_you_mean
from .demos import set_name
from .records.training_set import UNSEEN
from .verification.bin_file import read_bin
from .verification.check import check_pairs
from .verification.pair_lists import is_whole_set
from .verification.sets import SETS as TEST_SETS
from .verification.sets import other_name

# Training sets as the recipes call their folders: those that can be made here, and those that are asked for.
_MADE = {"orl": "arcface-gluon data orl", "synthetic": "arcface-gluon data synthetic --for-recipe"}
ASKED_FOR = ("casia", "vgg2", "ms1mv2", "deepglint", "ms1mv2_asian")
SETS = (*_MADE, *ASKED_FOR)


@dataclass
class VerificationSet:
    """An opened .bin.

    Attributes:
        path: the file.
        images: 2n encoded images; pair i is 2i and 2i + 1.
        issame: n truth values; True: of one person.
        name: what it is called; see `name_of`.
    """

    path: Path
    images: list[bytes]
    issame: list[bool]
    name: str

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.issame))

    def check(self, size: tuple[int, int]) -> list[str]:
        """Warnings about it, for a network that takes (height, width); see `check_pairs`."""
        return [*self.remarks(), *check_pairs(self.path, self.images, self.issame, size)]

    def remarks(self) -> list[str]:
        """A line where the file has the name of one of the paper's sets, and other pairs."""
        given = set_name(self.path)
        if self.name == given or given not in TEST_SETS:
            return []
        title, wanted, pairs = TEST_SETS[given].title, TEST_SETS[given].pairs, len(self.issame)
        what = f"{pairs:,} pairs, not {wanted:,}" if pairs != wanted else "its pairs are in another order"
        told = "" if pairs != wanted else f"; where it is {title}, verify it with --set {given}"
        return [f"{self.path} is not {title} as it is known: {what}. It is called {self.name}, so that its results and "
                f"those of {title} stay apart{told}"]  # fmt: skip


def find_data(path: str | None) -> Path:
    """Folder of training records: a folder under datasets/, or any path.

    Raises:
        UserError: files are missing; says which, where it looked, and which command makes them or tells where to ask.
    """
    if not path:
        raise UserError("no training data: set data.path=/folder (make … DATA=/folder)")
    candidates = [Path(path)] if os.sep in path or Path(path).is_absolute() else [Path("datasets") / path, Path(path)]
    for folder in candidates:
        if (folder / "train.rec").is_file():
            return folder
    looked = " and ".join(str(folder.resolve()) for folder in candidates)
    made = _MADE.get(path)
    name = path if path in ASKED_FOR else "NAME"
    how = f"`{made}` makes them" if made else f"`arcface-gluon data check --set {name}` tells where they are asked for"
    other = did_you_mean(path, SETS) if len(candidates) > 1 and path not in SETS else ""
    raise UserError(
        f"no train.rec (with train.idx and property) in {looked}{other}; "
        f"{how}, or give their folder with data.path=/path (make … DATA=/path)"
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
    sets: dict[str, VerificationSet] = {}
    for name in names:
        path = find_set(name, data_folder)
        if not path.is_file():
            cure = "put it there, or name those you have with data.validation=lfw,agedb_30 ([] for none)"
            if (data_folder / name).is_dir():
                cure = f"{data_folder / name} is a folder; name a .bin in it"
            elif path == Path(name):
                cure = "name one that is there"
            raise UserError(f"no verification set {path}; {cure}")
        images, issame = read_bin(path)
        one = VerificationSet(path, images, issame, name_of(path, images, issame))
        if one.name in sets:
            raise UserError(f"{sets[one.name].path} and {path} are both named {one.name}; leave one out, or rename it")
        sets[one.name] = one
    return sets


def find_unseen(data_folder: Path) -> dict[str, Path]:
    """{name: folder} of labelled sets of people who are not in the training set: unseen…/train.rec beside it."""
    return {path.parent.name: path.parent for path in sorted(data_folder.glob(f"{UNSEEN}*/train.rec"))}


def name_of(path: str | os.PathLike[str], images: Sequence[bytes], issame: Sequence[bool]) -> str:
    """What a verification set is called: as its file; where one of the paper's sets has that name, but other pairs,
    with a digest of its images and truth values, so that its results stay apart from those of the paper's set.
    """
    name = set_name(path)
    if name not in TEST_SETS or is_whole_set(name, issame):
        return name
    digest, numbers = hashlib.sha256(bytes(issame)), {}
    for image in images:
        if image not in numbers:
            digest.update(image)
        digest.update(b"%d;" % numbers.setdefault(image, len(numbers)))
    return other_name(name, digest.hexdigest())

"""Galleries: known faces in one file, which tells the model that embedded them; exact search in them.

The file is an uncompressed NumPy archive of two arrays: `embeddings` (n, d) float32 of length 1, and `facts`, bytes of
JSON with a checksum of itself and of the embeddings. Nothing in it is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Sequence

import numpy as np

from ..arrays import load_npz
from ..errors import UserError
from ..files import parse_json, seal, unseal, write_npz

FORMAT = "arcface-gluon gallery 1"
ENDING = ".npz"
_CURE = "write it again with `arcface-gluon enroll`"
_WHAT = "a whole gallery of `arcface-gluon enroll`"


@dataclass(frozen=True)
class Entry:
    """A known face.

    Attributes:
        person: whose it is; "" where that is not known.
        photo: the photograph's path below the folder that was enrolled.
        digest: SHA-256 of the photograph.
        box: left, top, right, bottom in it, in pixels.
    """

    person: str
    photo: str
    digest: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Candidate:
    """A person that a face may be of, and the known face that says so."""

    person: str
    cosine: float
    photo: str


@dataclass
class Gallery:
    """Known faces.

    Attributes:
        model: digest of the recogniser that embedded them.
        model_path: where the model lay.
        embeddings: (n, d) float32 of length 1.
        entries: n.
        settings: how they were found, JSON-able.
    """

    model: str
    model_path: str
    embeddings: np.ndarray
    entries: list[Entry]
    settings: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def people(self) -> list[str]:
        """Names, sorted."""
        return sorted({entry.person for entry in self.entries})

    def require(self, digest: str, path: str | os.PathLike[str]) -> None:
        """Refuse a gallery of another model.

        Raises:
            UserError: `digest` is not that of the recogniser that embedded it.
        """
        if digest != self.model:
            raise UserError(
                f"{path} was enrolled with another model ({self.model_path}), or with the other of --flip and "
                "--no-flip; name that model, or enrol again"
            )

    def candidates(self, embeddings: np.ndarray, k: int = 5) -> list[list[Candidate]]:
        """For each face the k people that are most alike, by each one's most alike photograph; the best first.

        Args:
            embeddings: (m, d) float32 of length 1.
            k: how many people.
        """
        names = self.people
        number = {name: i for i, name in enumerate(names)}
        owners = np.array([number[entry.person] for entry in self.entries])
        found = []
        for row in np.asarray(embeddings, np.float32):
            scores = self.embeddings @ row
            order = np.argsort(-scores, kind="stable")
            _, first = np.unique(owners[order], return_index=True)
            best = order[np.sort(first)[:k]]
            found.append([Candidate(names[owners[i]], float(scores[i]), self.entries[i].photo) for i in best])
        return found

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as one file, which gets its name once it is whole.

        Raises:
            UserError: it cannot be written.
        """
        rows = np.ascontiguousarray(self.embeddings, "<f4")
        facts = seal(
            {
                "format": FORMAT,
                "model": self.model,
                "model_path": self.model_path,
                "settings": self.settings,
                "embeddings": hashlib.sha256(rows.tobytes()).hexdigest(),
                "entries": [[entry.person, entry.photo, entry.digest, list(entry.box)] for entry in self.entries],
            }
        )
        write_npz(path, embeddings=rows, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Gallery:
        """A gallery that `write` wrote.

        Raises:
            UserError: the file is missing, damaged, changed, or something else.
        """
        arrays = load_npz(path, ["embeddings", "facts"], _CURE, _WHAT)
        rows, encoded = arrays["embeddings"], arrays["facts"]
        try:
            if rows.ndim != 2 or rows.dtype != np.float32 or encoded.dtype != np.uint8:
                raise ValueError("other arrays")
            facts = unseal(parse_json(encoded.tobytes().decode()), path)
            if facts["format"] != FORMAT or facts["embeddings"] != hashlib.sha256(rows.tobytes()).hexdigest():
                raise ValueError("another format, or damaged")
            entries = [_entry(value) for value in facts["entries"]]
            if len(entries) != len(rows) or not entries:
                raise ValueError("numbers differ")
            return cls(str(facts["model"]), str(facts["model_path"]), rows, entries, dict(facts["settings"]))
        except (KeyError, TypeError, ValueError, AttributeError, UserError):
            raise UserError(f"{path} is not {_WHAT}; {_CURE}") from None


def _entry(value: Sequence[Any]) -> Entry:
    person, photo, digest, (left, top, right, bottom) = value
    return Entry(str(person), str(photo), str(digest), (float(left), float(top), float(right), float(bottom)))

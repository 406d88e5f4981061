"""Thresholds of one model, measured on one verification set, as a file; and the verdicts that they allow."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Sequence

import numpy as np

from ..errors import UserError
from ..files import read_json, write_json
from ..protocols.thresholds import FARS, OperatingPoint, calibrate, people_of_pairs
from ..protocols.verification import pair_angles, pair_distances

FORMAT = "arcface-gluon thresholds 1"
HOW_TO = "a threshold needs a verification set: arcface-gluon threshold --bin SET.bin --out FILE, then --threshold FILE"
USUAL_FAR = 1e-3
_MADE_BY = "make it with `arcface-gluon threshold --bin`"


@dataclass(frozen=True)
class Thresholds:
    """What `measure` found.

    Attributes:
        model: the recogniser's digest.
        model_path: where the model lay.
        set: the set's name.
        set_digest: SHA-256 of its file.
        pairs, impostors: how many it has.
        people: how many people the pairs tell apart, or None; see `protocols.thresholds.people_of_pairs`.
        points: an OperatingPoint for each rate, from the highest on.
        date: of the measurement.
    """

    model: str
    model_path: str
    set: str
    set_digest: str
    pairs: int
    impostors: int
    people: int | None
    points: tuple[OperatingPoint, ...]
    date: str

    def at(self, far: float | None = None) -> OperatingPoint:
        """The point of a false accept rate; by default of 1e-3, or of the lowest there is if that is higher.

        Raises:
            UserError: it was not measured.
        """
        rates = [point.far for point in self.points]
        far = max(min(rates), USUAL_FAR) if far is None else far
        found = [point for point in self.points if np.isclose(point.far, far, rtol=1e-6)]
        if not found:
            there = ", ".join(f"{rate:g}" for rate in rates)
            raise UserError(
                f"no threshold at FAR {far:g} was measured on {self.set}: there are {there}; take one of them, or a "
                "set with more pairs"
            )
        return found[0]

    def source(self, point: OperatingPoint) -> str:
        """Where a threshold comes from, in words."""
        low, high = (f"{rate:.2g}" for rate in point.far_interval)
        return (
            f"FAR {point.far:g} on {self.set} ({self.impostors:,} impostor pairs, measured with this model; "
            f"95 % of {low} to {high})"
        )

    def require(self, digest: str, path: str | os.PathLike[str]) -> None:
        """Refuse thresholds of another model.

        Raises:
            UserError: `digest` is not the model's that they were measured with.
        """
        if digest != self.model:
            raise UserError(
                f"{path} was measured with another model ({self.model_path}), or with the other of --flip and "
                "--no-flip; measure it again: arcface-gluon threshold --bin"
            )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write them as JSON with a checksum."""
        write_json(path, {"format": FORMAT, **asdict(self)}, sealed=True)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Thresholds:
        """Thresholds that `write` wrote.

        Raises:
            UserError: the file is missing, damaged, changed, or something else.
        """
        value = read_json(path)
        try:
            if value["format"] != FORMAT:
                raise ValueError(value["format"])
            points = tuple(_point(entry) for entry in value["points"])
            if not points:
                raise ValueError("no points")
            return cls(
                **{field.name: value[field.name] for field in fields(cls) if field.name != "points"}, points=points
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{path} has no thresholds; {_MADE_BY}") from None


def measure(
    embeddings: np.ndarray,
    images: Sequence[bytes],
    issame: np.ndarray | Sequence[bool],
    name: str,
    set_digest: str,
    model: str,
    model_path: str,
    fars: Sequence[float] = FARS,
) -> Thresholds:
    """Thresholds on the pairs of a .bin set.

    Args:
        embeddings: (2n, d), rows 2i and 2i+1 a pair.
        images: the 2n encoded images.
        issame: (n,).
        name, set_digest, model, model_path: see `Thresholds`.
        fars: false accept rates.

    Raises:
        UserError: too few impostor pairs, or an embedding without a direction.
    """
    same = np.asarray(issame, bool)
    people = people_of_pairs(images, same)
    points = calibrate(pair_distances(embeddings), same, fars, people)
    known = None if people is None else int(people.max()) + 1
    impostors = int((~same).sum())
    today = time.strftime("%Y-%m-%d")
    return Thresholds(model, model_path, name, set_digest, len(same), impostors, known, tuple(points), today)


@dataclass(frozen=True)
class Likeness:
    """How alike two faces are.

    Attributes:
        cosine: of their embeddings.
        angle: between them, in degrees.
        same: whether they count as one person's; None without a threshold.
    """

    cosine: float
    angle: float
    same: bool | None


def compare(first: np.ndarray, second: np.ndarray, point: OperatingPoint | None = None) -> Likeness:
    """Two embeddings (d,) side by side, and the verdict at a threshold where one is given."""
    units = [np.asarray(row, np.float64) / np.linalg.norm(np.asarray(row, np.float64)) for row in (first, second)]
    distance = float(np.square(units[0] - units[1]).sum())
    angle = float(pair_angles(distance))
    return Likeness(1 - distance / 2, angle, None if point is None else 1 - distance / 2 > point.cosine)


def _point(entry: Any) -> OperatingPoint:
    values: dict[str, Any] = {}
    for field in fields(OperatingPoint):
        value = entry[field.name]
        if field.name.endswith("_interval"):
            values[field.name] = (float(value[0]), float(value[1]))
        else:
            values[field.name] = int(value) if field.name == "false_accepts" else float(value)
    return OperatingPoint(**values)

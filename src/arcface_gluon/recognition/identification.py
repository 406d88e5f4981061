"""Who the faces of a photograph are, of the people of a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ..protocols.thresholds import OperatingPoint
from ..protocols.verification import pair_angles
from .gallery import Candidate, Gallery
from .recogniser import FoundFace


@dataclass(frozen=True)
class Identified:
    """A face and the people that it may be of.

    Attributes:
        face: where it is.
        person: who it is: the most alike person where that passes the threshold; None for unknown people, and
            without a threshold.
        candidates: the most alike people, the best first.
    """

    face: FoundFace
    person: str | None
    candidates: list[Candidate]

    @property
    def angles(self) -> list[float]:
        """Of the candidates' most alike photographs, in degrees."""
        return [angle_of(candidate.cosine) for candidate in self.candidates]

    def to_json(self) -> dict:
        """With JSON's types only."""
        listed = [
            {"person": c.person, "cosine": c.cosine, "angle": angle, "photo": c.photo}
            for c, angle in zip(self.candidates, self.angles)
        ]
        return {**face_to_json(self.face), "person": self.person, "candidates": listed}


def identify(
    gallery: Gallery, faces: Sequence[FoundFace], point: OperatingPoint | None = None, k: int = 3
) -> list[Identified]:
    """The people of a gallery that faces may be of, by exact search over all its photographs.

    Args:
        gallery: known people.
        faces: of the same model as the gallery.
        point: the threshold; None: no verdict.
        k: candidates of each face.
    """
    if not faces:
        return []
    lists = gallery.candidates(np.stack([face.embedding for face in faces]), k)
    return [
        Identified(face, best[0].person if point and best[0].cosine > point.cosine else None, best)
        for face, best in zip(faces, lists)
    ]


def angle_of(cosine: float) -> float:
    """The angle of a cosine of float32, in degrees."""
    return float(pair_angles(max(0.0, 2 - 2 * cosine)))


def face_to_json(face: FoundFace) -> dict:
    """Where a face is, with JSON's types only."""
    return {
        "box": [float(value) for value in face.box],
        "score": float(face.score),
        "landmarks": [[float(value) for value in point] for point in face.landmarks],
    }

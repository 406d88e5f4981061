"""What the server answers, as JSON's types."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Sequence

import cv2
import numpy as np

from ..errors import UserError
from ..protocols.thresholds import OperatingPoint
from ..recognition.gallery import Gallery
from ..recognition.identification import face_to_json, identify
from ..recognition.recogniser import FoundFace, Recogniser
from ..recognition.thresholds import HOW_TO, Thresholds, compare

MOST_FACES = 64  # of a photograph that are embedded: the largest


@dataclass(frozen=True)
class Limits:
    """What is accepted.

    Attributes:
        file_bytes: of one photograph.
        pixels: of one photograph.
        waiting: requests that wait for their turn; more are refused.
    """

    file_bytes: int = 12_000_000
    pixels: int = 50_000_000
    waiting: int = 8


def called(name: str) -> str:
    """What a photograph is called in messages, by its name in a form."""
    return "the photograph" if name == "photo" else f"photograph {name}"


class Answers:
    """Photographs in, answers out; for one thread."""

    def __init__(
        self,
        recogniser: Recogniser,
        gallery: Gallery | None = None,
        threshold: tuple[Thresholds, OperatingPoint] | None = None,
        limits: Limits | None = None,
        warning: str | None = None,
    ):
        """Args:
        recogniser: the model and the detector.
        gallery: known people, of the same model.
        threshold: what was measured with the same model, and the point that is taken of it.
        limits: what is accepted.
        warning: about the model, to show with every answer on the page.
        """
        self.recogniser, self.gallery, self.limits = recogniser, gallery, limits or Limits()
        self._threshold, self._warning = threshold, warning

    def info(self) -> dict:
        """What the server answers with: model, threshold, gallery, limits."""
        size = self.recogniser.size
        return {
            "model": {"path": self.recogniser.model, "digest": self.recogniser.digest, "input": list(size)},
            "warning": self._warning,
            "threshold": self._stated(),
            "how_to_get_a_threshold": HOW_TO if self._threshold is None else None,
            "gallery": None if self.gallery is None else {"faces": len(self.gallery), "people": self.gallery.people},
            "limits": {"file_bytes": self.limits.file_bytes, "pixels": self.limits.pixels},
        }

    def embed(self, photo: bytes, aligned: bool = False, crops: bool = False) -> dict:
        """The faces of a photograph, the largest first, with embeddings of length 1."""
        sides, faces = self._look(photo, "photo", aligned)
        found = [{**self._face(face, crops), "embedding": face.embedding.tolist()} for face in faces]
        return {**sides, "faces": found}

    def compare(self, first: bytes, second: bytes, aligned: bool = False, crops: bool = False) -> dict:
        """The largest faces of two photographs side by side.

        Raises:
            UserError: one of them has no face.
        """
        looked = [self._look(photo, name, aligned) for photo, name in ((first, "a"), (second, "b"))]
        for name, (_, faces) in zip("ab", looked):
            if not faces:
                raise UserError(f"no face was found in {called(name)}")
        point = self._threshold[1] if self._threshold else None
        like = compare(looked[0][1][0].embedding, looked[1][1][0].embedding, point)
        sides = {
            name: {**size, "faces": [self._face(face, crops and i == 0) for i, face in enumerate(faces)]}
            for name, (size, faces) in zip("ab", looked)
        }
        return {"cosine": like.cosine, "angle": like.angle, "same": like.same, "threshold": self._stated(), **sides}

    def identify(self, photo: bytes, k: int = 3, aligned: bool = False, crops: bool = False) -> dict:
        """Who the faces of a photograph are, the largest first.

        Raises:
            UserError: there is no gallery.
        """
        if self.gallery is None:
            raise UserError("there is no gallery here; start the server with --gallery")
        sides, faces = self._look(photo, "photo", aligned)
        found = identify(self.gallery, faces, self._threshold[1] if self._threshold else None, k)
        listed = [{**one.to_json(), **self._crop(one.face, crops)} for one in found]
        return {**sides, "faces": listed, "threshold": self._stated()}

    def _look(self, photo, name, aligned) -> tuple[dict, Sequence[FoundFace]]:
        image = self.recogniser.read(photo, called(name), self.limits.pixels)
        if aligned:
            faces = [self.recogniser.aligned(image, called(name))]
        else:
            faces = self.recogniser.embedded(self.recogniser.faces(image, embedded=False)[:MOST_FACES])
        return {"height": image.shape[0], "width": image.shape[1]}, faces

    def _face(self, face, crops):
        return {**face_to_json(face), **self._crop(face, crops)}

    def _crop(self, face, crops):
        if not crops:
            return {}
        encoded = cv2.imencode(".png", np.ascontiguousarray(face.crop[..., ::-1]))[1]
        return {"crop": f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"}

    def _stated(self):
        if self._threshold is None:
            return None
        measured, point = self._threshold
        stated = {"angle": point.angle, "cosine": point.cosine, "far": point.far, "source": measured.source(point)}
        return {**stated, "set": measured.set, "date": measured.date}

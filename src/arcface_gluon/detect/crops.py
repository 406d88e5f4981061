"""One photograph to its aligned crops."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Sequence

import cv2
import numpy as np

from ..data.images.align import align
from ..errors import UserError
from ..files import atomic_write
from .detectors import open_detector
from .faces import Detector, Face, detect_reduced
from .photographs import Photograph, existing
from .reading import read_photograph

# Pixels of a photograph that a detector looks at, 8000 x 4000 or so; MTCNN takes some 25 bytes for each.
MOST_SEEN = 1 << 25


@dataclass(frozen=True)
class Settings:
    """What is done with every photograph.

    Attributes:
        out: folder of the crops.
        size: (height, width) of a crop.
        faces: which are taken where there are several: "largest", "central" (nearest to the middle) or "all".
        detector, min_face, context: as `open_detector` takes them, the context by its name.
        ending: ".jpg" (quality 95) or ".png".
        draw: folder of pictures with boxes and points, or None.
    """

    out: str
    size: tuple = (112, 112)
    faces: str = "largest"
    detector: str = "mtcnn"
    min_face: int = 40
    context: str = "cpu(0)"
    ending: str = ".jpg"
    draw: str | None = None

    def facts(self) -> dict:
        """What results depend on."""
        left_out = ("out", "draw", "context")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


class Cropper:
    """Aligns one photograph after the other; its detector is opened when the first is looked at."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._detector: Detector | None = None

    def detector(self) -> Detector:
        """The detector, opened once."""
        if self._detector is None:
            from ..runtime import contexts

            s = self._settings
            self._detector = open_detector(s.detector, s.min_face, contexts(s.context)[0])
        return self._detector

    def __call__(self, photograph: Photograph, digest: str | None = None) -> dict | None:
        """Write the crops of a photograph.

        Args:
            photograph: which.
            digest: SHA-256 that it had when it was aligned before; the same bytes are not looked at again.

        Returns:
            {"photo", "digest", "faces": [{"box", "score", "landmarks", "crop"}], "unusable", "note"}, of which `crop`
            is None for faces that were not taken, and `unusable` says that nothing could be looked for; None where it
            has that digest.

        Raises:
            UserError: a crop cannot be written. (A photograph that cannot be read is told in `note`.)
        """
        result: dict[str, Any] = {"photo": photograph.name, "digest": None, "faces": [], "unusable": False, "note": ""}
        try:
            path = existing(photograph)
            if path is None:
                raise ValueError("there is no such file")
            data = Path(path).read_bytes()
            result["digest"] = hashlib.sha256(data).hexdigest()
            if result["digest"] == digest:
                return None
            image = read_photograph(data)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return {**result, "unusable": True, "note": f"cannot be read: {reason}"}
        scale = 1.0
        if photograph.landmarks is None:
            scale = min(1.0, (MOST_SEEN / (image.shape[0] * image.shape[1])) ** 0.5)
            faces = detect_reduced(self.detector(), image, scale)
        else:
            points = np.array(photograph.landmarks, np.float32)
            fault = fault_of(points, (image.shape[0], image.shape[1]))
            if fault:
                return {**result, "unusable": True, "note": f"its landmarks {fault}"}
            faces = [Face(np.hstack([points.min(axis=0), points.max(axis=0)]), 1.0, points)]
        taken = choose(faces, self._settings.faces, (image.shape[0], image.shape[1]))
        result["note"] = _note(faces, self._settings.faces, scale)
        for i, face in enumerate(faces):
            crop = self._write(image, face, photograph.crop, i) if i in taken else None
            row = {"box": face.box.tolist(), "score": face.score, "landmarks": face.landmarks.tolist(), "crop": crop}
            result["faces"].append(row)
        if self._settings.draw and faces:
            picture = draw(image, faces, taken)
            save(picture, self._settings.draw, f"{photograph.crop}.jpg")
        return result

    def _write(self, image, face, crop, number):
        name = f"{crop}{f'_face{number + 1}' if self._settings.faces == 'all' else ''}{self._settings.ending}"
        save(align(image, face.landmarks, self._settings.size), self._settings.out, name)
        return name


def choose(faces: Sequence[Face], which: str, sides: tuple[int, int]) -> list[int]:
    """Numbers of the faces that are taken: the largest, the most central in an image of (height, width), or all."""
    if which == "all" or len(faces) < 2:
        return list(range(len(faces)))
    if which == "largest":
        worth = [float(np.prod(face.box[2:] - face.box[:2])) for face in faces]
    else:
        middle = np.array(sides[::-1]) / 2
        worth = [-float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - middle)) for face in faces]
    return [int(np.argmax(worth))]


def _note(faces, which, scale):
    told = [f"looked at with {scale:.0%} of its width and height"] if scale < 1 else []
    if not faces:
        told.append("no face was found")
    elif len(faces) > 1:
        done = {"all": "all were", "largest": "the largest was"}.get(which, "the most central was")
        told.append(f"{len(faces)} faces were found; {done} taken")
    return "; ".join(told)


def fault_of(points: np.ndarray, sides: tuple[int, int]) -> str | None:
    """What shows that known landmarks (5, 2) are not those of a face in an image of (height, width); None: nothing."""
    if np.ptp(points, axis=0).max() < 1:
        return "are all at one place"
    x, y = points.mean(axis=0)
    if not (0 <= x <= sides[1] and 0 <= y <= sides[0]):
        return f"lie outside of its {sides[1]} x {sides[0]} pixels"
    across, down = points[1] - points[0], (points[3:].sum(axis=0) - points[:2].sum(axis=0)) / 2
    # Clearly: in a profile the eyes are one behind the other, and their order is chance.
    if across[0] * down[1] - across[1] * down[0] < -0.2 * (down**2).sum():
        return "are mirrored: the eye and the corner of the mouth on the picture's left come first"
    return None


def draw(image: np.ndarray, faces: Sequence[Face], taken: list[int]) -> np.ndarray:
    """An RGB image with the faces' boxes and points: green for those that are taken, red for the others."""
    picture = image.copy()
    thick = max(1, round(max(image.shape) / 400))
    for i, face in enumerate(faces):
        colour = (0, 200, 0) if i in taken else (220, 0, 0)
        corners = [tuple(int(round(v)) for v in corner) for corner in (face.box[:2].tolist(), face.box[2:].tolist())]
        cv2.rectangle(picture, *corners, colour, thick)
        for x, y in face.landmarks.tolist():
            cv2.circle(picture, (int(round(x)), int(round(y))), 2 * thick, colour, -1)
    return picture


def save(image: np.ndarray, folder: str | Path, name: str) -> None:
    """Write an RGB image under a path below a folder, as its ending says, JPEG with quality 95.

    Raises:
        UserError: it cannot be written, or a link leads out of the folder.
    """
    path = Path(folder) / name
    if Path(folder).resolve() not in path.resolve().parents:
        raise UserError(f"{path} leads out of {folder}, by a link; remove the link, or choose another folder")
    done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    with atomic_write(path) as file:
        file.write(encoded.tobytes())

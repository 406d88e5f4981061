"""A model and a detector behind one call: a photograph → its faces, each with its aligned crop and embedding."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Sequence, Union

import mxnet as mx
import numpy as np

from .. import runtime
from ..data.images.align import align, template
from ..data.images.sources import Images
from ..detect.detectors import open_detector
from ..detect.faces import Detector, Face, detect_reduced
from ..detect.reading import read_photograph
from ..embed import embed_images, network_digest
from ..errors import UserError
from ..models.backbone import input_size
from ..models.folded import EvaluationNetwork, evaluation_network
from ..models.load import load_model
from ..protocols.scores.blocks import unit

if TYPE_CHECKING:
    from ..models.normalisation import Normalisation

# What names a photograph: a path, a file's bytes, or its RGB pixels (height, width, 3) uint8.
Picture = Union[str, "os.PathLike[str]", bytes, np.ndarray]

MIN_FACE = 40
LONGEST = 1600


class PhotographError(UserError):
    """A photograph cannot be used; others can."""


@dataclass(frozen=True)
class FoundFace(Face):
    """A face in a photograph, with what the network takes and gives of it.

    Attributes:
        crop: (height, width, 3) uint8, RGB, aligned.
        embedding: (d,) float32 of length 1; empty where it was not asked for.
    """

    crop: np.ndarray
    embedding: np.ndarray

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float(np.prod(np.maximum(self.box[2:] - self.box[:2], 0)))


class Recogniser:
    """Finds, aligns and embeds faces.

    Not for several threads at once: MXNet wants one.

    Attributes:
        net: the `EvaluationNetwork`.
        model: where it came from, for messages.
        size: (height, width) of its input.
        flip: whether the embedding of the mirror image is added.
        digest: tells embeddings that can be compared from others: of the network, and whether `flip` is on.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | mx.gluon.Block | EvaluationNetwork,
        detector: str | Detector = "mtcnn",
        contexts: runtime.Devices = None,
        flip: bool = True,
        min_face: int = MIN_FACE,
        longest: int = LONGEST,
        normalisation: Normalisation | None = None,
    ):
        """Args:
            model: what `load_model` takes, or a network.
            detector: what `detect.open_detector` takes, opened when the first photograph comes; or a Detector.
            contexts: devices, as `runtime.contexts` takes them; of a network, those it lies on. MTCNN takes the first.
            flip: add the embedding of the mirror image, as the paper's protocol does.
            min_face: side of the smallest face that is looked for, in pixels of what is looked at.
            longest: a photograph with a longer side is looked at made smaller; crops are cut from it as it is.
            normalisation: of a symbol that does not normalise by itself, see `load_model`.

        Raises:
            UserError: no such model or device, or no size that faces can be aligned to.
        """
        devices = None if contexts is None else runtime.contexts(contexts)
        if isinstance(model, (str, os.PathLike)):
            self.model = str(model)
            model = load_model(model, devices, normalisation)
        else:
            self.model = type(model).__name__
        self.net = evaluation_network(model, devices)
        self.size, self.flip, self._min_face, self._longest = input_size(self.net), flip, min_face, longest
        self._detector = detector
        self.digest = hashlib.sha256(f"{network_digest(self.net)} {flip}".encode()).hexdigest()
        try:
            template(self.size)
        except ValueError as error:
            raise UserError(f"{self.model} takes {self.size[0]}x{self.size[1]} pixels, but faces' {error}") from None

    @property
    def detector(self) -> Detector:
        """What finds faces.

        Raises:
            UserError: there is no such detector, or its weights are missing or damaged.
        """
        if isinstance(self._detector, str):
            self._detector = open_detector(self._detector, self._min_face, self.net.contexts[0])
        return self._detector

    def read(self, photograph: Picture, name: str | None = None, most_pixels: int | None = None) -> np.ndarray:
        """The upright RGB pixels of a photograph.

        Args:
            photograph: a path, a file's bytes, or pixels, which are given back.
            name: what to call it in messages; by default its path.
            most_pixels: see `detect.reading.read_photograph`.

        Raises:
            PhotographError: it cannot be read; it is named.
        """
        if isinstance(photograph, np.ndarray):
            if photograph.ndim != 3 or photograph.shape[2] != 3 or photograph.dtype != np.uint8 or not photograph.size:
                raise PhotographError(f"pixels must be (height, width, 3) uint8, not {photograph.shape}")
            return np.ascontiguousarray(photograph)
        if isinstance(photograph, bytes):
            name, data = name or "the photograph", photograph
        else:
            name = name or str(photograph)
            try:
                data = Path(photograph).read_bytes()
            except (OSError, ValueError) as error:  # ValueError: a name that no file can have
                raise PhotographError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
        try:
            return read_photograph(data, most_pixels)
        except ValueError as error:
            raise PhotographError(f"{name} cannot be used: {error}") from None

    def faces(self, photograph: Picture, name: str | None = None, embedded: bool = True) -> list[FoundFace]:
        """Faces of a photograph, the largest first.

        Args:
            photograph, name: as for `read`.
            embedded: compute their embeddings.

        Raises:
            PhotographError: it cannot be read; it is named.
        """
        image = self.read(photograph, name)
        found = [self._cut(image, face) for face in self._detect(image) if np.ptp(face.landmarks, axis=0).any()]
        found.sort(key=lambda face: -face.area)
        return self.embedded(found) if embedded else found

    def aligned(self, photograph: Picture, name: str | None = None, embedded: bool = True) -> FoundFace:
        """A crop that is aligned already, as a face that fills it.

        Raises:
            PhotographError: it cannot be read, or has another size than the network takes.
        """
        image = self.read(photograph, name)
        height, width = image.shape[:2]
        if (height, width) != self.size:
            wanted = f"{self.size[0]}x{self.size[1]}"
            raise PhotographError(
                f"{name or (photograph if isinstance(photograph, str) else 'the crop')} has {height}x{width} pixels, "
                f"but aligned faces have {wanted}; look for faces in it, or make crops with `arcface-gluon align`"
            )
        box, points = np.array([0, 0, width, height], np.float32), template(self.size).astype(np.float32)
        face = FoundFace(box, 1.0, points, image, np.empty(0, np.float32))
        return self.embedded([face])[0] if embedded else face

    def largest(self, photograph: Picture, name: str | None = None, embedded: bool = True) -> FoundFace:
        """The largest face of a photograph.

        Raises:
            PhotographError: it cannot be read, or no face was found in it; it is named.
        """
        found = self.faces(photograph, name, embedded=False)
        if not found:
            called = name or (str(photograph) if isinstance(photograph, (str, os.PathLike)) else "the photograph")
            raise PhotographError(
                f"no face was found in {called}; give another photograph, --min-face for smaller faces, or --aligned "
                "where it is a face's crop"
            )
        return self.embedded(found[:1])[0] if embedded else found[0]

    def embed(self, crops: Sequence[np.ndarray], quiet: bool = True) -> np.ndarray:
        """Embeddings of aligned crops.

        Args:
            crops: n of (height, width, 3) uint8, RGB.
            quiet: no progress.

        Returns:
            (n, d) float32 of length 1.

        Raises:
            UserError: there is none, or one of another size, or the network gives NaN, infinity or zeros.
        """
        if not len(crops):
            raise UserError("there are no faces to embed")
        # One at a time where they are few: each number of images is a plan of its own, which MXNet keeps.
        few = len(crops) < 32
        rows = embed_images(self.net, _Crops("faces", crops), None, 1 if few else None, self.flip, quiet, "embed")
        return unit(rows)

    def embedded(self, faces: Sequence[FoundFace]) -> list[FoundFace]:
        """The faces with their embeddings."""
        if not faces:
            return []
        rows = self.embed([face.crop for face in faces])
        return [replace(face, embedding=row) for face, row in zip(faces, rows)]

    def _detect(self, image) -> list[Face]:
        return detect_reduced(self.detector, image, self._longest / max(image.shape[:2]))

    def _cut(self, image, face):
        crop = align(image, face.landmarks, self.size)
        return FoundFace(face.box, face.score, face.landmarks, crop, np.empty(0, np.float32))


class _Crops(Images):
    """Images that are pixels already."""

    def __init__(self, source, crops):
        super().__init__(source, range(len(crops)))
        self._crops = crops

    def decode(self, index, size):
        crop = self._crops[index]
        if crop.shape != (*size, 3):
            raise UserError(f"face {index} has the shape {crop.shape}; {(*size, 3)} is needed")
        return crop

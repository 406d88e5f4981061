"""Images to embed: files of a folder or a list, a train.rec, a .bin, or the lists of a benchmark."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ...errors import UserError
from ...files import read_json, read_lines
from ...progress import progress
from ..benchmarks.ijb import read_landmarks
from ..records.label_check import index_notes
from ..records.training_set import FaceRecords
from ..verification.bin_file import read_bin
from .align import align, template
from .csv_list import read_csv
from .decode import decode_image, image_size
from .folder import find_image, find_images, left_out_line
from .sizes import size_line

_HINT = "name a .rec, .bin or list"
_LOOKED_AT = 256  # images of a set whose size is looked at beforehand
_DIGESTED = 64  # files of which the content tells them from others


class ImageError(UserError):
    """An image is missing or damaged; the others can still be used."""


class Images:
    """n encoded images. Subclasses implement `read`.

    Attributes:
        source: what they are, for messages.
        names: one a image: its path in the list, its key in the record, …
        labels: identity (or another tag) of each image, or None.
        notes: lines to tell once about them, such as files that were left out.
    """

    notes: Sequence[str] = ()

    def __init__(self, source: str | os.PathLike[str], names: Sequence[Any], labels: Sequence[Any] | None = None):
        self.source, self.names, self.labels = str(source), names, labels
        if not len(names):
            raise UserError(f"{source}: there are no images")

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """Image `index` as it is stored.

        Raises:
            ImageError: it cannot be read.
        """
        raise NotImplementedError

    def decode(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """Image `index` scaled to `size` (height, width): uint8 (height, width, 3), RGB; as stored, EXIF is ignored.

        Raises:
            ImageError: it is missing or damaged.
        """
        data = self.read(index)
        try:
            return self._decode(data, index, size)
        except ValueError as error:
            raise ImageError(f"{self.describe(index)} cannot be decoded ({error})") from error

    def _decode(self, data, index, size):
        return decode_image(data, size)

    def describe(self, index: int) -> str:
        """Image `index` in a message."""
        return f"{self.source}: image {self.names[index]}"

    def size_note(self, size: tuple[int, int]) -> str | None:
        """One line where images have another size than (height, width): they may be whole photographs.

        Reads the headers of all images, or of a sample of a large set.
        """
        step = -(-len(self) // _LOOKED_AT)
        sizes = Counter()
        for index in range(0, len(self), step):
            try:
                sizes[image_size(self.read(index))] += 1
            except (ImageError, ValueError):
                continue  # told when it is its turn
        return size_line(self.source, sizes, size, len(self) if step > 1 else None)

    def missing(self) -> list:
        """Indices of images that are known to be missing without reading any."""
        return []

    def must_be_there(self) -> None:
        """Refuse to go on without images that are missing.

        Raises:
            UserError: some are; the first is named.
        """
        missing = self.missing()
        if missing:
            raise UserError(
                f"{len(missing):,} of {len(self):,} images are missing, the first is {self.describe(missing[0])}; "
                "get them, or leave them out with --skip-missing"
            )

    def fingerprint(self) -> str:
        """Tells these images from others (by names, labels and sizes, not by every byte)."""
        digest = hashlib.sha256()
        for values in (self.names, self.labels or (), self._sizes()):
            digest.update("\n".join(map(str, values)).encode() + b"\0")
        return digest.hexdigest()

    def _sizes(self):
        return ()


class EncodedImages(Images):
    """Images in memory: a list of byte strings."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        encoded: Sequence[bytes],
        names: Sequence[Any] | None = None,
        labels: Sequence[Any] | None = None,
    ):
        super().__init__(source, names if names is not None else range(len(encoded)), labels)
        self._encoded = encoded

    def read(self, index: int) -> bytes:
        return self._encoded[index]

    def _sizes(self):
        return map(len, self._encoded)


class ImageFiles(Images):
    """Files, named by their paths below `root` (or by whole paths)."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        root: str | os.PathLike[str],
        names: Sequence[str],
        labels: Sequence[Any] | None = None,
    ):
        super().__init__(source, names, labels)
        self.root = Path(root)

    def read(self, index: int) -> bytes:
        path = self.root / self.names[index]
        try:
            with open(path, "rb") as file:
                return file.read()
        except (FileNotFoundError, ValueError) as error:  # ValueError: a name that no file can have
            other = find_image(path)
            if other is None:
                reason = getattr(error, "strerror", "no file can have this name")
                raise ImageError(f"cannot read {path}: {reason}") from error
            return other.read_bytes()
        except OSError as error:
            raise ImageError(f"cannot read {path}: {error.strerror}") from error

    def describe(self, index: int) -> str:
        return str(self.root / self.names[index])

    def _sizes(self):
        """The size of every file, and a digest of some: others under the same names are other images."""
        yield from (self._size(name) for name in self.names)
        for index in range(0, len(self), -(-len(self) // _DIGESTED)):
            try:
                yield hashlib.sha256(self.read(index)).hexdigest()
            except ImageError:
                yield "missing"

    def _size(self, name):
        path = self.root / name
        try:
            return os.stat(path).st_size
        except (OSError, ValueError):  # ValueError: a name that no file can have
            other = find_image(path)
            return other.stat().st_size if other else None

    def missing(self) -> list[int]:
        names = progress(self.names, desc="looking for files", unit=" images", delay=2)
        absent = [index for index, name in enumerate(names) if not os.path.isfile(os.path.join(self.root, name))]
        return [index for index in absent if find_image(self.root / self.names[index]) is None]


class UnalignedFiles(ImageFiles):
    """Files whose faces are cropped here by their five points (n, 5, 2), x and y in pixels."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        root: str | os.PathLike[str],
        names: Sequence[str],
        points: Sequence[Any] | np.ndarray,
        labels: Sequence[Any] | None = None,
    ):
        super().__init__(source, root, names, labels)
        self._points = points

    def _decode(self, data, index, size):
        if size[0] != size[1]:
            raise UserError(f"{self.source}: faces are aligned to squares only, not to {size[0]} x {size[1]} pixels")
        try:
            template(size[0])
        except ValueError as error:
            raise UserError(f"{self.source}: faces cannot be aligned for this network: {error}") from error
        return align(decode_image(data), self._points[index], size[0])

    def size_note(self, size: tuple[int, int]) -> str | None:
        return None  # they are aligned here

    def _sizes(self):
        yield from super()._sizes()
        yield from (np.asarray(points).tolist() for points in self._points)


class RecordImages(Images):
    """The images of a training record, named by their keys, with their identities."""

    def __init__(self, path: str | os.PathLike[str], first_label: int = 0):
        self._records = FaceRecords(path, first_label)
        super().__init__(path, self._records.keys.tolist(), self._records.labels().tolist())
        self.notes = index_notes(self._records)
        self._given = path, first_label

    def __reduce__(self) -> tuple:
        return RecordImages, self._given  # another process opens it itself

    def read(self, index: int) -> bytes:
        try:
            return self._records.read(index)[0]
        except UserError as error:
            raise ImageError(str(error)) from error

    def describe(self, index: int) -> str:
        return f"{self.source}: the image of record {self.names[index]}"

    def _sizes(self):
        return (self._records.reader.size,)


def open_images(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, first_label: int = 0
) -> Images:
    """Images of whatever `path` is.

    - a folder: all pictures below it in the order of their paths, labelled with their folder where they lie in folders
    - train.rec (or any .rec with property): labelled with their identity
    - .bin: the 2n images of a verification set, named 0a, 0b, 1a … by pair
    - a JSON list of the MegaFace devkit (`path`, and `id` as labels where it has one)
    - IJB-B's and IJB-C's `*_5pts_score.txt`: crops of loose_crop/ beside the list's folder, aligned by the points
    - im2rec's .lst: `key <tab> label <tab> path`, of several labels the first
    - train.lst: `aligned <tab> path <tab> label`; rows that are not aligned need the five points (columns 8 to 17)
    - a .csv: path and identity, or more columns under a line that names them (`path`, `identity`)
    - any other text list: one path a line, a label may follow after a tab

    Args:
        root: folder that the paths of a list start from; the list's own by default.
        first_label: label of the first identity of training records.

    Raises:
        UserError: nothing there, or a list that is empty or malformed (with the line's number).
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise UserError(f"{path} is not there; give a folder, a .rec, a .bin or a list of images")
    if path.suffix == ".rec":
        return RecordImages(path, first_label)
    if path.suffix == ".bin":
        encoded = read_bin(path)[0]
        return EncodedImages(path, encoded, [f"{i // 2}{'ab'[i % 2]}" for i in range(len(encoded))])
    if path.name.endswith("_5pts_score.txt"):
        landmarks = read_landmarks(path)
        return UnalignedFiles(path, root or path.parents[1] / "loose_crop", landmarks.names, landmarks.points)
    root = root if root is not None else path.parent
    if ".json" in path.name:
        return _of_devkit(path, root)
    if path.suffix.lower() == ".csv" and "," in next((line for _, line in read_lines(path, _HINT)), ""):
        return ImageFiles(path, root, *read_csv(path))
    return _of_list(path, root)


def _of_folder(folder):
    names, left_out = find_images(folder)
    note = left_out_line(folder, len(names), left_out)
    if not names:
        raise UserError(note or f"{folder}: there are no images")
    parents = [os.path.dirname(name) for name in names]
    images = ImageFiles(folder, folder, names, parents if all(parents) else None)
    images.notes = [note] if note else []
    return images


def _of_devkit(path, root):
    value = read_json(path)
    names = value.get("path") if isinstance(value, dict) else None
    labels = value.get("id") if isinstance(value, dict) else None
    if not isinstance(names, list) or not isinstance(labels or names, list) or len(labels or names) != len(names):
        raise UserError(f"{path} must hold an array `path`, and `id` of the same length or none, as the devkit's lists")
    return ImageFiles(path, root, [str(name) for name in names], labels and [str(label) for label in labels])


def _of_list(path, root):
    names, labels, points, numbers = [], [], [], []
    rows = [(number, line.split("\t")) for number, line in read_lines(path, _HINT)]
    if rows and all(map(_is_im2rec, (fields for _, fields in rows))):
        return ImageFiles(path, root, [row[-1] for _, row in rows], [f"{float(row[1]):.17g}" for _, row in rows])
    for number, fields in rows:
        if len(fields) > 2 and fields[0] in ("0", "1"):  # train.lst
            points.append(None if fields[0] == "1" else _points(fields[7:], f"{path} line {number}"))
            fields = fields[1:3]
        if len(fields) > 2:
            raise UserError(
                f"{path} line {number}: a path, and a label after a tab, are expected, not {len(fields)} columns"
            )
        names.append(fields[0])
        labels.append(fields[1] if len(fields) == 2 else None)
        numbers.append(number)
    _refuse_other_separators(path, root, names, labels)
    for column in (labels, points):
        given = [value is not None for value in column]
        if any(given) and not all(given):
            kind = "label" if column is labels else "five points"
            raise UserError(f"{path} line {numbers[given.index(False)]}: it has no {kind}, but other lines do")
    labels = labels if any(labels) else None
    if any(row is not None for row in points):
        return UnalignedFiles(path, root, names, points, labels)
    return ImageFiles(path, root, names, labels)


def _is_im2rec(fields) -> bool:
    """Whether a row is `key, label, …, path` as MXNet's im2rec has it; train.lst has its path in the middle."""
    return len(fields) > 2 and fields[0].isdecimal() and all(map(_NUMBER, fields[1:-1])) and not _NUMBER(fields[-1])


_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*").fullmatch


def _refuse_other_separators(path, root, names, labels):
    """Tell a list with spaces or commas between its columns from one whose images are missing."""
    for line in names[:2]:  # the first may be a heading
        if labels[0] is not None or find_image(Path(root) / line):
            continue
        parts = re.split(r"[ ,;]", line)
        if any(first and find_image(Path(root) / first) for first in (" ".join(parts[i:-1]) for i in (0, 1))):
            raise UserError(f"{path}: {line!r} is no file; write a tab between the columns, path <tab> label")


def _points(fields, where):
    """Five points (5, 2) of the columns x1 … x5 y1 … y5."""
    try:
        return np.array(fields[:10], np.float32).reshape(2, 5).T
    except ValueError:
        raise UserError(f"{where}: its face is not aligned (0) and has no five points to align it by") from None

"""Training sets of aligned faces: a folder with train.rec, train.idx and property, as face recognition shares them."""

from __future__ import annotations

import copy
import hashlib
import operator
import os
import warnings
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

import numpy as np

from ...errors import UserError
from ...files import atomic_write
from ..images.decode import image_size
from ..images.encoded import encoded_bytes
from ..images.sizes import size_line
from .conditions_file import CONDITIONS
from .label_counts import Labels
from .label_survey import Survey, survey
from .name_file import NAMES
from .property_file import missing_property, read_property
from .recordio import EXACT_FLOAT, Header, RecordReader, RecordWriter, pack, unpack

# Folder of labelled images of people who are not trained on, beside the training set; its name may go on.
UNSEEN = "unseen"
RECORD_FILES = ("train.rec", "train.idx", "property")
# Text files that tell of the records beside them: names, labels before and after, what was left out, and conditions.
LABELS, SKIPPED = "labels.tsv", "skipped.txt"
TEXTS = frozenset((NAMES, LABELS, SKIPPED, CONDITIONS))
# Images whose size is looked at.
_SAMPLE = 100
# Bytes that are read at once at the most, where the next record that is used is further away.
_LONGEST = 1 << 16


class FaceRecords:
    """The images of a training set and their identities.

    All variants in circulation are read: with a header record and identity ranges, without them, and the shuffled one
    without an index. Where train.idx is missing, the index is made from the records. In memory are one key and one
    offset an image, 16 bytes; images are read when asked for. One object serves any number of threads, and may be
    sent to other processes.

    The identity of an image is the label in its own record. The ranges in the header and in identity records are not
    looked at: face2rec2 writes one for each run of equal labels, so a shuffled list has more of them than identities.

    Args:
        path: the folder, or its .rec file.
        first_label: label of the first identity in the records; it is subtracted from all labels.

    Attributes:
        num_identities: number of classes, from `property`; labels are 0 … num_identities-1.
        image_size: (height, width) of the images, from `property`.
        keys: (n,) int64, the key of each image in ascending order; index i of this class is the image with keys[i].
        reduction: 1; after `reduced`, how many times smaller images are wanted than they are.

    Raises:
        UserError: a file is missing, damaged or truncated, or the files contradict each other.
    """

    reduction = 1

    def __init__(self, path: str | os.PathLike[str], first_label: int = 0):
        path = Path(path)
        self.path = path / "train.rec" if path.suffix != ".rec" else path
        self.first_label = first_label
        self.property_path = self.path.with_name("property")
        if not self.path.is_file():
            missing = [file.name for file in (self.path, self.property_path) if not file.is_file()]
            raise UserError(
                f"{' and '.join(missing)} not found in {self.path.parent}; `arcface-gluon pack` makes them of images, "
                "`arcface-gluon data check --set NAME` tells where data sets are asked for"
            )
        known = read_property(self.property_path) if self.property_path.is_file() else None
        self.reader = RecordReader(self.path)
        self._labels: np.ndarray | None = None
        self._survey: Survey | None = None
        self._numbers: np.ndarray | None = (
            None  # identity here of each identity in the file, after `of_identities_with`
        )
        self.keys, self._offsets, self._others = self._index()
        if not len(self.keys):
            raise UserError(f"{self.path} holds no images; fetch or write it again")
        if known is None:
            raise missing_property(self.path.parent, Labels.of(self.survey().labels), self.sizes())
        self.num_identities, self.image_size = known.identities, (known.height, known.width)
        self._stored_identities = known.identities

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> tuple[bytes, int]:
        """Image `index` as it is stored.

        Returns:
            (image, label): the encoded image (bytes) and its identity, 0 <= label < num_identities.

        Raises:
            UserError: the record is damaged, or its label is no identity of this set; names the key.
        """
        image, stored = self._stored(index)
        label = stored - self.first_label
        if not self._is_identity(label):
            raise UserError(
                f"{self.path}: record {self.keys[index]} has label {stored:g}, "
                f"but property allows {self.first_label} to {self._stored_identities - 1 + self.first_label} "
                "(data.first_label or --first-label says what labels begin with)"
            )
        return image, int(label if self._numbers is None else self._numbers[int(label)])

    def encoded(self, index: int) -> bytes:
        """Image `index` as it is stored, whatever its label.

        Raises:
            UserError: the record is damaged; names the key.
        """
        return self._stored(index)[0]

    def _stored(self, index):
        try:
            # Records follow each other: where the next begins tells how much to read.
            places = self._offsets[index : index + 2].tolist()
            return self.reader.read_image(places[0], min(places[-1] - places[0], _LONGEST))
        except (ValueError, UserError) as error:
            raise UserError(f"{self.path}: record {self.keys[index]} is damaged ({error})") from error

    def survey(self) -> Survey:
        """The labels as they are stored, and what the index does not list; reads the headers once.

        The result is kept, for large sets also in train.labels.npz beside the records.
        """
        if self._survey is None:
            keep_in = self.path.with_suffix(".labels.npz")
            self._survey = survey(self.reader, self._offsets, self._others, keep_in)
        return self._survey

    def sizes(self) -> Counter[tuple[int, int]]:
        """Sizes of some images, evenly over the set: (height, width) → how many."""
        sizes: Counter[tuple[int, int]] = Counter()
        for index in np.unique(np.linspace(0, len(self) - 1, _SAMPLE).astype(int)):
            try:
                sizes[image_size(self.encoded(int(index)))] += 1
            except (UserError, ValueError):
                continue  # told when it is met in training
        return sizes

    def fingerprint(self) -> str:
        """SHA-256 of index, labels and property: equal for equal training sets, whatever their folders."""
        digest = hashlib.sha256(f"{self.num_identities} {self.image_size} {self.first_label}".encode())
        for array in (self.keys, self._offsets, self.survey().labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def labels(self) -> np.ndarray:
        """Identity of every image, (n,) int32, -1 where the record is damaged or its label is no identity of this set.

        Reads the headers once (with a progress bar, where that takes long) and keeps the result.
        """
        if self._labels is None:
            labels = self.survey().labels - np.float32(self.first_label)
            with np.errstate(invalid="ignore"):  # of a label that is no number
                self._labels = np.where(self._is_identity(labels), labels, -1).astype(np.int32)
        return self._labels

    def _is_identity(self, label):
        return (label >= 0) & (label < self._stored_identities) & (label == label // 1)

    def of_identities_with(self, least: int) -> FaceRecords:
        """These records without the identities that have fewer than `least` images, the others numbered without gaps.

        Raises:
            UserError: no identity has so many.
        """
        labels, survey = self.labels(), self.survey()
        chosen = np.bincount(labels[labels >= 0], minlength=self.num_identities) >= max(1, least)
        if not chosen.any():
            most = np.bincount(labels[labels >= 0]).max(initial=0)
            raise UserError(f"{self.path}: no identity has {least} images, the most that one has is {most}")
        kept = np.append(chosen, False)[labels]  # a label of -1 is the last
        found = copy.copy(self)
        found.keys, found._offsets = self.keys[kept], self._offsets[kept]
        found._survey = survey._replace(labels=survey.labels[kept])
        found._numbers = np.where(chosen, np.cumsum(chosen) - 1, -1).astype(np.int32)
        found._labels, found.num_identities = found._numbers[labels[kept]], int(chosen.sum())
        return found

    def reduced(self, factor: int) -> FaceRecords:
        """These records, to be decoded at 1/factor of their height and width; see `data.images.decode_image`.

        Raises:
            UserError: the size is no multiple of the factor.
        """
        height, width = self.image_size
        if height % factor or width % factor:
            raise UserError(
                f"data.reduce={factor}: {self.property_path} says images of {height}x{width}, no multiple of it"
            )
        found = copy.copy(self)
        found.image_size, found.reduction = (height // factor, width // factor), self.reduction * factor
        return found

    def _index(self):
        """Keys and offsets of the images, sorted by key, and offsets of the other records that the index lists."""
        index_path = self.path.with_suffix(".idx")
        if not index_path.is_file():
            return self._scanned_index()
        keys, offsets = _read_index(index_path)
        # Records have no gaps, so a whole last record proves that nothing is missing before it.
        last = int(offsets.max())
        if last >= self.reader.size:
            raise UserError(
                f"{self.path} is truncated ({self.reader.size} bytes) or {index_path.name} belongs to another file: "
                f"it places a record at byte {last}; fetch both again, or delete the .idx if it is the wrong one"
            )
        self.reader.end(last)
        if keys[0] == 0 and self.reader.is_empty(int(offsets[0])):
            return self._images_of_header(keys, offsets, index_path)
        if self.reader.is_empty(last):
            # Identity records, but key 0 is an image: an index numbered anew by another tool. Its keys mean nothing.
            return self._scanned_index()
        return keys, offsets, offsets[:0]

    def _images_of_header(self, keys, offsets, index_path):
        _, labels, _ = unpack(self.reader.read(int(offsets[0])))
        if len(labels) < 2 or not 1 <= labels[0] <= labels[1]:
            raise UserError(f"{self.path}: its header record (key 0) holds {labels}, not a range of identities")
        first_identity, stop = int(labels[0]), int(labels[1])
        if stop >= EXACT_FLOAT:
            # The range was rounded when it was stored: find the first record without an image instead.
            images = self._first_empty(offsets)
        else:
            images = int(np.searchsorted(keys, first_identity))
            if images != first_identity:
                raise UserError(
                    f"{index_path} lists {images - 1} images, but {self.path.name} says {first_identity - 1}; "
                    "delete the .idx to have it made again"
                )
        return keys[1:images], offsets[1:images], np.concatenate([offsets[:1], offsets[images:]])

    def _first_empty(self, offsets):
        low, high = 1, len(offsets)
        while low < high:
            middle = (low + high) // 2
            if self.reader.is_empty(int(offsets[middle])):
                high = middle
            else:
                low = middle + 1
        return low

    def _scanned_index(self):
        all_offsets, empty = self.reader.scan()
        offsets = all_offsets[~empty]
        # Where there is a header, it has key 0 and the images were written first, from key 1 on.
        first = int(empty.any())
        return np.arange(first, first + len(offsets), dtype=np.int64), offsets, all_offsets[empty]


def _read_index(path):
    """Keys and offsets of an .idx, sorted by key."""
    try:
        # Parsed in C: ten million lines take a second.
        with warnings.catch_warnings(), open(path, encoding="utf-8-sig") as file:
            warnings.simplefilter("error", DeprecationWarning)
            numbers = np.fromstring(file.read(), np.int64, sep=" ")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, DeprecationWarning):
        numbers = np.empty(0, np.int64)
    if not len(numbers) or len(numbers) % 2:
        raise UserError(f"{path} is not an index of lines `key offset`; delete it to have it made again from the .rec")
    keys, offsets = numbers[0::2], numbers[1::2]
    order = np.argsort(keys, kind="stable")
    keys, offsets = keys[order], offsets[order]
    if keys[0] < 0 or offsets.min() < 0 or np.any(offsets % 4) or np.any(keys[1:] == keys[:-1]):
        raise UserError(f"{path} is damaged (a key twice, or an impossible offset); delete it to have it made again")
    return keys, offsets


def write_training_set(
    folder: str | os.PathLike[str],
    images: Iterable[tuple[Any, int]],
    size: tuple[int, int] = (112, 112),
    identities: int | None = None,
    plain: bool = False,
    beside: Mapping[str, Iterable[str]] | None = None,
    ready: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Write train.rec, train.idx and property: images, then the header record (key 0), then the identities.

    Args:
        folder: where to; made if missing.
        images: iterable of (encoded image, label) in any order; it is read as a stream. Images as `encoded_bytes`
            takes them. Where those of one label do not stand together, each run of them gets an identity record of its
            own, as face2rec2 does.
        size: (height, width) of the images; a warning says once how many have another one.
        identities: what property says; the largest label + 1 by default. Those without images may be the last ones.
        plain: images only, with keys from 0, as im2rec writes them and mx.io.ImageRecordIter reads them.
        beside: {name: lines} of text files that get their names with the set; looked at when all images are through.
            Those of `TEXTS` that an earlier set had are removed.
        ready: called when all is on disk under temporary names, before the first file of an earlier set goes.

    Returns:
        (number of images, number of identities).

    Raises:
        ValueError: a label is no whole number, negative or too large for the format; an item is no encoded image.
        UserError: the files cannot be written.
    """
    folder = Path(folder)
    first = 0 if plain else 1
    key, starts, largest, previous, sizes = first, [], -1, None, Counter()
    with atomic_write(folder / "property", "w") as properties, RecordWriter(folder / "train.rec") as writer:
        for image, label in images:
            label = _identity(label, f"image {key - first}")
            if label != previous:
                starts.append(key)
                largest, previous = max(largest, label), label
            image = encoded_bytes(image, f"image {key - first}")
            sizes[_size_of(image)] += 1
            writer.write(key, pack(Header(0, label, key, 0), image))
            key += 1
        if not starts:
            raise ValueError("no images to write")
        if not plain:
            _write_ranges(writer, key, starts)
        identities = largest + 1 if identities is None else identities
        properties.write(f"{identities},{size[0]},{size[1]}\n")
        with _written(folder, beside or {}):
            # An earlier set's numbers never stand beside these records: whenever this is killed, property comes last.
            writer.flush()
            ready()
            for name in ("property", *sorted(TEXTS.difference(beside or ()))):
                (folder / name).unlink(missing_ok=True)
    sizes.pop(None, None)
    if line := size_line(folder, sizes, size):
        warnings.warn(line, stacklevel=2)
    return key - first, identities


def _write_ranges(writer, key, starts):
    """The header record, and one for each run of images of one identity; `key` is the first that is free."""
    writer.write(0, pack(Header(2, 0, 0, 0), labels=(key, key + len(starts))))
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], key])):
        writer.write(key + number, pack(Header(2, 0, key + number, 0), labels=(start, stop)))


@contextmanager
def _written(folder, texts):
    """Text files on disk under temporary names, which get their own at the end."""
    with ExitStack() as stack:
        for name, lines in texts.items():
            file = stack.enter_context(atomic_write(folder / name, "w"))
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        yield


def _size_of(image):
    """(height, width) of an encoded image; None where its header is damaged, which whoever reads it is told."""
    try:
        return image_size(image)
    except ValueError:
        return None


def _identity(label: Any, what: str) -> int:
    """A label as int, where it is a whole number of any type."""
    if isinstance(label, (float, np.floating)) and label == label // 1:
        label = int(label)
    whole: Any = None if isinstance(label, (bool, np.bool_)) else label
    try:
        number = operator.index(whole)
    except TypeError:
        raise ValueError(
            f"{what} has the label {label!r}: labels must be whole numbers, 0 for the first identity"
        ) from None
    if not 0 <= number < EXACT_FLOAT:
        raise ValueError(f"{what}: label {number} is out of range, 0 to {EXACT_FLOAT - 1}")
    return number

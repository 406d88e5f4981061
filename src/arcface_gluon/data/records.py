"""Training sets of aligned faces: a folder with train.rec, train.idx and property, as face recognition shares them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from ..files import atomic_write
from .recordio import Header, RecordReader, RecordWriter, pack, unpack

# Labels are stored as float32, which skips integers from here on.
_EXACT_FLOAT = 1 << 24
# A side of aligned faces in pixels; memory for a batch is taken by what `property` says.
_LARGEST_SIDE = 4096


class FaceRecords:
    """The images of a training set and their identities.

    All variants in circulation are read: with a header record and identity ranges, without them, and the shuffled one
    without an index. Where train.idx is missing, the index is made from the records. In memory are one key and one
    offset an image, 16 bytes; images are read when asked for. One object serves any number of threads, and may be
    sent to other processes.

    Args:
        path: the folder, or its .rec file.

    Attributes:
        num_identities: number of classes, from `property`; labels are 0 … num_identities-1.
        image_size: (height, width) of the images, from `property`.
        keys: (n,) int64, the key of each image in ascending order; index i of this class is the image with keys[i].

    Raises:
        UserError: a file is missing, damaged or truncated, or the files contradict each other.
    """

    def __init__(self, path):
        path = Path(path)
        self.path = path / "train.rec" if path.suffix != ".rec" else path
        property_path = self.path.with_name("property")
        missing = [file.name for file in (self.path, property_path) if not file.is_file()]
        if missing:
            raise UserError(
                f"{' and '.join(missing)} not found in {self.path.parent}; datasets/README.md tells how to get the data"
            )
        self.num_identities, *size = _read_property(property_path)
        self.image_size = tuple(size)
        self.reader = RecordReader(self.path)
        self._labels = None
        self.keys, self._offsets = self._index()
        if not len(self.keys):
            raise UserError(f"{self.path} holds no images; fetch or write it again")

    def __len__(self):
        return len(self.keys)

    def read(self, index: int):
        """Image `index` as it is stored.

        Returns:
            (image, label): the encoded image (bytes) and its identity, 0 <= label < num_identities.

        Raises:
            UserError: the record is damaged, or its label is no identity of this set; names the key.
        """
        try:
            _, labels, image = unpack(self.reader.read(int(self._offsets[index])))
        except (ValueError, UserError) as error:
            raise UserError(f"{self.path}: record {self.keys[index]} is damaged ({error})") from error
        if not self._is_identity(labels[0]):
            raise UserError(
                f"{self.path}: record {self.keys[index]} has label {labels[0]:g}, "
                f"but property allows 0 to {self.num_identities - 1}"
            )
        return image, int(labels[0])

    def labels(self):
        """Identity of every image, (n,) int32, -1 where the record is damaged or its label is no identity of this set.

        Reads the headers once (with a progress bar, where that takes long) and keeps the result.
        """
        if self._labels is None:
            labels = np.full(len(self), -1, np.int32)
            for index in tqdm(range(len(self)), desc="reading labels", unit="image", disable=None, delay=1):
                try:
                    label = self.reader.read_label(int(self._offsets[index]))
                except UserError:
                    continue
                if self._is_identity(label):
                    labels[index] = label
            self._labels = labels
        return self._labels

    def _is_identity(self, label):
        return 0 <= label < self.num_identities and label == int(label)

    def _index(self):
        """Keys and offsets of the images, sorted by key."""
        index_path = self.path.with_suffix(".idx")
        if not index_path.is_file():
            return self._scanned_index()
        keys, offsets = _read_index(index_path)
        # Records have no gaps, so a whole last record proves that nothing is missing before it.
        last = int(offsets.max())
        if last >= self.reader.size:
            raise UserError(
                f"{self.path} is truncated ({self.reader.size} bytes) or {index_path.name} belongs to another file: "
                f"it places a record at byte {last}; fetch both again"
            )
        self.reader.end(last)
        if keys[0] == 0 and self.reader.is_empty(int(offsets[0])):
            return self._images_of_header(keys, offsets, index_path)
        if self.reader.is_empty(last):
            # Identity records, but key 0 is an image: an index numbered anew by another tool. Its keys mean nothing.
            return self._scanned_index()
        return keys, offsets

    def _images_of_header(self, keys, offsets, index_path):
        _, labels, _ = unpack(self.reader.read(int(offsets[0])))
        if len(labels) < 2 or not 1 <= labels[0] <= labels[1]:
            raise UserError(f"{self.path}: its header record (key 0) holds {labels}, not a range of identities")
        first_identity, stop = int(labels[0]), int(labels[1])
        if stop - first_identity > self.num_identities:
            raise UserError(
                f"{self.path.with_name('property')} says {self.num_identities} identities, "
                f"but {self.path.name} holds {stop - first_identity}; one of them belongs to another set"
            )
        if stop >= _EXACT_FLOAT:
            # The range was rounded when it was stored: find the first record without an image instead.
            images = self._first_empty(offsets)
            return keys[1:images], offsets[1:images]
        images = int(np.searchsorted(keys, first_identity))
        if images != first_identity:
            raise UserError(
                f"{index_path} lists {images - 1} images, but {self.path.name} says {first_identity - 1}; "
                "delete the .idx to have it made again"
            )
        return keys[1:images], offsets[1:images]

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
        offsets, empty = self.reader.scan()
        offsets = offsets[~empty]
        # Where there is a header, it has key 0 and the images were written first, from key 1 on.
        first = int(empty.any())
        return np.arange(first, first + len(offsets), dtype=np.int64), offsets


def _read_property(path):
    """The three numbers of its first line; the shuffled variant has more lines, of other things."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            line = file.readline()
        numbers = [int(part) for part in line.split(",")]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        numbers = []
    if len(numbers) != 3 or min(numbers) < 1:
        raise UserError(
            f"{path}: its first line must be identities,height,width (such as 10572,112,112), not {line.strip()!r}"
        )
    if max(numbers[1:]) > _LARGEST_SIDE:
        raise UserError(f"{path}: images of {numbers[1]} x {numbers[2]} are no aligned faces; correct its first line")
    return numbers


def _read_index(path):
    """Keys and offsets of an .idx, sorted by key."""
    try:
        # Parsed in C: ten million lines take a second.
        with warnings.catch_warnings(), open(path, encoding="ascii") as file:
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


def write_training_set(folder, images, size=(112, 112)):
    """Write train.rec, train.idx and property: images, then the header record (key 0), then the identities.

    Args:
        folder: where to; made if missing.
        images: iterable of (encoded image, label), those of one label next to each other. It is read as a stream.
        size: (height, width) of the images.

    Returns:
        (number of images, number of identities); the latter is the largest label + 1.

    Raises:
        ValueError: a label is negative, too large for the format, or comes back after another one.
        UserError: the files cannot be written.
    """
    folder = Path(folder)
    key, starts, seen, previous = 1, [], set(), None
    with atomic_write(folder / "property", "w") as properties, RecordWriter(folder / "train.rec") as writer:
        for image, label in images:
            if label != previous:
                if label in seen or not 0 <= label < _EXACT_FLOAT:
                    raise ValueError(f"label {label} is out of range, or its images are not next to each other")
                seen.add(label)
                starts.append(key)
                previous = label
            writer.write(key, pack(Header(0, label, key, 0), image))
            key += 1
        if not seen:
            raise ValueError("no images to write")
        identities = key + len(starts)
        writer.write(0, pack(Header(2, 0, 0, 0), labels=(key, identities)))
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], key])):
            writer.write(key + number, pack(Header(2, 0, key + number, 0), labels=(start, stop)))
        properties.write(f"{max(seen) + 1},{size[0]},{size[1]}\n")
    return key - 1, max(seen) + 1

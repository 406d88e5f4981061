"""The RecordIO container of train.rec, byte for byte as MXNet writes it, and the image header inside it.

Layout, little-endian: u32 magic, u32 (part << 29 | length), the payload, zeros up to a multiple of four bytes. A
payload that holds the magic at a multiple of four is cut there into several parts (1 first, 2 middle, 3 last; 0 is a
whole record) and those four bytes are left out. There is no file header, so an index can always be made again.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from typing import Any, NamedTuple, Sequence

import numpy as np

from ...errors import UserError
from ...files import atomic_write
from ...progress import progress

MAGIC = 0xCED7230A
# Labels are stored as float32, which skips integers from here on.
EXACT_FLOAT = 1 << 24
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_MAX_LENGTH = (1 << 29) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_FRAME = struct.Struct("<II")
_FRAME_AND_FLAG = struct.Struct("<III")
_HEADER = struct.Struct("<IfQQ")
_FRAME_AND_LABEL = struct.Struct("<IIIf")
_LABEL = struct.Struct("<f")
_IMAGE = _FRAME.size + _HEADER.size  # where the image begins, in a record with one label


class Header(NamedTuple):
    """The 24 bytes before an image: `flag` > 0 says that so many float32 labels follow and `label` is not used."""

    flag: int
    label: float
    id: int
    id2: int


def pack(header: Header, body: bytes = b"", labels: Sequence[float] = ()) -> bytes:
    """Payload of a record: header, labels (when it has several) and body."""
    if labels:
        header = header._replace(flag=len(labels), label=0.0)
    return _HEADER.pack(*header) + struct.pack(f"<{len(labels)}f", *labels) + body


def unpack(payload: bytes) -> tuple[Header, tuple[float, ...], bytes]:
    """Split a payload.

    Returns:
        (header, labels, body): `labels` is a tuple of float, of one element where the header itself has the label.

    Raises:
        ValueError: the payload is shorter than its header says.
    """
    header = Header._make(_HEADER.unpack_from(payload)) if len(payload) >= _HEADER.size else None
    if header is None or len(payload) < _HEADER.size + 4 * header.flag:
        raise ValueError(f"{len(payload)} bytes are too few for its header")
    if not header.flag:
        return header, (header.label,), payload[_HEADER.size :]
    labels = struct.unpack_from(f"<{header.flag}f", payload, _HEADER.size)
    return header, labels, payload[_HEADER.size + 4 * header.flag :]


class RecordReader:
    """Reads records by offset with positioned reads: any number of threads and (forked or spawned) processes share it.

    Args:
        path: the .rec file.

    Raises:
        UserError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        try:
            self._file = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        self.size = os.fstat(self._file).st_size

    def __reduce__(self):
        return type(self), (self.path,)

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, offset: int, expected: int = 0) -> bytes:
        """Payload of the record that starts at byte `offset`.

        Args:
            expected: bytes that it probably takes, which are read at once; any other number costs time only.

        Raises:
            UserError: no record starts there, or the file ends inside it.
        """
        start = self._pread(max(expected, _FRAME.size), offset)
        if len(start) >= _FRAME.size:
            magic, length = _FRAME.unpack_from(start)  # of a whole record the part is 0, and the word the length
            if magic == MAGIC and _FRAME.size + length <= len(start):
                return start[_FRAME.size : _FRAME.size + length]
        part, payload, end = self._part(start, offset, (_WHOLE, _FIRST))
        if part == _WHOLE:
            return payload
        parts = [payload]
        while part != _LAST:
            part, payload, end = self._part(self._pread(_FRAME.size, end), end, (_MIDDLE, _LAST))
            parts.append(payload)
        return _MAGIC_BYTES.join(parts)

    def read_image(self, offset: int, expected: int = 0) -> tuple[bytes, float]:
        """Body and (first) label of the record at byte `offset`, as `unpack` finds them in what `read` gives.

        Raises:
            UserError: as `read`.
            ValueError: as `unpack`.
        """
        start = self._pread(max(expected, _IMAGE), offset)
        if len(start) >= _IMAGE:
            # All at once, since training asks for every image.
            magic, length, several, label = _FRAME_AND_LABEL.unpack_from(start)
            body, end = _IMAGE + 4 * several, _FRAME.size + length
            if magic == MAGIC and body <= end <= len(start):
                if several:
                    (label,) = _LABEL.unpack_from(start, _IMAGE)
                return start[body:end], label
        _, labels, image = unpack(self.read(offset, expected))
        return image, labels[0]

    def _part(self, start, offset, kinds):
        part, length = self._frame(start, offset, kinds)
        end = _FRAME.size + length
        if len(start) < end:
            start += self._pread(end - len(start), offset + len(start))
            if len(start) < end:
                raise self._truncated(offset)
        return part, start[_FRAME.size : end], offset + end + -length % 4

    def _frame(self, start, offset, kinds):
        if len(start) < _FRAME.size:
            raise self._truncated(offset)
        magic, word = _FRAME.unpack_from(start)
        if magic != MAGIC or word >> 29 not in kinds:
            raise UserError(
                f"{self.path}: no record starts at byte {offset}; the file is damaged, or its .idx is another file's "
                "(delete that to have it made again)"
            )
        return word >> 29, word & _MAX_LENGTH

    def _pread(self, length, offset):
        try:
            return os.pread(self._file, length, offset)
        except OSError as error:
            raise UserError(f"cannot read {self.path} at byte {offset}: {error.strerror}") from error

    def _truncated(self, offset):
        return UserError(
            f"{self.path} is truncated: it ends at byte {self.size}, inside the record at byte {offset}; fetch it again"
        )

    def headers(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and ends of many records, from their first 36 bytes.

        Args:
            offsets: (n,) int64, rising.

        Returns:
            (labels, ends): (n,) float32, the (first) label, -inf where the record is damaged or cut off; (n,) int64,
            the byte after each record (of a damaged one, which may reach anywhere: of the file).

        Raises:
            UserError: the file cannot be read.
        """
        size = _FRAME.size + _HEADER.size + 4
        starts = [self._pread(size, offset) for offset in offsets.tolist()]
        if len(starts[-1]) < size:
            starts = [start.ljust(size, b"\0") for start in starts]
        words = np.frombuffer(b"".join(starts), "<u4").reshape(len(starts), size // 4)
        several = words[:, 2] > 0
        labels = np.where(several, words[:, 8].view("<f4"), words[:, 3].view("<f4"))
        kinds, lengths = words[:, 1] >> 29, (words[:, 1] & _MAX_LENGTH).astype(np.int64)
        ends = offsets + _FRAME.size + (lengths + 3) // 4 * 4
        for index in np.flatnonzero((words[:, 0] == MAGIC) & (kinds == _FIRST)):
            try:
                ends[index] = self.end(int(offsets[index]))
            except UserError:
                ends[index] = self.size + 1
        whole = (words[:, 0] == MAGIC) & (kinds <= _FIRST) & (ends <= self.size)
        whole &= lengths >= _HEADER.size + 4 * words[:, 2].astype(np.int64)
        return np.where(whole, labels, np.float32(-np.inf)), np.where(whole, ends, self.size)

    def end(self, offset: int) -> int:
        """Byte after the record at `offset`, padding included; reads only the frames.

        Raises:
            UserError: as `read`.
        """
        return self.extent(offset)[0]

    def is_empty(self, offset: int) -> bool:
        """Whether the record at `offset` is a header without a body: the set's own header, or an identity's range."""
        return self.extent(offset)[1]

    def extent(self, offset: int) -> tuple[int, bool]:
        """(end, empty) of the record at `offset`, as `end` and `is_empty` give them.

        Raises:
            UserError: as `read`.
        """
        # The first four bytes of a payload are the number of labels, which tells where an image would begin.
        start = self._pread(_FRAME_AND_FLAG.size, offset).ljust(_FRAME_AND_FLAG.size)
        magic, word, labels = _FRAME_AND_FLAG.unpack(start)
        length = word & _MAX_LENGTH
        end = offset + _FRAME.size + length + -length % 4
        if magic == MAGIC and word >> 29 == _WHOLE and end <= self.size:
            return end, length == _HEADER.size + 4 * labels
        part, length = self._frame(self._pread(_FRAME.size, offset), offset, (_WHOLE, _FIRST))
        while True:
            end = offset + _FRAME.size + length + -length % 4
            if end > self.size:
                raise self._truncated(offset)
            if part in (_WHOLE, _LAST):
                return end, False
            offset = end
            part, length = self._frame(self._pread(_FRAME.size, offset), offset, (_MIDDLE, _LAST))

    def scan(self) -> tuple[np.ndarray, np.ndarray]:
        """Find all records by walking through the file from frame to frame.

        Returns:
            (offsets, empty): int64 and bool arrays in file order; `empty` as in `is_empty`.

        Raises:
            UserError: the file is damaged or truncated.
        """
        offsets, empty, offset = [], [], 0
        name = os.path.basename(self.path)
        with progress(total=self.size, unit="B", unit_scale=True, desc=f"indexing {name}", delay=1) as bar:
            while offset < self.size:
                end, is_empty = self.extent(offset)
                offsets.append(offset)
                empty.append(is_empty)
                bar.update(end - offset)
                offset = end
        return np.array(offsets, np.int64), np.array(empty, bool)


class RecordWriter:
    """Writes a .rec file and its .idx beside it; both appear under their names only when all is written.

    Use it as a context manager; leaving it by an exception leaves no file behind, and earlier files as they were.

    Args:
        path: the .rec file.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self._index_path = os.path.splitext(self.path)[0] + ".idx"
        self._offset = 0

    def __enter__(self) -> RecordWriter:
        with ExitStack() as stack:
            # The records, entered last, get their name first: a set without an index is whole, a strange index is not.
            self._index = stack.enter_context(atomic_write(self._index_path, "w"))
            self._data = stack.enter_context(atomic_write(self.path))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None and os.path.exists(self._index_path):
            os.unlink(self._index_path)
        return self._stack.__exit__(*error)

    def flush(self) -> None:
        """Bring all that was written to disk, so that nothing but renaming is left to do."""
        for file in (self._data, self._index):
            file.flush()
            os.fsync(file.fileno())

    def write(self, key: int, payload: bytes) -> None:
        """Append a record under `key`."""
        parts = _split(payload)
        kinds = [_WHOLE] if len(parts) == 1 else [_FIRST] + [_MIDDLE] * (len(parts) - 2) + [_LAST]
        self._index.write(f"{key}\t{self._offset}\n")
        for kind, part in zip(kinds, parts):
            if len(part) > _MAX_LENGTH:
                raise ValueError(f"record {key} has {len(part)} bytes; the format ends at {_MAX_LENGTH}")
            data = b"".join((_FRAME.pack(MAGIC, kind << 29 | len(part)), part, bytes(-len(part) % 4)))
            self._data.write(data)
            self._offset += len(data)


def _split(payload):
    """Cut a payload wherever the magic lies at a multiple of four bytes."""
    parts, start, found = [], 0, payload.find(_MAGIC_BYTES)
    while found >= 0:
        if found % 4 == 0:
            parts.append(payload[start:found])
            start = found + 4
            found = payload.find(_MAGIC_BYTES, start)
        else:
            found = payload.find(_MAGIC_BYTES, found + 1)
    return [*parts, payload[start:]]

"""MXNet's .params files, read and written with NumPy alone.

MXNet's own reader may abort the process on a damaged file; this one checks every length first. Layout, little-endian:
u64 0x112, u64 0, u64 count, the arrays, u64 count, the names (u64 length, bytes). A dense array is u32 magic,
i32 storage type (not in V1), u32 dimensions, i64 sizes, i32 device type and number, i32 data type, the values. Before
MXNet 0.12 it had no magic, and u32 sizes.
"""

from __future__ import annotations

import math
import os
import struct

import numpy as np

from ..errors import UserError
from ..files import atomic_write

_FILE_MAGIC = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
_FLAGS = {np.dtype(name): flag for flag, name in _TYPES.items()}
_MAX_DIMENSIONS = 32
_BLOCK = 64 << 20  # bytes copied from a device at a time


class _Damaged(Exception):
    """What is wrong with the file."""


def write_params(path: str | os.PathLike[str], arrays: dict) -> None:
    """Write a dict of arrays (NumPy, or MXNet's, some rows of which are copied at a time) so that `mx.nd.load(path)`
    gives it back. Atomic. MXNet's own writer says nothing where the disk is full as it closes the file.

    Raises:
        UserError: the file cannot be written whole.
    """
    with atomic_write(path) as file:
        file.write(struct.pack("<QQQ", _FILE_MAGIC, 0, len(arrays)))
        for value in arrays.values():
            shape = value.shape or (1,)  # MXNet has no arrays without dimensions
            file.write(struct.pack("<IiI", _V2, 0, len(shape)))
            file.write(struct.pack(f"<{len(shape)}q", *shape))
            file.write(struct.pack("<iii", 1, 0, _FLAGS[np.dtype(value.dtype)]))  # on cpu(0)
            for rows in _row_blocks(value, shape):
                file.write(np.ascontiguousarray(rows.asnumpy() if hasattr(rows, "asnumpy") else rows).data)
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            encoded = name.encode()
            file.write(struct.pack("<Q", len(encoded)) + encoded)


def _row_blocks(value, shape):
    """The array in parts of `_BLOCK` bytes or one row, the last one shorter."""
    rows = max(1, _BLOCK * shape[0] // max(1, math.prod(shape) * np.dtype(value.dtype).itemsize))
    if rows >= shape[0]:
        yield value
        return
    for first in range(0, shape[0], rows):
        yield value[first : first + rows]


def read_params(path: str | os.PathLike[str], mapped: bool = False) -> dict[str, np.ndarray]:
    """Read a .params file as a dict of NumPy arrays, names as they stand in the file (with `arg:` or `aux:`).

    Args:
        mapped: arrays stay in the file, of which only what is looked at is read into memory; they cannot be written to.

    Raises:
        UserError: missing, unreadable, cut short, not a .params file, or of a kind networks do not use.
    """
    try:
        # An empty file cannot be mapped.
        mapped = mapped and os.path.getsize(path) > 0
        data = (np.memmap(path, np.uint8, "r") if mapped else np.fromfile(path, dtype=np.uint8)).data
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _parse(data)
    except _Damaged as error:
        raise UserError(f"{path} is damaged or not a .params file ({error}); copy or download it again") from None


def _parse(data):
    reader = _Reader(data)
    if reader.take("<QQ") != (_FILE_MAGIC, 0):
        raise _Damaged("it starts otherwise")
    arrays = [_parse_array(reader) for _ in range(reader.count())]
    names = [_parse_name(reader) for _ in range(reader.count())]
    if len(names) != len(arrays) or len(set(names)) != len(names):
        raise _Damaged(f"{len(arrays)} arrays, {len(set(names))} names")
    if reader.left():
        raise _Damaged(f"{reader.left()} bytes too many")
    return dict(zip(names, arrays))


def _parse_array(reader):
    (magic,) = reader.take("<I")
    old = magic not in (_V1, _V2, _V3)
    if magic in (_V2, _V3) and reader.take("<i") != (0,):
        raise _Damaged("an array is sparse")
    dimensions = magic if old else reader.take("<I")[0]
    if not 0 < dimensions <= _MAX_DIMENSIONS:
        raise _Damaged(f"an array has {dimensions} dimensions")
    shape = reader.take(f"<{dimensions}{'I' if old else 'q'}")
    _, _, flag = reader.take("<iii")
    if flag not in _TYPES:
        raise _Damaged(f"an array has data type {flag}")
    dtype = np.dtype(_TYPES[flag])
    size = dtype.itemsize * math.prod(shape)
    # Beside a side of 0, another one could be of any size.
    if min(shape) < 0 or max(shape) > reader.left():
        raise _Damaged("an array has a shape that its values do not fill")
    return np.frombuffer(reader.bytes(size), dtype=dtype).reshape(shape)


def _parse_name(reader):
    (length,) = reader.take("<Q")
    try:
        return bytes(reader.bytes(length)).decode()
    except UnicodeDecodeError:
        raise _Damaged("a name is not text") from None


class _Reader:
    """A position in the bytes that never moves past their end."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def bytes(self, size):
        if size > self.left():
            raise _Damaged(f"it ends after {len(self._data)} bytes, {size - self.left()} too soon")
        self._at += size
        return self._data[self._at - size : self._at]

    def take(self, layout):
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def count(self):
        (count,) = self.take("<Q")
        # Every array and every name takes at least 8 bytes: a larger count is damage, not a reason to loop.
        if count > self.left() // 8:
            raise _Damaged(f"a count of {count}")
        return count

    def left(self):
        return len(self._data) - self._at

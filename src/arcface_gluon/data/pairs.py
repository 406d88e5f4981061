"""Verification sets: the .bin files of encoded image pairs (lfw.bin, cfp_fp.bin, agedb_30.bin, ...).

Such a file is a pickle of (images, issame): 2n encoded images, images 2i and 2i+1 being pair i, and n truth values.
A pickle can name any function of the machine and have it called, so the usual `pickle.load` runs whatever a
downloaded file says. The reader here knows the few opcodes and names that verification sets of Python 2 and 3 and of
NumPy 1 and 2 use, gives its own inert stand-ins for them, and refuses a file with anything else.
"""

from __future__ import annotations

import math
import mmap
import pickle
import struct

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .encoded import encoded_bytes
from .recordio import MAGIC

# One encoded face is some KB; one of more than this is a decompression trap or not an image at all.
MAX_IMAGE_BYTES = 1 << 26

_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND APPENDS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD
"""


# First bytes of files that are whole, but no pickle.
_OTHER_FILES = (
    (struct.pack("<I", MAGIC), "a file of training records (train.rec)"),
    *((first, "an image") for first in (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"PK\3\4", "an archive (.zip, .npz)"),
    (b"\x1f\x8b", "an archive (.gz)"),
)

# NumPy's names of types that images and truth values have, and those of `struct`.
_TYPES = {"b1": "?", "bool": "?", "u1": "B", "uint8": "B", "u2": "H", "u4": "I", "u8": "Q"}
_TYPES.update({"i1": "b", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"})


class _Refused(Exception):
    """The file asks for something that no verification set needs."""


class _Dtype:
    """Stands in for numpy.dtype: bytes, and truth values in any type of numbers."""

    def __init__(self, name, *_):
        name = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or name.lstrip("|<>=") not in _TYPES:
            raise _Refused(f"an array of type {str(name)[:20]!r}")
        self.code = _TYPES[name.lstrip("|<>=")]
        self.order = ">" if name.startswith(">") else "<"

    @property
    def size(self):
        return struct.calcsize(self.order + self.code)

    def build(self, state):
        """What NumPy keeps besides the name: (version, byte order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", b">"):
            self.order = ">"

    def values(self, data):
        if self.code == "B":
            return bytes(data)
        return [value for (value,) in struct.iter_unpack(self.order + self.code, data)]


class _Array:
    """Stands in for numpy.ndarray; `value` is bytes (uint8) or a list of numbers once the contents have come."""

    value, shape = None, ()

    def fill(self, shape, dtype, data):
        if not (isinstance(shape, tuple) and isinstance(dtype, _Dtype) and isinstance(data, (bytes, bytearray))):
            raise _Refused("an array of unknown layout")
        # Comparing with the bytes at hand bounds the shape: nothing is ever allocated from the numbers in the file.
        if not all(type(length) is int and length >= 0 for length in shape) or math.prod(shape) * dtype.size != len(
            data
        ):
            raise _Refused(f"an array of shape {shape} with {len(data)} bytes")
        self.value, self.shape = dtype.values(data), shape

    def build(self, state):
        """The state NumPy pickles: (version, shape, dtype, Fortran order, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _Refused("an array of unknown layout")
        self.fill(state[1], state[2], state[4])


def _reconstruct(kind, *_):
    if kind is not _Array:
        raise _Refused("an array of a foreign type")
    return _Array()


def _frombuffer(data, dtype, shape, _order):
    array = _Array()
    array.fill(shape, dtype, data)
    return array


def _scalar(dtype, data):
    array = _Array()
    array.fill((1,), dtype, data)
    return array.value[0]


def _encode(text, codec="latin1"):
    codec = codec.decode("latin1") if isinstance(codec, bytes) else codec
    if codec not in ("latin1", "latin-1"):
        raise _Refused(f"the codec {codec!r}")
    return text.encode("latin1")


def _bytearray(value=b"", codec="latin1"):
    # Never bytearray(count), which would allocate what the file asks for.
    if isinstance(value, str):
        return _encode(value, codec)
    if not isinstance(value, (bytes, bytearray)):
        raise _Refused("a bytearray of unknown content")
    return bytes(value)


_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _bytearray,
    ("__builtin__", "bytearray"): _bytearray,
}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and NumPy 2
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _frombuffer
_CODES = [getattr(pickle, name)[0] for name in _OPCODES.split()]
_CALLABLE = (_Dtype, _reconstruct, _frombuffer, _scalar, _encode, _bytearray)


class _Unpickler(pickle._Unpickler):
    """The interpreter written in Python: its opcodes are a table that can be cut down, and its memo is a dictionary.

    (The one written in C allocates its memo for the largest number in the file.)
    """

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in _CODES}

    def find_class(self, module, name):
        if (module, name) not in _NAMES:
            raise _Refused(f"{module}.{name}")
        return _NAMES[module, name]

    def load_reduce(self):
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not any(function is allowed for allowed in _CALLABLE) or not isinstance(arguments, tuple):
            raise _Refused("a call of something that is not a function")
        self.stack[-1] = function(*arguments)

    def load_build(self):
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _Dtype)):
            raise _Refused("state for something that is not an array")
        self.stack[-1].build(state)

    def load_bytearray8(self):
        # The inherited one allocates the announced length before it looks whether the file is that long.
        length = int.from_bytes(self.read(8), "little")
        data = self.read(length)
        if len(data) != length:
            raise EOFError
        self.append(data)

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def read_bin(path):
    """Read a verification set.

    Returns:
        (images, issame): a list of 2n encoded images (bytes), images 2i and 2i+1 being pair i; a list of n bool, True
        for pairs of one person. An image that the file stores once and uses in several pairs is one bytes object.

    Raises:
        UserError: the file cannot be read, is not such a set, is damaged, or is a pickle that asks for anything else
            than such a set needs (nothing of it is run).
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            _refuse_other_files(path, view[:16])
            content = _Unpickler(view, encoding="bytes").load()
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except _Refused as error:
        raise UserError(
            f"{path} is refused: it asks for {error}, which no verification set needs; do not trust it"
        ) from error
    except Exception as error:  # whatever a damaged pickle leads to: KeyError, EOFError, UnicodeDecodeError, ...
        raise _not_a_set(path, f"damaged or another format, {type(error).__name__} {error}") from error
    return _checked(path, content)


def _refuse_other_files(path, start):
    """Tell a whole file of another kind from a damaged set, by its first bytes."""
    kind = next((kind for first, kind in _OTHER_FILES if start.startswith(first)), None)
    if kind is not None:
        raise UserError(f"{path} is {kind}, not a verification set (.bin: encoded images in pairs, and truth values)")


def _not_a_set(path, reason):
    return UserError(f"{path} is not a verification set ({' '.join(reason.split())}); fetch or write it again")


def _checked(path, content):
    if not (isinstance(content, (tuple, list)) and len(content) == 2):
        raise _not_a_set(path, "it does not hold images and truth values")
    images, issame = content
    issame = issame.value if isinstance(issame, _Array) else issame
    if isinstance(issame, (list, tuple)):  # an array a pair, of one truth value
        issame = [v.value[0] if isinstance(v, _Array) and v.value and len(v.value) == 1 else v for v in issame]
    if not (isinstance(images, (list, tuple)) and isinstance(issame, (list, tuple, bytes))):
        raise _not_a_set(path, "it does not hold a list of images and a list of truth values")
    if not issame or len(images) != 2 * len(issame):
        raise _not_a_set(path, f"{len(images)} images for {len(issame)} pairs")
    distinct = {id(item): _image_bytes(path, index, item) for index, item in enumerate(images)}
    try:
        return [distinct[id(item)] for item in images], truth_values(issame)
    except ValueError as error:
        raise _not_a_set(path, str(error)) from error


def _image_bytes(path, index, item):
    if isinstance(item, _Array):
        if sum(length > 1 for length in item.shape) > 1:
            raise _not_a_set(path, f"item {index} is an array of pixels; images must be encoded, as JPEG or PNG")
        item = item.value
    if isinstance(item, bytearray):
        item = bytes(item)
    if not isinstance(item, bytes) or not 0 < len(item) <= MAX_IMAGE_BYTES:
        raise _not_a_set(path, f"item {index} is not an encoded image")
    return item


def truth_values(values) -> list[bool]:
    """Truth values of pairs, of one person or not, as people write them.

    Args:
        values: True and False, 1 and 0 in any type of numbers, or 1 and -1, where -1 means two people.

    Raises:
        ValueError: a value is none of these, or there are both 0 and -1; the first pair is named.
    """
    numbers = [value.item() if isinstance(value, (np.ndarray, np.generic)) else value for value in values]
    for pair, number in enumerate(numbers):
        if not isinstance(number, (int, float)) or number not in (-1, 0, 1):
            kind = "text" if isinstance(number, (str, bytes)) else "another value"
            raise ValueError(f"the truth value of pair {pair} must be true or false, 1 or 0, or 1 or -1, not {kind}")
    if -1 in numbers and 0 in numbers:
        raise ValueError("truth values must not have both 0 and -1: which of the two means two people?")
    return [number == 1 for number in numbers]


def write_bin(path, images, issame):
    """Write a verification set that `read_bin` and the reference code read, atomically.

    Args:
        path: the file, by custom named *.bin.
        images: 2n encoded images, images 2i and 2i+1 being pair i; see `encoded_bytes`. The same object is stored once.
        issame: n truth values; see `truth_values`. Where they are 1 and -1, -1 means two people.

    Raises:
        ValueError: an item is no encoded image, a truth value neither true nor false, their numbers do not fit, or
            there are none.
        UserError: the file cannot be written.
    """
    images, issame = list(images), truth_values(issame)
    if not issame or len(images) != 2 * len(issame):
        raise ValueError(
            f"{len(images)} images for {len(issame)} pairs: two images a pair are needed, one pair at least"
        )
    distinct = {id(item): encoded_bytes(item, f"image {index}") for index, item in enumerate(images)}
    with atomic_write(path) as file:
        # Protocol 3 is the oldest one that stores bytes without naming a function.
        pickle.dump(([distinct[id(item)] for item in images], issame), file, protocol=3)

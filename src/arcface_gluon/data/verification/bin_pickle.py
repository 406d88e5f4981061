"""The pickles of verification sets, read without running or even printing anything of them.

A pickle can name any function of the machine and have it called, so the usual `pickle.load` runs whatever a
downloaded file says. The interpreter here knows the few opcodes and names that verification sets of Python 2 and 3 and
of NumPy 1 and 2 use, gives its own inert stand-ins for them, and refuses a file with anything else.

A few bytes could also ask for endless work. Before anything is done, the interpreter bounds the number of opcodes (and
so the memo, the stack and the objects), the depth of marks, the digits of numbers, the sizes of arrays, and the bytes
that calls may copy. Objects of the file are never compared in depth, hashed or formatted: a tuple that holds itself
twice, thirty times over, has a billion parts.
"""

from __future__ import annotations

import mmap
import pickle
import struct
from typing import Any

_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND APPENDS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD
"""

_MAX_OPCODES = 8_000_000  # a million pairs of bytes, 160,000 pairs of NumPy's arrays; a few seconds
_MAX_MARKS = 64  # one within another; sets have four
_MAX_DIGITS = 32  # of a number as text, and bytes of one as bytes
_MAX_DIMENSIONS = 8
# Python 2's text is encoded and then put into an array; nothing copies the bytes of a file more often.
_MAX_COPIES = 4

# NumPy's names of types that images and truth values have, and those of `struct`.
_TYPES = {"b1": "?", "bool": "?", "u1": "B", "uint8": "B", "u2": "H", "u4": "I", "u8": "Q"}
_TYPES.update({"i1": "b", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"})


class Refused(Exception):
    """The file asks for something that no verification set needs."""


class _Dtype:
    """Stands in for numpy.dtype: bytes, and truth values in any type of numbers."""

    def __init__(self, name, *_):
        name = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or name.lstrip("|<>=") not in _TYPES:
            kind = ascii(name[:20]) if isinstance(name, str) else "no name"
            raise Refused(f"an array of type {kind}")
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
            return data
        return [value for (value,) in struct.iter_unpack(self.order + self.code, data)]


class Array:
    """Stands in for numpy.ndarray.

    Attributes:
        shape: tuple of at most 8 sizes; () until the contents have come.
        data: bytes of the contents.
    """

    shape: tuple = ()
    data = b""
    _dtype: Any = None  # a _Dtype once the contents have come

    @property
    def value(self) -> Any:
        """bytes (uint8) or a list of numbers, made when it is asked for; None before the contents have come."""
        return self._dtype.values(self.data) if self._dtype else None

    @property
    def is_single(self) -> bool:
        """Whether it holds one number."""
        return self._dtype is not None and len(self.data) == self._dtype.size

    def fill(self, shape: tuple, dtype: _Dtype, data: bytes) -> None:
        if not (isinstance(shape, tuple) and isinstance(dtype, _Dtype) and isinstance(data, bytes)):
            raise Refused("an array of unknown layout")
        if len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n <= len(data) for n in shape):
            raise Refused("an array of a shape that its bytes do not fill")
        size = dtype.size
        for length in shape:
            size *= length
        # Comparing with the bytes at hand bounds the shape: nothing is ever allocated from the numbers in the file.
        if size != len(data):
            raise Refused("an array of a shape that its bytes do not fill")
        self.shape, self.data, self._dtype = shape, data, dtype

    def build(self, state: tuple) -> None:
        """The state NumPy pickles: (version, shape, dtype, Fortran order, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise Refused("an array of unknown layout")
        self.fill(state[1], state[2], state[4])


def _reconstruct(kind, *_):
    if kind is not Array:
        raise Refused("an array of a foreign type")
    return Array()


def _frombuffer(data, dtype, shape, _order):
    array = Array()
    array.fill(shape, dtype, data)
    return array


def _scalar(dtype, data):
    array = Array()
    array.fill((1,), dtype, data)
    return array.value[0]


def _encode(text, codec="latin1"):
    if not isinstance(codec, (str, bytes)) or codec not in ("latin1", "latin-1", b"latin1", b"latin-1"):
        raise Refused("a codec other than latin1")
    if not isinstance(text, str):
        raise Refused("the encoding of something that is no text")
    return text.encode("latin1")


def _bytearray(value=b"", codec="latin1"):
    # Never bytearray(count), which would allocate what the file asks for.
    if isinstance(value, str):
        return _encode(value, codec)
    if not isinstance(value, bytes):
        raise Refused("a bytearray of unknown content")
    return value


_NAMES = {
    ("numpy", "ndarray"): Array,
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

    def __init__(self, view):
        super().__init__(view, encoding="bytes")
        self._view = view
        self._left_to_copy = _MAX_COPIES * len(view) + (1 << 16)

    def load(self):
        self.metastack, self.stack = [], []
        self.append = self.stack.append
        self.read, self.readline, self.proto = self._read, self._view.readline, 0
        try:
            for _ in range(_MAX_OPCODES):
                self.dispatch[self._view.read_byte()](self)
        except pickle._Stop as stop:
            return stop.value
        raise Refused(f"more than {_MAX_OPCODES:,} steps")

    def _read(self, size):
        data = self._view.read(size)
        if len(data) != size:
            raise EOFError
        return data

    def find_class(self, module, name):
        if (module, name) not in _NAMES:
            raise Refused(ascii(f"{module[:40]}.{name[:40]}")[1:-1])
        return _NAMES[module, name]

    def load_frame(self):
        self.read(8)  # frames only help to read ahead

    def load_mark(self):
        if len(self.metastack) >= _MAX_MARKS:
            raise Refused("deeply nested objects")
        super().load_mark()

    def load_reduce(self):
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not any(function is allowed for allowed in _CALLABLE) or not isinstance(arguments, tuple):
            raise Refused("a call of something that is not a function")
        self._count_copies(arguments)
        self.stack[-1] = function(*arguments)

    def load_build(self):
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (Array, _Dtype)):
            raise Refused("state for something that is not an array")
        self.stack[-1].build(state)

    def _count_copies(self, arguments):
        if len(arguments) > _MAX_DIMENSIONS:
            raise Refused("a call with many arguments")
        self._left_to_copy -= sum(len(value) for value in arguments if isinstance(value, (str, bytes)))
        if self._left_to_copy < 0:
            raise Refused("the same bytes again and again")

    def load_bytearray8(self):
        # As bytes: the inherited one allocates the announced length before it looks whether the file is that long.
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def load_long1(self):
        size = self.read(1)[0]
        if size > _MAX_DIGITS:
            raise Refused("a number of many digits")
        self.append(pickle.decode_long(self.read(size)))

    def _number(self, load):
        """Run an opcode whose argument is a line with a number: Python's time for that is the square of its length."""
        start = self._view.tell()
        if self._view.find(b"\n", start, start + _MAX_DIGITS + 2) < 0:
            raise Refused("a number of many digits")
        load()

    def load_int(self):
        self._number(super().load_int)

    def load_float(self):
        self._number(super().load_float)

    def load_put(self):
        self._number(super().load_put)

    def load_get(self):
        self._number(super().load_get)

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.MARK[0]] = load_mark
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.LONG1[0]] = load_long1
    dispatch[pickle.INT[0]] = load_int
    dispatch[pickle.FLOAT[0]] = load_float
    dispatch[pickle.PUT[0]] = load_put
    dispatch[pickle.GET[0]] = load_get


def load_pickle(view: mmap.mmap) -> Any:
    """What the pickle in an `mmap.mmap` holds: lists, tuples, bytes, text, numbers and `Array`.

    Raises:
        Refused: it asks for something that no verification set needs.
        Exception: whatever a damaged pickle leads to: KeyError, EOFError, UnicodeDecodeError, ...
    """
    return _Unpickler(view).load()

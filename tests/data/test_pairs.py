"""Verification sets in all the spellings found in the wild, and files that must be refused."""

import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data import read_bin, write_bin
from arcface_gluon.errors import UserError

IMAGES = [bytes([255, 216, 0, 128 + i]) + os.urandom(300) for i in range(4)]
ISSAME = [True, False]


def column(data):
    return np.frombuffer(data, np.uint8).reshape(-1, 1).copy()


def load(tmp_path, data):
    path = tmp_path / "set.bin"
    path.write_bytes(data)
    return read_bin(path)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, column, lambda data: column(data).ravel()],
    ids=["bytes", "bytearray", "column", "vector"],
)
@pytest.mark.parametrize(
    "truth",
    [list, np.array, lambda v: [np.bool_(x) for x in v], lambda v: [int(x) for x in v]],
    ids=["list", "array", "numpy scalars", "integers"],
)
def test_reads_every_python_3_spelling(tmp_path, protocol, wrap, truth):
    data = pickle.dumps(([wrap(image) for image in IMAGES], truth(ISSAME)), protocol=protocol)
    assert load(tmp_path, data) == (IMAGES, ISSAME)


@pytest.mark.parametrize("protocol", range(4))
def test_reads_numpy_2_names(tmp_path, protocol):
    data = pickle.dumps(([column(image) for image in IMAGES], np.array(ISSAME)), protocol=protocol)
    renamed = data.replace(b"numpy.core.", b"numpy._core.")
    assert renamed != data
    assert load(tmp_path, renamed) == (IMAGES, ISSAME)


def python_2_protocol_2(images, truth):
    text = b"".join(b"T" + struct.pack("<i", len(image)) + image + b"q\x01" for image in images)
    return b"\x80\x02](" + text + b"e](" + b"".join(b"\x88" if value else b"\x89" for value in truth) + b"e\x86q\x02."


def python_2_protocol_0(images, truth):
    def quoted(data):
        return b"'" + b"".join(b"\\x%02x" % byte for byte in data) + b"'"

    text = b"".join(b"S" + quoted(image) + b"\np1\na" for image in images)
    return b"((lp0\n" + text + b"(lp2\n" + b"".join(b"I01\na" if value else b"I00\na" for value in truth) + b"tp3\n."


@pytest.mark.parametrize("build", [python_2_protocol_0, python_2_protocol_2])
def test_reads_python_2_strings(tmp_path, build):
    assert load(tmp_path, build(IMAGES, ISSAME)) == (IMAGES, ISSAME)


def test_reads_python_2_arrays(tmp_path):
    # What Python 2.7 with NumPy 1.16 writes at protocol 2: str where Python 3 has unicode.
    def array(data):
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K%cK\x01\x86"
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            b"\x89U%c%stb" % (len(data), len(data), data)
        )

    small = [image[:200] for image in IMAGES]
    data = b"\x80\x02](" + b"".join(map(array, small)) + b"e](\x88\x89e\x86."
    assert load(tmp_path, data) == (small, ISSAME)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_write_then_read(tmp_path_factory, data):
    pool = data.draw(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5))
    truth = data.draw(st.lists(st.booleans(), min_size=1, max_size=6))
    images = [data.draw(st.sampled_from(pool)) for _ in range(2 * len(truth))]
    path = tmp_path_factory.mktemp("bin") / "set.bin"
    write_bin(path, images, truth)
    assert read_bin(path) == (images, truth)
    assert pickle.loads(path.read_bytes(), encoding="bytes") == (images, truth)  # as the reference code reads it


def test_repeated_image_is_one_object(tmp_path):
    write_bin(tmp_path / "set.bin", [IMAGES[0], IMAGES[1], IMAGES[0], IMAGES[2]], ISSAME)
    images, _ = read_bin(tmp_path / "set.bin")
    assert images[0] is images[2]
    with pytest.raises(ValueError, match="3 images for 2 pairs"):
        write_bin(tmp_path / "set.bin", IMAGES[:3], ISSAME)


class Command:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function, name", [(os.system, "system"), (eval, "eval"), (np.load, "load"), (open, "open")])
def test_foreign_function_is_refused_and_not_run(tmp_path, protocol, function, name):
    target = tmp_path / "ran"
    argument = {"system": f"touch {target}", "eval": f"open({str(target)!r}, 'w')"}.get(name, str(target))
    rest = ("w",) if name == "open" else ()
    data = pickle.dumps(([Command(function, argument, *rest), b"x"], [True]), protocol=protocol)
    with pytest.raises(UserError, match=rf"set\.bin is refused: it asks for .*{name}"):
        load(tmp_path, data)
    assert not target.exists()


REDUCE_ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
U1 = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1K\x00K\x01\x87R"
HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x40"

MALICIOUS = {
    "huge shape in the state": REDUCE_ARRAY + b"(K\x01" + HUGE + b"\x85" + U1 + b"\x89C\x01atb\x85.",
    "negative shape": REDUCE_ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + U1 + b"\x89C\x01atb\x85.",
    "object array": REDUCE_ARRAY + b"(K\x01K\x01\x85" + U1.replace(b"u1", b"O8") + b"\x89]K\x01atb.",
    "a call of a type": b"\x80\x02cnumpy\nndarray\n" + HUGE + b"\x85R.",
    "a call of bytes": b"\x80\x03C\x01a)R.",
    "a huge bytearray": b"\x80\x02c__builtin__\nbytearray\n" + HUGE + b"\x85R.",
    "another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
    "state for a function": b"\x80\x02c_codecs\nencode\n}b.",
    "state for a list": b"\x80\x02](K\x01K\x01tb.",
    "a memo of 4 billion entries": b"\x80\x02]r\xff\xff\xff\xff.",
    "bytes longer than the file": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fabc.",
    "bytearray longer than the file": b"\x80\x05\x96" + b"\xff" * 7 + b"\x0fabc.",
    "frame longer than the file": b"\x80\x04\x95" + b"\xff" * 7 + b"\x0fabc.",
    "new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "persistent id": b"Pabc\n.",
    "extension registry": b"\x80\x02\x82\x01.",
    "dictionary": b"\x80\x02}.",
    "empty": b"",
    "text": b"<html>not found</html>",
    "one list": pickle.dumps(IMAGES),
    "images without truth": pickle.dumps((IMAGES, [])),
    "an odd number of images": pickle.dumps((IMAGES[:3], ISSAME)),
    "an image that is a number": pickle.dumps((IMAGES[:3] + [7], ISSAME)),
    "an empty image": pickle.dumps((IMAGES[:3] + [b""], ISSAME)),
    "a truth value that is a text": pickle.dumps((IMAGES, [True, "no"])),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_anything_else_is_one_line_with_the_file(tmp_path, name):
    with pytest.raises(UserError, match=r"set\.bin") as caught:
        load(tmp_path, MALICIOUS[name])
    assert "\n" not in str(caught.value)


def test_truncated_anywhere(tmp_path):
    data = pickle.dumps(([column(image) for image in IMAGES], ISSAME), protocol=2)
    for length in range(0, len(data), 7):
        with pytest.raises(UserError, match=r"set\.bin"):
            load(tmp_path, data[:length])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_random_bytes_never_escape_as_another_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.bin"
    path.write_bytes(b"\x80\x04" + data + b".")
    with pytest.raises(UserError):
        read_bin(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*lfw\.bin: No such file"):
        read_bin(tmp_path / "lfw.bin")

"""Verification sets in all the spellings found in the wild, and files that must be refused."""

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data import read_bin, write_bin
from arcface_gluon.data.verification.bin_file import truth_values
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
    pool = data.draw(st.lists(st.binary(max_size=50).map(lambda rest: b"\xff\xd8" + rest), min_size=1, max_size=5))
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

FROMBUFFER = b"cnumpy.core.numeric\n_frombuffer\n(C\x00" + U1
LAUGHS = b")" + b"2\x86" * 400  # a tuple of the tuple before, twice, and so on: 2^400 parts
BIG = b"\x8a\xff" + b"\xff" * 254 + b"\x7f"
MEGABYTE = b"X\x40\x42\x0f\0" + b"a" * 1_000_000

MALICIOUS = {
    "a type of 2^400 parts": b"cnumpy\ndtype\n" + LAUGHS + b"\x85R.",
    "a shape of 2^400 parts": FROMBUFFER + LAUGHS + b"U\x01CtR.",
    "a codec of 2^400 parts": b"c_codecs\nencode\nU\x01a" + LAUGHS + b"\x86R.",
    "2^400 parts as images and truth": b"(" + LAUGHS + LAUGHS + b"t.",
    "2^400 parts as truth value": b"(](C\x01aC\x01ae](" + LAUGHS + b"et.",
    "a shape of many large numbers": FROMBUFFER + b"(" + BIG + b"q\0" + b"h\0" * 100_000 + b"tU\x01CtR.",
    "a shape of many ones": FROMBUFFER + b"(" + b"K\1" * 100_000 + b"tU\x01CtR.",
    "a megabyte encoded 10,000 times": b"(" + MEGABYTE + b"q\0" + b"c_codecs\nencode\nh\0\x85R" * 10_000 + b"t.",
    "a number of a million digits": b"(I" + b"9" * 1_000_000 + b"\n.",
    "a memo of a million digits": b"Np" + b"9" * 1_000_000 + b"\n.",
    "a million marks": b"(" * 1_000_000 + b".",
    "a global of a megabyte": b"c" + b"a" * 1_000_000 + b"\nb\n.",
    "a call of a million arguments": b"c_codecs\nencode\n(" + b"N" * 1_000_000 + b"tR.",
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
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_endless_steps_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("arcface_gluon.data.verification.bin_pickle._MAX_OPCODES", 1000)
    with pytest.raises(UserError, match="more than 1,000 steps"):
        load(tmp_path, b"N0" * 1000 + b".")


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


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["i1", "<i2", ">i4", "<i8", ">i8", "u2", "u8", "f4", ">f8"])
@pytest.mark.parametrize("wrap", [np.array, list, lambda v: v.reshape(-1, 1), lambda v: [np.array([x]) for x in v]])
def test_reads_truth_values_in_any_type_of_numbers(tmp_path, protocol, kind, wrap):
    truth = np.array([1, 0], kind)
    assert load(tmp_path, pickle.dumps((IMAGES, wrap(truth)), protocol=protocol)) == (IMAGES, ISSAME)


def test_minus_one_is_taken_for_two_people_and_the_user_is_told(tmp_path, capsys):
    path, told = tmp_path / "set.bin", "set.bin: truth values are 1 and -1; 1 is taken for one person, -1 for two"
    assert truth_values([1, -1, -1], path) == [True, False, False] and told in capsys.readouterr().err
    assert truth_values(np.array([[1], [-1]], np.float32), path) == [True, False]
    with pytest.raises(ValueError, match="both 0 and -1"):
        truth_values([1, 0, -1], path)
    capsys.readouterr()
    write_bin(path, IMAGES, [1, -1])
    assert told in capsys.readouterr().err, "where it is written"
    assert read_bin(path)[1] == [True, False] and not capsys.readouterr().err, "it is stored as true and false"
    assert load(tmp_path, pickle.dumps((IMAGES, [1, -1]), protocol=2)) == (IMAGES, [True, False])
    assert told in capsys.readouterr().err, "where it is read"


@pytest.mark.parametrize("value", ["1", "0", b"1", np.str_("1"), 2, 0.5, float("nan"), None, [True]])
def test_truth_values_that_are_none(tmp_path, value):
    with pytest.raises(ValueError, match="the truth value of pair 1 must be true or false"):
        write_bin(tmp_path / "set.bin", IMAGES, [True, value])
    if not isinstance(value, np.str_):
        with pytest.raises(UserError, match=r"set\.bin is not a verification set \(the truth value of pair 1"):
            load(tmp_path, pickle.dumps((IMAGES, [True, value]), protocol=3))


@pytest.mark.parametrize("kind", ["f2", "c16", "O", "U1", "S1", "M8[s]"])
def test_arrays_of_other_types_are_refused(tmp_path, kind):
    with pytest.raises(UserError, match=r"set\.bin is refused: it asks for an array of type"):
        load(tmp_path, pickle.dumps((IMAGES, np.zeros(2, kind)), protocol=3))


@pytest.mark.parametrize(
    "wrap", [bytearray, memoryview, column, lambda data: column(data).ravel(), lambda data: column(data).T]
)
def test_writes_encoded_images_however_they_are_held(tmp_path, wrap):
    write_bin(tmp_path / "set.bin", [wrap(image) for image in IMAGES], np.array(ISSAME))
    assert read_bin(tmp_path / "set.bin") == (IMAGES, ISSAME)


@pytest.mark.parametrize(
    "item, message",
    [
        ("faces/1.jpg", "is a path"),
        (Path("faces/1.jpg"), "is a path"),
        (b"faces/1.JPG", "is a path"),
        (np.zeros((112, 112, 3), np.uint8), r"of shape \(112, 112, 3\), not an encoded image"),
        (np.zeros(99, np.float32), "an array of float32"),
        (b"hello", "is no image: it begins with b'hello'"),
        (b"", "is empty"),
        (np.zeros(0, np.uint8), "is empty"),
        (7, "of type int"),
        (None, "of type NoneType"),
    ],
)
def test_items_that_are_no_encoded_image(tmp_path, item, message):
    with pytest.raises(ValueError, match=f"image 2 .*{message}") as error:
        write_bin(tmp_path / "set.bin", [*IMAGES[:2], item, IMAGES[3]], ISSAME)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_arrays_of_pixels_in_a_file_are_named(tmp_path):
    with pytest.raises(UserError, match="item 0 is an array of pixels; images must be encoded"):
        load(tmp_path, pickle.dumps(([np.zeros((8, 8, 3), np.uint8)] * 4, ISSAME), protocol=3))


@pytest.mark.parametrize(
    "start, kind",
    [
        (struct.pack("<II", 0xCED7230A, 28), "a file of training records"),
        (b"\xff\xd8\xff\xe0", "an image"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\x93NUMPY\x01", r"an array of NumPy \(.npy\)"),
        (b"PK\x03\x04", "an archive"),
    ],
)
def test_whole_files_of_another_kind_are_not_called_damaged(tmp_path, start, kind):
    with pytest.raises(UserError, match=rf"set\.bin is {kind}.*, not a verification set"):
        load(tmp_path, start + bytes(100))

"""NumPy's files: whole ones are read, damaged ones are one line."""

import numpy as np
import pytest

from arcface_gluon.arrays import load_npy, load_npz
from arcface_gluon.errors import UserError


def test_arrays_come_back(tmp_path):
    value = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", value)
    np.savez(tmp_path / "a.npz", x=value, y="text")
    assert np.array_equal(load_npy(tmp_path / "a.npy"), value)
    found = load_npz(tmp_path / "a.npz", ["x", "y"])
    assert np.array_equal(found["x"], value) and str(found["y"]) == "text"


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00\xff\xff{",
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3)}\n"),
        header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n") + b"cos\nsystem\n.",
        header(b"[" * 5000),
        header(b"{'descr': '<f4'}\n"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, content):
    for name, read in (("a.npy", load_npy), ("a.npz", lambda path: load_npz(path, ["x"]))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_archive_that_would_grow_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(1_000_000))
    with pytest.raises(UserError, match=r"a\.npz is not a whole"):
        load_npz(tmp_path / "a.npz", ["x"])
    with pytest.raises(UserError, match="cannot read"):
        load_npz(tmp_path / "none.npz", ["x"])

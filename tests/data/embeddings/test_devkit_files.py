"""Feature files: the devkit's bytes, memory maps, and every way in which a file can be bad."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from arcface_gluon.data.embeddings import devkit_files as f
from arcface_gluon.errors import UserError


def test_a_vector_has_the_devkits_bytes(tmp_path):
    f.write_feature(tmp_path / "x.bin", [1.0, -2.5, 3.0])
    content = (tmp_path / "x.bin").read_bytes()
    assert content == struct.pack("<iiii", 3, 1, 4, 5) + struct.pack("<fff", 1, -2.5, 3)
    np.testing.assert_array_equal(f.read_feature(tmp_path / "x.bin"), [1, -2.5, 3])


def test_a_matrix_has_the_servers_header_and_is_mapped(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(70000, 3))
    f.write_matrix(tmp_path / "m.bin", matrix)
    assert struct.unpack("<iiii", (tmp_path / "m.bin").read_bytes()[:16]) == (70000, 3, 12, 5)
    read = f.read_matrix(tmp_path / "m.bin")
    assert isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, matrix.astype(np.float32))
    with pytest.raises(UserError, match="one vector a file"):
        f.read_feature(tmp_path / "m.bin")


def test_many_files_make_one_array(tmp_path):
    vectors = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    paths = [tmp_path / f"{i}.bin" for i in range(4)]
    for path, vector in zip(paths, vectors):
        f.write_feature(path, vector)
    np.testing.assert_array_equal(f.read_features(paths).vectors, vectors)
    paths[1].unlink()
    with pytest.raises(UserError, match=r"1\.bin"):
        f.read_features(paths)
    some = f.read_features(paths, skip_missing=True)
    np.testing.assert_array_equal(some.vectors, vectors[[0, 2, 3]])
    assert some.kept.tolist() == [0, 2, 3] and some.missing == [str(paths[1])]
    f.write_feature(paths[2], [1.0, 2.0])
    with pytest.raises(UserError, match=r"2\.bin has 2 values, the files before it 5"):
        f.read_features(paths, skip_missing=True)
    with pytest.raises(UserError, match="none of the 1 feature files"):
        f.read_features([tmp_path / "no.bin"], skip_missing=True)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"short", "no header"),
        (struct.pack("<iiii", 4, 1, 4, 5) + b"\0" * 15, "cut short: 31 bytes, 4 x 1 values take 32"),
        (struct.pack("<iiii", 4, 1, 4, 5) + b"\0" * 17, "too long"),
        (struct.pack("<iiii", 4, 1, 4, 6) + b"\0" * 16, "not a feature file"),
        (struct.pack("<iiii", -4, 1, 4, 5), "not a feature file"),
        (b"\xff\xd8\xff\xe0" * 10, "not a feature file"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, content, words):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    for read in (f.read_feature, f.read_matrix):
        with pytest.raises(UserError, match=f"bad.bin.*{words}"):
            read(path)


def test_npy_files(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.ones((3, 2), np.float32))
    assert f.read_npy(path, 3).shape == (3, 2)
    with pytest.raises(UserError, match="3 rows, but the list names 4"):
        f.read_npy(path, 4)
    np.save(path, np.ones(3))
    with pytest.raises(UserError, match="one matrix"):
        f.read_npy(path)
    np.save(path, np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(UserError, match="not a whole .npy"):
        f.read_npy(path)
    np.save(path, np.ones((300, 2)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a whole .npy"):
        f.read_npy(path)
    with pytest.raises(UserError, match="cannot read"):
        f.read_npy(tmp_path / "none.npy")

"""Features that are there already, found for a list of images."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.data.embeddings.by_name import find_features
from arcface_gluon.data.embeddings.devkit_files import write_feature, write_matrix
from arcface_gluon.errors import UserError

NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4)


def write_npy(path, names=NAMES, index=True):
    np.save(path, VECTORS)
    if index:
        path.with_suffix(".txt").write_text("".join(f"{name}\tlabel\n" for name in names))
    return path


def write_folder(folder):
    for name, vector in zip(NAMES, VECTORS):
        write_feature(folder / f"{name}_net.bin", vector)
    return folder


def test_rows_are_found_by_name_and_mapped_where_all_are_wanted(tmp_path):
    path = write_npy(tmp_path / "x.npy")
    whole = find_features(path, NAMES)
    assert isinstance(whole.vectors, np.memmap) and whole.kept.tolist() == [0, 1, 2] and not whole.missing
    some = find_features(path, ["b/1.jpg", "c/9.jpg", "a/1.jpg"], skip_missing=True)
    np.testing.assert_array_equal(some.vectors, VECTORS[[2, 0]])
    assert some.kept.tolist() == [0, 2] and some.missing == ["c/9.jpg"]


def test_without_an_index_the_rows_are_the_lists(tmp_path):
    path = write_npy(tmp_path / "x.npy", index=False)
    np.testing.assert_array_equal(find_features(path, NAMES).vectors, VECTORS)
    with pytest.raises(UserError, match="has 3 rows, but the list names 2"):
        find_features(path, NAMES[:2])


def test_a_matrix_file_has_the_lists_rows(tmp_path):
    write_matrix(tmp_path / "x.bin", VECTORS)
    np.testing.assert_array_equal(find_features(tmp_path / "x.bin", NAMES).vectors, VECTORS)
    with pytest.raises(UserError, match="x.bin has 3 rows, but the list names 2 images"):
        find_features(tmp_path / "x.bin", NAMES[:2])


def test_files_of_a_folder(tmp_path):
    folder = write_folder(tmp_path / "features")
    some = find_features(folder, [*NAMES[:2], "c/9.jpg"], "_net.bin", skip_missing=True)
    np.testing.assert_array_equal(some.vectors, VECTORS[:2])
    assert [path.endswith("c/9.jpg_net.bin") for path in some.missing] == [True]


def test_bad_input_is_named(tmp_path):
    path, folder = write_npy(tmp_path / "x.npy"), write_folder(tmp_path / "features")
    for source, names, ending, message in (
        (path, [*NAMES, "c/9.jpg"], None, r"no feature of 1 of 4 images, the first is c/9.jpg.*--skip-missing"),
        (write_npy(tmp_path / "y.npy", ["a", "b", "a"]), ["a"], None, "y.txt names a twice"),
        (folder, NAMES, None, "such as _r100.bin"),
        (folder, ["c/9.jpg"], "_net.bin", r"c/9.jpg_net.bin: No such file.*--skip-missing"),
        (tmp_path / "x.txt", NAMES, None, "no folder and no .npy or .bin"),
    ):
        with pytest.raises(UserError, match=message):
            find_features(source, names, ending)
    with pytest.raises(UserError, match="no feature of 1 of 1"):
        find_features(path, ["c/9.jpg"], skip_missing=True)

"""Copies, their list, and the set without them."""

import numpy as np
import pytest
from helpers import tiny_jpeg

from arcface_gluon.data import FaceRecords, decode_image, write_training_set
from arcface_gluon.data.records.cleaning import Finding, find_copies, read_list, write_cleaned, write_list
from arcface_gluon.data.records.packing import Encoding, encode
from arcface_gluon.errors import UserError

A, B, C = (tiny_jpeg(i) for i in range(3))


@pytest.fixture
def records(tmp_path):
    same_pixels = encode(A, Encoding(kind="png")).data
    assert (decode_image(same_pixels) == decode_image(A)).all()
    images = [(A, 0), (B, 0), (same_pixels, 0), (C, 1), (C[:60], 1), (B, 1)]
    write_training_set(tmp_path / "set", images, (8, 8))
    return FaceRecords(tmp_path / "set")


def test_copies_are_found_by_their_pixels(records):
    found = {one.row: (one.reason, one.of) for one in find_copies(records)}
    assert found == {1: ("two identities", "1"), 2: ("copy", "1"), 4: ("damaged", ""), 5: ("two identities", "0")}


def test_of_two_identities_the_nearer_one_keeps_the_image(records):
    angles = np.array([30, 80, 30, 20, np.nan, 25], np.float32)
    found = {one.row: one for one in find_copies(records, angles)}
    assert sorted(found) == [1, 2, 4] and found[1] == Finding(1, "two identities", 80.0, "1")


def test_a_list_says_what_is_left_out(records, tmp_path):
    write_list(tmp_path / "a.csv", records, sorted(find_copies(records)))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "key,label,name,reason,angle,of,of_angle" and lines[2] == "3,0,,copy,,1,"
    assert read_list(tmp_path / "a.csv", records).tolist() == [1, 2, 4, 5]
    (tmp_path / "a.csv").write_text("\n".join(lines[2:]))  # a line taken out stays in the set
    assert write_cleaned(records, tmp_path / "out", read_list(tmp_path / "a.csv", records)) == (3, 2, 3)
    cleaned = FaceRecords(tmp_path / "out")
    assert [cleaned.read(i) for i in range(3)] == [(A, 0), (B, 0), (C, 1)]
    assert (tmp_path / "out/skipped.txt").read_text() == "3\n5\n6\n"
    (tmp_path / "a.csv").write_text("99,0\n")
    with pytest.raises(UserError, match="line 1: '99' is no key"):
        read_list(tmp_path / "a.csv", records)

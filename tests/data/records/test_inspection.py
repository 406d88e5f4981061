"""What `inspect` tells of sets whose content is known."""

import cv2
import pytest
from helpers import tiny_jpeg

from arcface_gluon.data import FaceRecords, write_bin, write_training_set
from arcface_gluon.data.records.inspection import (
    inspect_pairs,
    inspect_records,
    sheet_of_pairs,
    sheet_of_records,
    write_sheet,
)
from arcface_gluon.data.records.packing import Encoding, encode
from arcface_gluon.errors import UserError


def test_a_training_set(tmp_path):
    images = [(tiny_jpeg(k, i), k) for k, n in enumerate([1, 3, 12]) for i in range(n)]
    images[2] = (encode(images[2][0], Encoding(kind="png")).data, 1)
    images[3] = (images[3][0][:50], 1)
    images[4] = (images[4][0][:-20], 2)  # with a whole header
    images += [(images[-1][0], 4)] * 501
    write_training_set(tmp_path / "set", images, (8, 8), identities=6)
    facts = inspect_records(FaceRecords(tmp_path / "set"))
    assert (facts["images"], facts["identities"], facts["with_images"]) == (517, 6, 4)
    spread = facts["images_per_identity"]
    assert (spread["smallest"], spread["median"], spread["largest"]) == (1, 7.5, 501)
    assert spread["identities"] == {"1": 1, "2 to 4": 1, "10 to 19": 1, "500 or more": 1}
    assert facts["encodings"] == {"jpg": 515, "png": 1} and facts["sizes"] == {"8x8": 516, "unreadable": 1}
    empty, damaged = facts["faults"]
    assert "2 of 6 identities have no images" in empty
    assert "2 of the 517 images looked at cannot be decoded, the first has the key 4;" in damaged
    rows = sheet_of_records(FaceRecords(tmp_path / "set"))
    assert [title for title, _ in rows] == ["0", "1", "2", "4"] and [len(images) for _, images in rows] == [
        1,
        3,
        10,
        10,
    ]
    write_sheet(tmp_path / "sheet.png", rows)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (4 * 112, 150 + 10 * 112, 3)
    with pytest.raises(UserError, match="a .jpg or a .png"):
        write_sheet(tmp_path / "sheet.gif", rows)


def test_a_verification_set(tmp_path):
    images = [tiny_jpeg(i % 7) for i in range(40)]
    write_bin(tmp_path / "a.bin", images, [True, False] * 9 + [True, True])
    facts = inspect_pairs(tmp_path / "a.bin", (8, 8))
    assert (facts["pairs"], facts["genuine"], facts["images"]) == (20, 11, 7)
    assert facts["uneven_folds"] == [10] and facts["faults"] == []
    assert [title for title, _ in sheet_of_pairs(tmp_path / "a.bin")][:2] == ["fold 1 same", "fold 1 others"]
    write_bin(tmp_path / "b.bin", [tiny_jpeg(1)[:40], tiny_jpeg(0)], [True])
    assert "too few for 10-fold" in inspect_pairs(tmp_path / "b.bin")["faults"][0]

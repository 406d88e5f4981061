"""Training records as a folder, and back."""

import cv2
import numpy as np
import pytest

from arcface_gluon.data import FaceRecords, write_training_set
from arcface_gluon.data.records.unpacking import unpack_records
from arcface_gluon.errors import UserError

IMAGES = [
    cv2.imencode(".png" if i == 2 else ".jpg", np.full((8, 8, 3), 60 * i, np.uint8))[1].tobytes() for i in range(4)
]


def test_every_image_lies_with_its_identity(tmp_path):
    write_training_set(tmp_path / "set", zip(IMAGES, [0, 0, 1, 1]), (8, 8))
    assert unpack_records(tmp_path / "set/train.rec", tmp_path / "out") == (4, 2, 0)
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("0*/*.*"))
    assert names == ["000000/1.jpg", "000000/2.jpg", "000001/3.png", "000001/4.jpg"]
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == IMAGES
    lines = [f"{i + 1}\t{i // 2}\t{name}\n" for i, name in enumerate(names)]
    assert (tmp_path / "out/images.lst").read_text() == "".join(lines)
    with pytest.raises(UserError, match="there already"):
        unpack_records(tmp_path / "set", tmp_path / "out")


def test_images_of_no_identity_are_counted(tmp_path):
    write_training_set(tmp_path / "set", zip(IMAGES, [0, 0, 1, 1]), (8, 8))
    (tmp_path / "set/property").write_text("1,8,8\n")
    assert len(FaceRecords(tmp_path / "set")) == 4
    assert unpack_records(tmp_path / "set", tmp_path / "out") == (2, 1, 2)

"""Detectors by the path of an .onnx: YuNet by OpenCV, insightface's by ONNX Runtime, others refused in a line."""

import cv2
import numpy as np
import pytest

from arcface_gluon.detect import open_detector
from arcface_gluon.errors import UserError

pytest.importorskip("onnx")


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (224, 160), interpolation=cv2.INTER_CUBIC)


def test_yunet_finds_what_opencv_runs(tmp_path):
    from detector_networks import yunet

    image = np.zeros((128, 192, 3), np.uint8)
    image[32:48, 80:96] = 255  # in half the size the cell of 8 pixels at 40, 16
    (face,) = open_detector(str(yunet(tmp_path / "yunet.onnx")), min_face=20).detect(image)
    assert face.score == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(face.box, [64, 16, 112, 64], atol=1e-3)
    expected = [[72, 24], [104, 24], [88, 40], [72, 56], [104, 56]]
    np.testing.assert_allclose(face.landmarks, expected, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [{}, {"batched": True}, {"sides": (80, 112)}, {"strides": (8, 16, 32, 64, 128), "each": 1, "sides": (320, 448)}],
)
def test_insightfaces_detectors_give_what_insightface_gives(tmp_path, picture, options, monkeypatch):
    # Every box: theirs counts sides with a pixel more where it leaves out those that overlap.
    monkeypatch.setattr("arcface_gluon.detect.scrfd._OVERLAP", 1.0)
    reference = pytest.importorskip("insightface.model_zoo.scrfd")
    from detector_networks import scrfd

    path = scrfd(tmp_path / "net.onnx", **options)
    theirs = reference.SCRFD(str(path))
    theirs.prepare(-1, input_size=(224, 160), det_thresh=0.5, nms_thresh=1.0)
    boxes, points = theirs.detect(picture[..., ::-1])
    faces = open_detector(str(path), min_face=16).detect(picture)
    assert len(faces) == len(boxes) > 2
    for face, box, five in zip(faces, boxes, points):
        np.testing.assert_allclose(face.box, box[:4], atol=1e-2)
        np.testing.assert_allclose(face.landmarks, five, atol=1e-2)
        assert face.score == pytest.approx(float(box[4]), abs=1e-4)


def test_other_networks_are_refused_in_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    from detector_networks import scrfd

    (tmp_path / "text.onnx").write_text("no network")
    cases = {
        "text.onnx": "damaged",
        scrfd(tmp_path / "boxes.onnx", widths=(1, 4)).name: "no landmarks",
        scrfd(tmp_path / "one.onnx", strides=(8,)).name: "3 outputs",
        scrfd(tmp_path / "wide.onnx", widths=(1, 4, 12)).name: "its outputs are",
    }
    for name, words in cases.items():
        with pytest.raises(UserError, match=words) as told:
            open_detector(str(tmp_path / name))
        assert name in str(told.value) and "\n" not in str(told.value)

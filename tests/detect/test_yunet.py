import cv2
import numpy as np

from arcface_gluon.detect.yunet import YuNet


class Network:
    """OpenCV's FaceDetectorYN as it answers: two faces in an image of the size that was set."""

    def setInputSize(self, size):
        self.size = size

    def detect(self, image):
        assert image.shape[1::-1] == self.size and tuple(image[0, 0]) == (30, 20, 10)  # BGR
        faces = np.zeros((2, 15), np.float32)
        faces[:, :4], faces[:, 4:14], faces[:, 14] = [10, 5, 20, 30], np.arange(10), [0.8, 0.9]
        return 1, faces


def test_faces_are_in_the_images_own_pixels(monkeypatch):
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Network(), raising=False)
    image = np.full((80, 160, 3), (10, 20, 30), np.uint8)
    first, second = YuNet("net.onnx", min_face=20).detect(image)  # looked at in half the size
    assert first.score > second.score
    assert first.box.tolist() == [20, 10, 60, 70]
    assert first.landmarks.tolist() == [[0, 2], [4, 6], [8, 10], [12, 14], [16, 18]]

"""MTCNN against float64 NumPy and, where they are installed, against facenet_pytorch on real photographs."""

import importlib.util
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from facenet_reference import facenet_mtcnn

from arcface_gluon.data import decode_image, read_bin
from arcface_gluon.errors import UserError
from arcface_gluon.models.formats.mtcnn_weights import package_folder, read_arrays
from arcface_gluon.models.mtcnn import ONet, PNet, RNet


def numpy_forward(net, x):
    """Outputs of a network for one image (3, H, W), from its parameters alone, in float64."""

    def layer(block, x):
        values = {name.rpartition("_")[2]: p.data().asnumpy().astype(np.float64) for name, p in block.params.items()}
        if "alpha" in values:
            return np.where(x > 0, x, values["alpha"].reshape(-1, *[1] * (x.ndim - 1)) * x)
        weight, bias = values["weight"], values["bias"]
        if weight.ndim == 2:
            return weight @ x.reshape(-1) + bias
        side = weight.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
        return np.einsum("oikl,ihwkl->ohw", weight, windows) + bias[:, None, None]

    def pool(x, side):
        sizes = [1 + -((n - side) // -2) for n in x.shape[1:]]
        corners = [[x[:, 2 * i : 2 * i + side, 2 * j : 2 * j + side] for j in range(sizes[1])] for i in range(sizes[0])]
        return np.array([[part.max(axis=(1, 2)) for part in row] for row in corners]).transpose(2, 0, 1)

    for block in net.trunk:
        x = layer(block, x) if list(block.params) else pool(x, block._kwargs["kernel"][0])
    face = np.exp(layer(net.face, x))
    heads = [net.box, net.points] if net.points else [net.box]
    return [*(layer(head, x) for head in heads), face / face.sum(axis=0)]


@pytest.mark.parametrize("kind, sides", [(PNet, (12, 12)), (PNet, (31, 26)), (RNet, (24, 24)), (ONet, (48, 48))])
def test_networks_agree_with_numpy(kind, sides):
    mx.random.seed(0)
    net = kind()
    net.initialize(mx.init.Xavier())
    for parameter in net.collect_params().values():
        if parameter.name.endswith(("alpha", "bias")):
            parameter.set_data(mx.nd.random.uniform(-0.3, 0.6, parameter.shape))
    x = np.random.default_rng(1).uniform(-1, 1, (3, *sides))
    got = net(mx.nd.array(x[None]))
    for ours, expected in zip(got, numpy_forward(net, x)):
        np.testing.assert_allclose(ours.asnumpy()[0], expected, atol=2e-6)


def packed(path, arrays):
    """A file as mtcnn 1.0.0 has them."""
    frame, joblib = pytest.importorskip("lz4.frame"), pytest.importorskip("joblib")
    plain = path.with_suffix(".pickle")  # by the ending .lz4 joblib would compress itself
    joblib.dump(arrays, plain)
    path.write_bytes(frame.compress(plain.read_bytes(), store_size=False))
    return path


def test_arrays_are_read_without_unpickling(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 10), (10,), (1, 1, 10), (10,), (576, 128), (300,), (1,)]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    read = read_arrays(packed(tmp_path / "net.lz4", arrays))
    assert [a.shape for a in read] == shapes and all((a == b).all() for a, b in zip(read, arrays))


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("content", [[Hostile()], [np.zeros(3)], {"a": np.zeros(3, np.float32)}, None])
def test_other_files_are_refused_in_one_line(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = packed(tmp_path / "net.lz4", content)
    if content is None:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="net.lz4"):
        assert not read_arrays(path), "no arrays were read"
        raise UserError("net.lz4 has none")
    assert not (tmp_path / "touched").exists()


def photographs():
    """Those that installed packages carry."""
    for package, names in (("skimage", ["data/astronaut.png"]), ("insightface", ["t1.jpg", "Tom_Hanks_54745.png"])):
        spec = importlib.util.find_spec(package)
        for name in names if spec else ():
            name = name if "/" in name else f"data/images/{name}"
            path = Path(spec.submodule_search_locations[0]) / name
            if path.is_file():
                yield path


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = np.prod(np.maximum(sides, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


@pytest.mark.slow
@pytest.mark.parametrize("min_face", [20, 40])
def test_photographs_give_what_facenet_pytorch_finds(min_face):
    for name in ("mtcnn", "facenet_pytorch", "torch"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the packages mtcnn, facenet-pytorch and torch; {name} is not installed")
    from arcface_gluon.detect import open_detector

    paths = list(photographs())
    if not paths:
        pytest.skip("needs photographs of scikit-image or insightface, of which none is installed")
    assert package_folder().is_dir()
    ours, reference = open_detector(min_face=min_face), facenet_mtcnn()(
        keep_all=True, min_face_size=min_face, select_largest=False, thresholds=[0.6, 0.7, 0.7]
    )  # fmt: skip
    for path in paths:
        image = decode_image(path.read_bytes())
        boxes, scores, points = reference.detect(image, landmarks=True)
        faces = ours.detect(image)
        assert len(faces) == len(boxes) > 0, path
        for face, box, score, five in zip(faces, boxes, scores, points):
            assert overlap(face.box, np.asarray(box, np.float64)) >= 0.99
            assert np.abs(face.landmarks - five).max() <= 0.5 and abs(face.score - score) < 1e-3


@pytest.mark.parametrize("name", ["retina", "missing/folder", "net.onnx"])
def test_unknown_detectors_are_told(name):
    from arcface_gluon.detect import open_detector

    with pytest.raises(UserError, match=name):
        open_detector(name)


def test_faces_pasted_into_larger_pictures_are_found_there(orl):
    """ORL's faces at known places: found where they are, once each, wherever mtcnn's weights are installed."""
    if importlib.util.find_spec("mtcnn") is None:
        pytest.skip("needs the weights of the package mtcnn, which is not installed")
    from arcface_gluon.detect import open_detector

    detector, rng = open_detector(min_face=40), np.random.default_rng(0)
    for encoded in read_bin(orl / "orl.bin")[0][:40:8]:
        picture = np.full((300, 400, 3), 90, np.uint8)
        top, left = rng.integers(20, 160), rng.integers(20, 260)
        picture[top : top + 112, left : left + 112] = decode_image(encoded, (112, 112))
        (face,) = detector.detect(picture)
        middle = (face.box[:2] + face.box[2:]) / 2 - [left, top]
        assert np.abs(middle - 56).max() < 25 and face.score > 0.9
        points = face.landmarks - [left, top]
        assert points[0, 0] < points[2, 0] < points[1, 0] and points[0, 1] < points[2, 1] < points[3, 1]

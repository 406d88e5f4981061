"""ONNX files as their users read them: ONNX Runtime, OpenCV's dnn, and insightface's ArcFaceONNX."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers import optional
from small_networks import TINY, images, randomise

import arcface_gluon as ag
from arcface_gluon.errors import UserError
from arcface_gluon.models.formats.onnx_file import onnx_model, run_onnx

onnx = optional("onnx")
onnxruntime = optional("onnxruntime")

SMALL = {"width": 0.125, "units": (1, 2, 1, 1)}
NETWORKS = {
    "E": ("r18", SMALL),
    "SE": ("r18", {**SMALL, "se": True}),
    "F": ("r18", {**SMALL, "output": "F"}),
    "H": ("r18", {**SMALL, "output": "H"}),
    "J": ("r18", {**SMALL, "output": "J", "stem_stride": 2}),
    "mobilefacenet": ("mobilefacenet", {"blocks": (1, 1, 2, 1)}),
    "mobilefacenet-2": ("mobilefacenet", {"blocks": (2, 1, 1, 1)}),
}


@pytest.fixture(params=NETWORKS, scope="module")
def net(request):
    name, options = NETWORKS[request.param]
    return randomise(ag.get_model(name, 16, options))


def embeddings(net, batch):
    return net(ag.runtime.import_mxnet().nd.array(batch, dtype="uint8")).asnumpy()


def content(net, **options):
    return onnx_model(net, (112, 112), **options).SerializeToString()


def same(got, want, tolerance=1e-4):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("count", [1, 3])
def test_onnx_runtime_gives_our_embeddings(net, count):
    batch = images(count, 112)
    same(run_onnx(content(net), batch), embeddings(net, batch))


@pytest.mark.parametrize("raw", [False, True])
def test_insightface_gives_our_embeddings(net, raw, tmp_path):
    """ArcFaceONNX finds by node names whether to normalise; if it did so twice, the cosine would fall to 0.5."""
    client = optional("insightface.model_zoo").ArcFaceONNX
    file = tmp_path / "net.onnx"
    ag.export(net, file, raw=raw)
    reader = client(str(file))
    assert reader.input_size == (112, 112)
    assert (reader.input_mean, reader.input_std) == ((127.5, 127.5) if raw else (0.0, 1.0))
    batch = images(3, 112)
    bgr = [np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1]) for image in batch]
    want = embeddings(net, batch)
    same(reader.get_feat(bgr), want, 1e-3)
    same(reader.get_feat(bgr[0]), want[:1], 1e-3)


@pytest.mark.parametrize("options", [{}, {"normalise": True}, {"float16": True}], ids=str)
def test_opencv_gives_our_embeddings(net, options):
    reader = cv2.dnn.readNetFromONNX(np.frombuffer(content(net, **options), np.uint8))
    batch = images(1, 112)
    want = embeddings(net, batch)
    if options.get("normalise"):
        want = want / np.linalg.norm(want, axis=1, keepdims=True)
    reader.setInput(batch.astype(np.float32))
    same(reader.forward(), want, 1e-2 if "float16" in options else 1e-3)


def test_unequal_sides(tmp_path):
    net = randomise(ag.get_model("r18", 16, {**SMALL, "input_size": (48, 32)}))
    batch = images(2, 48)[..., :32]
    assert ag.export(net, tmp_path / "net.onnx", images=batch).difference < 1e-4


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_every_opset_is_valid_and_normalises(opset):
    net = randomise(ag.get_model("r18", **TINY))
    batch = images(3, TINY["input_size"])
    model = onnx_model(net, (32, 32), normalise=True, opset=opset)
    assert [entry.version for entry in model.opset_import] == [opset]
    got = run_onnx(model.SerializeToString(), batch)
    want = embeddings(net, batch)
    same(got, want / np.linalg.norm(want, axis=1, keepdims=True))


def test_the_graph_is_what_other_tools_expect(net):
    model = onnx_model(net, (112, 112), metadata={"loss": "arcface"})
    assert model.opset_import[0].version == 13 and model.metadata_props[0].value == "arcface"
    (taken,), (given,) = model.graph.input, model.graph.output
    shapes = [[side.dim_param or side.dim_value for side in v.type.tensor_type.shape.dim] for v in (taken, given)]
    assert shapes == [["N", 3, 112, 112], ["N", 16]]
    names = [node.name for node in model.graph.node[:8]]
    assert names[:2] == ["Sub_mean", "Mul_scale"]
    values = {value.name: onnx.numpy_helper.to_array(value) for value in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "PRelu":
            assert values[node.input[1]].shape[1:] == (1, 1)
        if node.op_type == "BatchNormalization":  # what is left stands before a padded convolution
            (reader,) = [other for other in model.graph.node if node.output[0] in other.input]
            assert reader.op_type == "Conv"
    raw = onnx_model(net, (112, 112), raw=True)
    assert not [node.name for node in raw.graph.node[:8] if node.name.startswith(("Sub", "Mul", "_minus", "_mul"))]


def test_half_weights_halve_the_file():
    net = randomise(ag.get_model("r18", 16, SMALL))
    whole, half = content(net), content(net, float16=True)
    assert len(half) < 0.6 * len(whole)
    batch = images(3, 112)
    same(run_onnx(half, batch), embeddings(net, batch), 1e-2)
    net.conv0.weight.set_data(net.conv0.weight.data() * 1e6)
    with pytest.raises(UserError, match="beyond float16"):
        content(net, float16=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options", [("r18", {}), ("r18", {"se": True}), ("r50", {}), ("mobilefacenet", {})], ids=str
)
def test_whole_networks(name, options, tmp_path):
    """Those of the paper, by every client: one image, and three."""
    net = randomise(ag.get_model(name, 512, options))
    batch, file = images(3, 112), tmp_path / "net.onnx"
    want = embeddings(net, batch)
    file.write_bytes(content(net))
    same(run_onnx(file.read_bytes(), batch), want, 1e-3)
    same(run_onnx(file.read_bytes(), batch[:1]), want[:1], 1e-3)
    reader = cv2.dnn.readNetFromONNX(str(file))
    reader.setInput(batch[:1].astype(np.float32))
    same(reader.forward(), want[:1], 1e-3)
    client = optional("insightface.model_zoo").ArcFaceONNX(str(file))
    bgr = [np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1]) for image in batch]
    same(client.get_feat(bgr), want, 1e-3)
    same(client.get_feat(bgr[0]), want[:1], 1e-3)


@pytest.mark.slow
def test_shapes_of_r100():
    model = onnx_model(randomise(ag.get_model("r100")), (112, 112))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    assert [shapes[f"stage{s}_unit1__plus0"][2].dim_value for s in (1, 2, 3, 4)] == [56, 28, 14, 7]
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 1 + 2 * 49 + 4

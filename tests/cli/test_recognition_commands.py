"""compare, enroll, identify, search, cluster and threshold from the command line, with a small network."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from squares import Squares, photograph

from arcface_gluon.data import write_bin
from arcface_gluon.detect.faces import Face
from arcface_gluon.recognition import recogniser


class Painted(Squares):
    """Squares whose crops hold the picture around them, so that embeddings differ."""

    def detect(self, image):
        return [
            Face(face.box, face.score, ((face.landmarks - face.box[:2]) * 1.6 + face.box[:2] - 12).astype(np.float32))
            for face in super().detect(image)
        ]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Two small exported networks."""
    import mxnet as mx

    import arcface_gluon as ag
    from arcface_gluon.models.load import export_model

    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two")):
        mx.random.seed(seed)
        net = ag.get_model("r18", embedding_size=16, options={"width": 0.125, "units": [1, 1, 1, 1]})
        net.initialize(ctx=mx.cpu())
        export_model(net, folder / name)
    return folder


@pytest.fixture
def ready(tmp_path, monkeypatch, model):
    """A folder with people's photographs, a set of pairs, and --model."""
    monkeypatch.setattr(recogniser, "open_detector", lambda *_: Painted())
    for i in range(3):
        photograph(tmp_path / "people" / "ann" / f"{i}.png", (10 + 20 * i, 10, 40))
        photograph(tmp_path / "people" / "bob" / f"{i}.png", (60, 20 + 5 * i, 30))
    photograph(tmp_path / "people" / "bob" / "nobody.png")
    photograph(tmp_path / "two.png", (10, 10, 40), (80, 20, 50))
    random = np.random.default_rng(0)
    images = [cv2.imencode(".png", random.integers(0, 256, (112, 112, 3)))[1].tobytes() for _ in range(8)]
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    write_bin(tmp_path / "set.bin", [images[i] for pair in pairs for i in pair], [i // 2 == j // 2 for i, j in pairs])
    return ["--model", str(model / "one-symbol.json"), "--detector", "some.onnx"]


def test_from_pairs_to_verdicts(ready, command, tmp_path, model):
    said = command("threshold", "--bin", "set.bin", "--far", "0.5", "0.1", "1e-3", "--out", "t.json", *ready[:2]).stdout
    assert "24 of them impostors" in said and "4 people" in said and "too few impostor pairs for 0.001" in said
    first, second = "people/ann/0.png", "people/bob/0.png"
    said = command("compare", first, second, *ready, "--threshold", "t.json", "--json", "c.json").stdout
    assert "the same person" in said or "different people" in said
    assert "FAR 0.1 on set (24 impostor pairs, measured with this model" in said
    result = json.loads((tmp_path / "c.json").read_text())
    assert result["same"] in (True, False) and result["threshold"]["far"] == 0.1 and len(result["boxes"]) == 2
    said = command("compare", first, first, *ready).stdout
    assert "angle 0.00°" in said and "person" not in said and "no verdict: a threshold needs" in said
    other = ["--model", str(model / "two-symbol.json"), *ready[2:]]
    for words, told in [
        ((first, second, "--threshold", "t.json", *other), "t.json was measured with another model"),
        ((first, second, "--threshold", "t.json", "--no-flip", *ready), "t.json was measured with another model"),
        ((first, second, "--threshold", "t.json", "--far", "1e-4", *ready), "no threshold at FAR 0.0001"),
        ((first, second, "--far", "1e-4", *ready), "--threshold"),
        ((first, "people/bob/nobody.png", *ready), "no face was found in people/bob/nobody.png"),
        ((first, "gone.png", *ready), "gone.png"),
        ((first, second, "--aligned", *ready), "people/ann/0.png has 90x160 pixels"),
    ]:
        done = command("compare", *words, check=2)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
        assert told in done.stderr and len(lines) == 1, done.stderr


def test_from_a_folder_to_names(ready, command, tmp_path, model):
    done = command("enroll", "people", *ready, "--quiet", check=2)
    assert "gallery.npz: 6 faces of 2 people" in done.stdout
    assert "no face was found in people/bob/nobody.png" in done.stdout
    assert "gallery.npz is written, without 1 of 7 photographs; replace" in done.stderr
    (tmp_path / "people" / "cy.png").write_text("no image")  # now one of the people has no other photograph
    done = command("enroll", "people", *ready, "--quiet", check=2)
    assert "without 2 of 8 photographs, and has no face of cy; replace" in done.stderr
    for path in ("cy.png", "bob/nobody.png"):
        (tmp_path / "people" / path).unlink()
    assert "6 faces of 2 people, 6 of them from before" in command("enroll", "people", *ready, "--quiet").stdout
    command("threshold", "--bin", "set.bin", "--far", "0.1", "--out", "t.json", *ready[:2], "--quiet")
    said = command(
        "identify",
        "two.png",
        "people/ann/1.png",
        "people/bob/1.png",
        *ready,
        "--threshold",
        "t.json",
        "--json",
        "i.json",
        "--draw",
        "drawn",
    ).stdout
    assert "two.png: 2 faces" in said and "nearest ann 0.0° (ann/1.png)" in said
    results = json.loads((tmp_path / "i.json").read_text())
    assert results["people/ann/1.png"][0]["person"] == "ann" and len(results["two.png"]) == 2
    assert cv2.imread(str(tmp_path / "drawn" / "two.jpg")).shape == (90, 160, 3)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["1.jpg", "1_2.jpg", "two.jpg"]
    before = (tmp_path / "two.png").read_bytes()
    done = command("identify", "two.png", *ready, "--draw", ".", check=2)
    assert "choose another folder" in done.stderr and before == (tmp_path / "two.png").read_bytes()
    (tmp_path / "text.png").write_text("no image")
    done = command("identify", "text.png", "two.png", *ready, "--json", "j.json", check=2)
    assert "1 of 2 photographs could not be used; the first: text.png" in done.stderr
    assert list(json.loads((tmp_path / "j.json").read_text())) == ["two.png"]
    said = command("search", "people/bob/2.png", *ready, "--top", "2").stdout
    assert len(said.splitlines()) == 3 and all("  bob/" in line for line in said.splitlines()[1:])
    # What cannot be used is told, and the others are looked for.
    photographs = ["gone.png", "people/bob/2.png", "text.png"]
    done = command("search", *photographs, *ready, "--top", "1", "--json", "s.json", check=2)
    assert "cannot read gone.png" in done.stdout and "people/bob/2.png: most alike of" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("arcface-gluon: 2 of 3 photographs could not be used; the first:")
    assert list(json.loads((tmp_path / "s.json").read_text())) == ["people/bob/2.png"]
    assert "2 of 2 photographs" in command("search", "gone.png", "text.png", *ready, check=2).stderr
    done = command("search", "gone.png", *ready, check=2)
    assert done.stderr.splitlines()[-1].startswith("arcface-gluon: cannot read gone.png") and not done.stdout
    other = ["--model", str(model / "two-symbol.json"), *ready[2:]]
    for name in ("identify", "search"):
        done = command(name, "two.png", *other, check=2)
        assert "gallery.npz was enrolled with another model" in done.stderr


def test_search_among_the_embeddings_of_embed(ready, command, tmp_path, model):
    for i in range(4):
        photograph(tmp_path / "crops" / f"{i}.png", (10 + 10 * i, 20, 60), sides=(112, 112))
    command("embed", "crops", *ready[:2], "--out", "faces.npy", "--quiet")
    said = command("search", "crops/2.png", "--in", "faces.npy", "--aligned", *ready).stdout
    assert "2.png" in said.splitlines()[1] and "cosine 1.0000" in said
    done = command("search", "crops/2.png", "--in", "faces.npy", "--aligned", "--no-flip", *ready, check=2)
    assert "faces.npy was made with another model" in done.stderr
    done = command("search", "crops/2.png", "--in", "faces.txt", "--aligned", *ready, check=2)
    assert "--in faces.txt is neither a gallery" in done.stderr


def test_clusters_as_csv_and_folders(ready, command, tmp_path, monkeypatch):
    words = ("cluster", "people", *ready, "--quiet")
    said = command(*words, "--angle", "20", "--folders", "out").stdout
    rows = list(csv.DictReader((tmp_path / "clusters.csv").open()))
    assert len(rows) == 6 and f"in {len({row['cluster'] for row in rows})} clusters" in said
    assert len(list((tmp_path / "out").rglob("*.png"))) == 6 and "beside the folders" in said
    assert "there already" in command(*words, "--angle", "20", "--folders", "out", check=2).stderr
    deep = "/".join(["p" * 200, "q" * 200])
    photograph(tmp_path / "far" / deep / "1.png", (10, 10, 40))
    command("cluster", "far", *ready, "--quiet", "--angle", "20", "--folders", "deep")
    assert [path.name[-12:] for path in (tmp_path / "deep").rglob("*.png")] == ["qq_1.png.png"]
    assert "--threshold FILE, or --angle" in command(*words, check=2).stderr
    command("enroll", "people", *ready, "--quiet", check=2)  # without a photograph that has no face
    monkeypatch.setattr(recogniser, "open_detector", None)  # of a gallery no photograph is looked at
    said = command("cluster", "gallery.npz", *ready, "--angle", "20", "--method", "dbscan").stdout
    assert "6 faces in" in said


def test_without_a_model_the_cure_is_told(command, tmp_path):
    photograph(tmp_path / "a.png", (10, 10, 40))
    done = command("compare", "a.png", "a.png", check=2)
    assert "there is no model: give --model" in done.stderr and "make interop" in done.stderr

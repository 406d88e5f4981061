"""From photographs to answers, with a detector that finds what was painted and a small network."""

from __future__ import annotations

import resource

import numpy as np
import pytest
from helpers import TINY  # noqa: F401  (keeps helpers on the path)
from squares import Squares, photograph

import arcface_gluon as ag
from arcface_gluon.errors import UserError
from arcface_gluon.protocols.thresholds import calibrate
from arcface_gluon.recognition import Gallery, PhotographError, Recogniser, Thresholds, cluster, compare, enroll
from arcface_gluon.recognition.clusters import agreement
from arcface_gluon.recognition.gallery import Entry
from arcface_gluon.recognition.identification import identify
from arcface_gluon.training.interrupt import Interrupted


@pytest.fixture(scope="session")
def small_net():
    import mxnet as mx

    mx.random.seed(0)
    net = ag.get_model("r18", embedding_size=16, options={"width": 0.125, "units": [1, 1, 1, 1]})
    net.initialize(ctx=mx.cpu())
    return net


@pytest.fixture
def recogniser(small_net):
    Squares.looked_at = 0
    return Recogniser(small_net, Squares())


def test_faces_come_with_crops_and_embeddings_the_largest_first(recogniser, tmp_path):
    photograph(tmp_path / "a.png", (10, 10, 30), (100, 20, 50))
    faces = recogniser.faces(tmp_path / "a.png")
    assert [face.box[0] for face in faces] == [100, 10]
    assert faces[0].crop.shape == (112, 112, 3) and (faces[0].crop[5:-5, 5:-5] == (0, 255, 0)).all()
    alone = recogniser.embed([faces[1].crop])[0]
    np.testing.assert_allclose(faces[1].embedding, alone, atol=1e-6)
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-6)
    same = recogniser.faces((tmp_path / "a.png").read_bytes(), "a")
    np.testing.assert_array_equal(same[0].embedding, faces[0].embedding)


def test_large_photographs_are_looked_at_smaller_and_cut_as_they_are(small_net, tmp_path):
    photograph(tmp_path / "a.png", (400, 200, 300), sides=(900, 1600))
    face = Recogniser(small_net, Squares(), longest=400).largest(tmp_path / "a.png")
    np.testing.assert_allclose(face.box, [400, 200, 700, 500], atol=4)
    assert face.crop[5:-5, 5:-5, 1].min() > 250


def test_crops_that_are_aligned_are_taken_as_they_are(recogniser, tmp_path):
    photograph(tmp_path / "crop.png", (20, 20, 60), sides=(112, 112))
    face = recogniser.aligned(str(tmp_path / "crop.png"))
    assert Squares.looked_at == 0 and face.crop.shape == (112, 112, 3)
    photograph(tmp_path / "photo.png", (20, 20, 60))
    with pytest.raises(PhotographError, match="photo.png has 90x160 pixels.*arcface-gluon align`"):
        recogniser.aligned(str(tmp_path / "photo.png"))


def test_photographs_without_use_are_named(recogniser, tmp_path):
    photograph(tmp_path / "nobody.png")
    (tmp_path / "text.jpg").write_text("no image")
    for name, told in (
        ("nobody.png", "no face was found"),
        ("text.jpg", "cannot be used"),
        ("gone.jpg", "cannot read"),
    ):
        with pytest.raises(PhotographError, match=f"{told}.*{name}|{name}.*{told}"):
            recogniser.largest(tmp_path / name)
    assert recogniser.faces(tmp_path / "nobody.png") == []


def test_likeness_and_verdicts():
    a, b = np.array([1.0, 0, 0]), np.array([3.0, 4.0, 0])
    assert compare(a, b).cosine == pytest.approx(0.6) and compare(a, b).same is None
    assert compare(a, b).angle == pytest.approx(53.1301, abs=1e-4)
    scores = np.linspace(0.5, 3.5, 100)
    (point,) = calibrate(scores, np.zeros(100, bool), [0.1])  # squared distance 0.803, cosine 0.598
    assert compare(a, b, point).same is True
    assert compare(a, np.array([0.59, np.sqrt(1 - 0.59**2), 0]), point).same is False


def people(root):
    """Folders of two people, whose squares have other sides and places, and a photograph without a face."""
    for i in range(3):
        photograph(root / "ann" / f"{i}.png", (10 + 5 * i, 10, 40))
        photograph(root / "bob" / f"{i}.png", (60, 20 + 5 * i, 30), (5, 5, 8 + i))
    photograph(root / "bob" / "nobody.png")


def test_a_folder_is_enrolled_once(recogniser, tmp_path):
    people(tmp_path / "in")
    done = enroll(recogniser, tmp_path / "in", tmp_path / "g.npz")
    assert done.gallery.people == ["ann", "bob"] and len(done.gallery) == 6
    assert [name for name, _ in done.left_out] == ["bob/nobody.png"] and len(done.several) == 3
    looked = Squares.looked_at
    photograph(tmp_path / "in" / "ann" / "1.png", (70, 10, 40))
    again = enroll(recogniser, tmp_path / "in", tmp_path / "g.npz")
    assert Squares.looked_at == looked + 2 and again.before == 5  # what is new, and what had no face
    read = Gallery.read(tmp_path / "g.npz")
    np.testing.assert_array_equal(read.embeddings, again.gallery.embeddings)
    assert read.entries == again.gallery.entries and read.entries[1].box[0] == 70
    with pytest.raises(UserError, match="--every"):
        enroll(recogniser, tmp_path / "in", tmp_path / "g.npz", every=True)


def test_an_interrupted_enrolment_goes_on(recogniser, tmp_path, monkeypatch):
    people(tmp_path / "in")
    real, calls = recogniser.faces, []

    def faces(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 4:
            import signal

            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(recogniser, "faces", faces)
    with pytest.raises(Interrupted, match="4 of 7 photographs are done; the same command"):
        enroll(recogniser, tmp_path / "in", tmp_path / "g.npz")
    assert not (tmp_path / "g.npz").exists() and (tmp_path / "g.npz.part").is_file()
    done = enroll(recogniser, tmp_path / "in", tmp_path / "g.npz")
    assert len(calls) == 7 and done.before == 4 and len(done.gallery) == 6
    assert not (tmp_path / "g.npz.part").exists()


def test_one_photograph_of_two_people_is_told(recogniser, tmp_path):
    photograph(tmp_path / "in" / "ann" / "1.png", (10, 10, 40))
    photograph(tmp_path / "in" / "bob" / "2.png", (10, 10, 40))
    done = enroll(recogniser, tmp_path / "in")
    assert done.notes == ["the same photograph is of several people: ann/1.png, bob/2.png"]
    with pytest.raises(UserError, match="no folder"):
        enroll(recogniser, tmp_path / "gone")


def planted(count=12, each=3, seed=0):
    random = np.random.default_rng(seed)
    rows = np.repeat(random.normal(size=(count, 32)), each, axis=0) + 0.3 * random.normal(size=(count * each, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows, [f"p{i // each:02}" for i in range(len(rows))]


def gallery(**changes):
    rows, names = planted()
    entries = [Entry(name, f"{name}/{i}.jpg", f"{i:064}", (0.0, 1.0, 2.0, 3.0)) for i, name in enumerate(names)]
    return Gallery(**{"model": "m", "model_path": "runs/x", "embeddings": rows, "entries": entries, **changes})


def test_candidates_are_each_persons_most_alike_photograph():
    known = gallery()
    queries = planted(seed=5)[0]
    for row, found in zip(queries, known.candidates(queries, 4)):
        best = {}
        for entry, other in zip(known.entries, known.embeddings):
            best[entry.person] = max(best.get(entry.person, -2), float(other @ row))
        expected = sorted(best, key=lambda name: -best[name])[:4]
        assert [candidate.person for candidate in found] == expected
        assert [candidate.cosine for candidate in found] == pytest.approx([best[name] for name in expected], abs=1e-6)
    assert len(known.candidates(queries[:1], 99)[0]) == 12


def test_galleries_of_another_model_and_damaged_ones_are_refused(tmp_path):
    gallery().write(tmp_path / "g.npz")
    read = Gallery.read(tmp_path / "g.npz")
    read.require("m", "g.npz")
    with pytest.raises(UserError, match=r"g.npz was enrolled with another model \(runs/x\)"):
        read.require("other", "g.npz")
    whole = (tmp_path / "g.npz").read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        (tmp_path / "bad.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            same = Gallery.read(tmp_path / "bad.npz")
        except UserError as error:
            assert "bad.npz" in str(error)
        else:  # a flag or a date of the archive
            assert same.entries == read.entries and (same.embeddings == read.embeddings).all()
    np.savez(tmp_path / "evil.npz", embeddings=np.zeros((1, 2), np.float32), facts=np.array([print], object))
    for content in (b"", whole[:-40], (tmp_path / "evil.npz").read_bytes()):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(UserError, match="bad.npz"):
            Gallery.read(tmp_path / "bad.npz")


def test_a_full_disk_leaves_the_gallery_as_it_was(tmp_path):
    gallery().write(tmp_path / "g.npz")
    before, limits = (tmp_path / "g.npz").read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(UserError, match="cannot write .*g.npz: File too large; free some space"):
            gallery(model="n").write(tmp_path / "g.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["g.npz"] and (tmp_path / "g.npz").read_bytes() == before


def test_unknown_people_are_unknown(recogniser, tmp_path):
    people(tmp_path / "in")
    known = enroll(recogniser, tmp_path / "in").gallery
    face = recogniser.largest(tmp_path / "in" / "ann" / "0.png")
    (point,) = calibrate(np.linspace(0.001, 2, 100), np.zeros(100, bool), [0.05])
    (found,) = identify(known, [face], point)
    assert found.candidates[0].cosine == pytest.approx(1, abs=1e-5) and found.person == found.candidates[0].person
    assert identify(known, [face])[0].person is None and identify(known, []) == []
    stranger = type(face)(face.box, face.score, face.landmarks, face.crop, -face.embedding)
    assert identify(known, [stranger], point)[0].person is None
    assert set(found.to_json()) == {"box", "score", "landmarks", "person", "candidates"}


@pytest.mark.parametrize("method", ["average", "complete", "dbscan"])
def test_clusters_are_the_planted_people(method):
    rows, names = planted()
    order = np.random.default_rng(1).permutation(len(rows))
    labels = cluster(rows[order], 0.6, method)
    assert agreement(labels, [names[i] for i in order]) == (1.0, 1.0)
    assert cluster(rows[:1], 0.6, method).tolist() == [0]
    alone = cluster(np.vstack([rows[:3], -rows[:1]]), 0.6, method)
    assert alone.tolist() == [0, 0, 0, 1]
    assert agreement(np.array([0, 0, 1]), ["a", "b", "b"]) == (0.0, 0.0)


def test_thresholds_are_a_models_own(tmp_path):
    points = tuple(calibrate(np.linspace(0.5, 3.5, 1000), np.zeros(1000, bool)))
    whole = Thresholds("m", "runs/x", "lfw", "d", 1000, 1000, None, points, "2026-11-26")
    whole.write(tmp_path / "t.json")
    read = Thresholds.read(tmp_path / "t.json")
    assert read.points[0].far == 0.1 and read.at().far == 1e-3 and read.at(0.01).far == 0.01
    with pytest.raises(UserError, match="another model"):
        read.require("n", "t.json")
    with pytest.raises(UserError, match="no threshold at FAR 1e-06 was measured on lfw: there are 0.1, 0.01, 0.001"):
        read.at(1e-6)
    text = (tmp_path / "t.json").read_text()
    for bad in (text.replace('"pairs": 1000', '"pairs": 9'), "[]", "{}", text[:90], text.replace("0.01", '"x"')):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(UserError, match="bad.json"):
            Thresholds.read(tmp_path / "bad.json")

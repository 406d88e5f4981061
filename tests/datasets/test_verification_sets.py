"""The scripts of the verification sets, on small sets in the owners' layouts; and back from .bin to a folder."""

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from arcface_gluon.data import read_bin, write_bin
from arcface_gluon.data.verification.packing import unpack
from arcface_gluon.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[2] / "datasets"
# set → what --list and --images are below its folder, and the .bin files it makes
LAYOUTS = {
    "lfw": ("pairs.txt", ["lfw"]),
    "cfp": ("Protocol", ["cfp_ff", "cfp_fp"]),
    "agedb": ("04_FINAL_protocol_30_years.mat", ["agedb_30"]),
    "calfw": ("pairs_CALFW.txt", ["calfw"]),
    "cplfw": ("pairs_CPLFW.txt", ["cplfw"]),
}
PEOPLE, PICTURES = 10, 6
PAIRS = 300  # 15 genuine and 15 others a fold


def script(name):
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A .bin of ten people with six pictures each; fold i has the genuine pairs of person i and as many others."""
    rng = np.random.default_rng(0)
    faces = [
        [cv2.imencode(".jpg", rng.integers(0, 256, (112, 112, 3), np.uint8))[1].tobytes() for _ in range(PICTURES)]
        for _ in range(PEOPLE)
    ]
    images, issame = [], []
    for person in range(PEOPLE):
        for i in range(PICTURES):
            for j in range(i):
                other = faces[(person + 1 + j) % PEOPLE][i - j]
                images += [faces[person][i], faces[person][j], faces[person][i], other]
                issame += [True, False]
    path = tmp_path_factory.mktemp("source") / "source.bin"
    write_bin(path, images, issame)
    return path


@pytest.fixture
def layout(source, tmp_path):
    def build(name):
        demo = script("demo_pairs")
        demo.BUILDERS[name](tmp_path / name, demo.read_faces(source))
        listed, bins = LAYOUTS[name]
        arguments = ["--list", tmp_path / name / listed, "--images", tmp_path / name / "images", "--out", tmp_path]
        return [str(argument) for argument in arguments], [tmp_path / f"{bin_name}.bin" for bin_name in bins]

    return build


def pairs_of(path):
    images, issame = read_bin(path)
    return [(frozenset(pair), same) for pair, same in zip(zip(images[0::2], images[1::2]), issame)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_packed_has_the_pairs_of_the_layout(name, layout, source, capsys):
    arguments, bins = layout(name)
    assert script(name).main(arguments) == 0
    said, wanted = capsys.readouterr().out, pairs_of(source)
    for path in bins:
        found = pairs_of(path)
        assert set(found) <= set(wanted) and len(set(found)) == len(found)
        if name != "cfp":  # of which only some pictures are frontal, or profile
            assert sorted(map(hash, found)) == sorted(map(hash, wanted))
        size = len(found) // 10
        assert all(2 * sum(same for _, same in found[f * size : (f + 1) * size]) == size for f in range(10))
        assert f"{path}: {len(found)} pairs" in said and f"{path.stem}: {len(found)} pairs, the whole set has" in said
    if name in ("agedb", "cplfw"):
        assert pairs_of(bins[0]) == wanted  # their lists keep the order


def test_cfp_pairs_frontal_with_profile(layout):
    arguments, (frontal, profile) = layout("cfp")
    script("cfp").main(arguments)
    folder = Path(arguments[3])
    kinds = {path.read_bytes(): path.parent.name for path in folder.rglob("*.jpg")}
    for path, kind in ((frontal, "frontal"), (profile, "profile")):
        images, _ = read_bin(path)
        assert {kinds[image] for image in images[0::2]} == {"frontal"}
        assert {kinds[image] for image in images[1::2]} == {kind}


def test_missing_damaged_and_unaligned_images(layout, tmp_path, capsys):
    arguments, (path,) = layout("lfw")
    folder = tmp_path / "lfw" / "images"
    (folder / "Person_000" / "Person_000_0001.jpg").unlink()
    damaged = folder / "Person_001" / "Person_001_0002.jpg"
    damaged.write_bytes(damaged.read_bytes()[:300])
    jpeg = folder / "Person_002" / "Person_002_0001.jpg"
    cv2.imwrite(str(jpeg.with_suffix(".png")), np.zeros((50, 60, 3), np.uint8))  # another ending, another size
    jpeg.unlink()
    assert script("lfw").main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("arcface-gluon: 2 of 60 images of lfw.bin cannot be used, the first: ")
    assert "Person_000_0001.jpg" in error and "--skip-missing" in error and error.count("\n") == 1 and not path.exists()
    assert script("lfw").main([*arguments, "--skip-missing"]) == 0
    said = capsys.readouterr().out
    assert "2 images are missing or damaged" in said and "1 images are not 112x112, such as Person_002" in said
    listed = (tmp_path / "lfw.bin.missing.txt").read_text().split()
    assert listed == ["Person_000/Person_000_0001.jpg", "Person_001/Person_001_0002.jpg"]
    assert len(pairs_of(path)) < PAIRS and "in fold 1" in said


def test_wrong_folder_of_images(layout, tmp_path, capsys):
    arguments, _ = layout("cplfw")
    assert script("cplfw").main([*arguments[:3], str(tmp_path), "--skip-missing"]) == 2
    assert "check --images" in capsys.readouterr().err


def test_unpacked_to_look_at(source, tmp_path):
    assert unpack(source, tmp_path / "out" / "look") == PAIRS
    lines = (tmp_path / "out" / "look" / "pairs.txt").read_text().splitlines()
    assert lines[0].split("\t") == ["fold", "pair", "kind", "first", "second"] and len(lines) == PAIRS + 1
    images, issame = read_bin(source)
    for number, line in enumerate(lines[1:]):
        fold, pair, kind, first, second = line.split("\t")
        assert (int(fold), int(pair), kind) == (number // 30 + 1, number, "same" if issame[number] else "diff")
        assert (tmp_path / "out" / "look" / first).read_bytes() == images[2 * number]
        assert (tmp_path / "out" / "look" / second).read_bytes() == images[2 * number + 1]
    assert lines[32].split("\t")[3] == "fold02/0031_diff_a.jpg"
    with pytest.raises(UserError, match="is there already"):
        unpack(source, tmp_path / "out" / "look")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["look"]

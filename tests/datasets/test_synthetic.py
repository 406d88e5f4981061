"""Procedural identities: repeatable, identity-bearing, as hard as asked for, with unseen identities to verify."""

import cv2
import numpy as np
import pytest
from helpers import load_script

from arcface_gluon.data import FaceRecords, decode_image, read_bin
from arcface_gluon.data.records.conditions_file import read_conditions
from arcface_gluon.errors import UserError

synthetic = load_script("datasets/synthetic.py")

SMALL = {"identities": 6, "images": 3, "pairs": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    assert synthetic.prepare(folder, processes=1, **SMALL)
    return folder


def test_training_set(folder):
    records = FaceRecords(folder)
    assert (len(records), records.num_identities, records.image_size) == (18, 6, (112, 112))
    assert records.labels().tolist() == [label for label in range(6) for _ in range(3)]
    assert len({records.read(i)[0] for i in range(18)}) == 18
    assert decode_image(records.read(5)[0]).shape == (112, 112, 3)


def test_verification_set(folder):
    images, issame = read_bin(folder / "synthetic.bin")
    assert len(images) == 80 and [sum(issame[i : i + 4]) for i in range(0, 40, 4)] == [2] * 10
    training = {FaceRecords(folder).read(i)[0] for i in range(18)}
    assert not training & set(images)


def test_unseen_people_are_the_same_at_every_difficulty(tmp_path):
    small = {"identities": 1, "images": 1, "pairs": 20, "size": 56, "unseen_identities": 2}
    assert synthetic.prepare(tmp_path, processes=1, unseen=(0.0, 0.3), **small)
    assert not synthetic.prepare(tmp_path, processes=1, unseen=(0.0, 0.3), **small)
    easy, hard = (FaceRecords(tmp_path / f"unseen-{value}") for value in ("0", "0.3"))
    assert len(easy) == len(hard) == 16 and easy.num_identities == 2 and easy.image_size == (56, 56)
    pixels = [np.float32(decode_image(records.read(8 * person)[0])) for records in (easy, hard) for person in range(2)]
    assert pixels[0].shape == (56, 56, 3)
    told = read_conditions(tmp_path / "unseen-0.3" / "conditions.csv", 16)
    assert list(told) == ["pose", "light", "occlusion", "blur"] and len(set(told["blur"])) == 2
    told = read_conditions(tmp_path / "unseen-0" / "conditions.csv", 16)
    assert {name: set(values) for name, values in told.items()} == {
        "pose": {"frontal"},
        "light": {"front"},
        "occlusion": {"clear"},
        "blur": {"sharp"},
    }

    def distance(a, b):
        return np.abs(pixels[a] - pixels[b]).mean()

    assert distance(0, 2) < distance(0, 1) and distance(1, 3) < distance(0, 1)
    with pytest.raises(UserError, match="size=8 "):
        synthetic.prepare(tmp_path, size=8)


def test_wrong_labels_and_a_long_tail(tmp_path):
    small = {"images": 16, "pairs": 20, "size": 16}
    synthetic.prepare(tmp_path / "plain", identities=4, processes=1, **small)
    synthetic.prepare(tmp_path / "noise", identities=4, processes=1, label_noise=0.25, **small)
    synthetic.prepare(tmp_path / "tail", identities=4, processes=1, tail=1.0, **small)
    plain, noise, tail = (FaceRecords(tmp_path / name) for name in ("plain", "noise", "tail"))
    wrong = np.mean(plain.labels() != noise.labels())
    assert 0.1 < wrong < 0.4
    assert [plain.read(i)[0] for i in range(64)] == [noise.read(i)[0] for i in range(64)]
    assert np.bincount(tail.labels()).tolist() == [16, 8, 5, 4]
    with pytest.raises(UserError, match="label_noise=1"):
        synthetic.prepare(tmp_path, label_noise=1.0)


def test_heavy_tails_turn_more_heads_far_and_leave_other_sets_as_they_are():
    turned = {}
    for heavy_tails in (False, True):
        drawn = [synthetic.encoded_images(i, 0, 2, 8, 0.15, 16, heavy_tails=heavy_tails) for i in range(50)]
        turned[heavy_tails] = np.mean([pose != "frontal" for person in drawn for _, (pose, *_) in person])
    assert turned[False] < 0.04 < 0.06 < turned[True] < 0.2  # a normal one has 1.2 % beyond 2.5 deviations, t 8.8 %
    plain = synthetic.encoded_images(3, 0, 2, 8, 0.15, 16)
    assert plain == synthetic.encoded_images(3, 0, 2, 8, 0.15, 16, heavy_tails=False)


@pytest.mark.parametrize("pairs", [20, 200, 6000])
def test_folds_share_no_identity_and_no_pair_occurs_twice(pairs):
    chosen, issame = synthetic.verification_pairs(pairs, seed=4)
    found = list(zip(chosen[0::2], chosen[1::2]))
    assert len(set(found)) == len(found) == len(issame) == pairs
    assert [a[0] == b[0] for a, b in found] == issame and all(a != b for a, b in found)
    size = pairs // 10
    folds = [{name for pair in found[i : i + size] for name, _ in pair} for i in range(0, pairs, size)]
    assert sum(map(len, folds)) == len(set().union(*folds))
    assert all(sum(issame[i : i + size]) == size // 2 for i in range(0, pairs, size))


def test_same_arguments_same_files_with_any_number_of_processes(folder, tmp_path):
    assert synthetic.prepare(tmp_path, processes=2, **SMALL)
    for name in ("train.rec", "train.idx", "property", "synthetic.bin"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert not synthetic.prepare(tmp_path, processes=1, **SMALL)
    assert synthetic.prepare(tmp_path, processes=1, seed=1, **SMALL)
    assert (tmp_path / "train.rec").read_bytes() != (folder / "train.rec").read_bytes()


def nearest_neighbour(difficulty, people=40, images=3):
    """Share of images whose nearest other image, in normalised pixels, is of the same identity."""
    encoded = [synthetic.encoded_images(i, 0, 0, images, difficulty) for i in range(people)]
    pixels = [cv2.resize(decode_image(data), (28, 28)).ravel() for group in encoded for data, _ in group]
    pixels = np.array(pixels, np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    cosines = pixels @ pixels.T - 2 * np.eye(len(pixels), dtype=np.float32)
    names = np.repeat(np.arange(people), images)
    return np.mean(names[cosines.argmax(axis=1)] == names)


def test_pixels_alone_do_not_tell_the_identity_unless_it_is_easy():
    easy, middle, hard = (nearest_neighbour(difficulty) for difficulty in (0.0, 0.5, 1.0))
    assert easy > 0.99
    assert 0.1 < middle < 0.75
    assert hard < middle


def test_command_line(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--identities", "2", "--images", "1", "--pairs", "20", "--processes", "1"]
    assert synthetic.main(arguments) == 0
    assert "not faces" in capsys.readouterr().out
    for wrong in (["--difficulty", "1.5"], ["--pairs", "30"], ["--identities", "0"], ["--seed", "-1"]):
        assert synthetic.main([*arguments, *wrong]) == 2
        error = capsys.readouterr().err
        assert error.startswith("arcface-gluon: out of range") and error.count("\n") == 1
    with pytest.raises(UserError, match="difficulty=2"):
        synthetic.prepare(tmp_path, difficulty=2)

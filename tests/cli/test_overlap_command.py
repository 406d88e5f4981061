"""`arcface-gluon overlap` on planted overlaps: what is listed, what is left."""

import numpy as np
import pytest
from helpers import TINY, tiny_jpeg

from arcface_gluon.data import FaceRecords, write_training_set

PEOPLE = 6


@pytest.fixture
def planted(tmp_path):
    """Six identities with three images; names and embeddings of which some are a test set's."""
    write_training_set(tmp_path / "all", ((tiny_jpeg(k, i), k) for k in range(PEOPLE) for i in range(3)))
    names = ["Ann Lee", "Béa Fox", "Cy Orr", "Di Mo", "Ed Poe", "Flo Ray"]
    (tmp_path / "names.tsv").write_text("".join(f"{k}\t{name}\n" for k, name in enumerate(names)))
    (tmp_path / "lfw_names.txt").write_text("Bea_Fox\nGus_Ott\n")
    rng = np.random.default_rng(0)
    centres = np.eye(PEOPLE, 8)
    rows = np.repeat(centres, 3, axis=0) + 0.05 * rng.normal(size=(18, 8))
    save(tmp_path / "train.npy", rows * 7, [f"{i + 1}\t{i // 3}" for i in range(18)])
    # Person X is identity 3; Y is halfway between 4 and somebody unknown, at a cosine of about 0.7; Z is nobody's.
    test = np.array([centres[3], centres[3], centres[4] + np.eye(8)[7], np.eye(8)[6]])
    save(tmp_path / "test.npy", test, ["x/1.png\tX", "x/2.png\tX", "y/1.png\tY", "z/1.png\tZ"])
    return tmp_path


def save(path, rows, lines):
    np.save(path, rows.astype(np.float32))
    path.with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines))


def listed(folder):
    return [line.split("\t") for line in (folder / "overlap.tsv").read_text().splitlines()[1:]]


def test_names_and_similarity(command, planted):
    arguments = ["overlap", "all", "--names", "names.tsv", "--test-names", "lfw_names.txt"]
    done = command(*arguments, "--features", "train.npy", "--test-features", "test.npy", "--out", "clean")
    assert "3 of 6 identities are in a test set too: overlap.tsv" in done.stdout
    rows = listed(planted)
    assert [row[:4] for row in rows] == [
        ["1", "Béa Fox", "name", "Bea_Fox"],
        ["3", "Di Mo", "similarity", "X"],
        ["4", "Ed Poe", "similarity", "Y"],
    ]
    assert float(rows[1][4]) > 0.99 and 0.6 < float(rows[2][4]) < 0.8
    assert "clean: 9 images of 3 identities" in done.stdout
    records = FaceRecords(planted / "clean")
    wanted = [(tiny_jpeg(old, i), new) for new, old in enumerate((0, 2, 5)) for i in range(3)]
    assert [records.read(i) for i in range(len(records))] == wanted
    assert (planted / "clean" / "labels.tsv").read_text() == "0\t0\n1\t2\n2\t5\n"


def test_threshold_and_images_without_identities(command, planted):
    (planted / "test.txt").write_text("1.png\n2.png\n3.png\n4.png\n")
    similarity = ["overlap", "all", "--features", "train.npy", "--test-features", "test.npy"]
    command(*similarity, "--threshold", "0.9", "--list", "overlap.tsv")
    assert [row[:4] for row in listed(planted)] == [["3", "", "similarity", "1.png"]]
    assert "0 of 6" in command(*similarity, "--threshold", "1").stdout and listed(planted) == []
    assert not (planted / "clean").exists()


@pytest.mark.slow
def test_what_is_left_trains(command, orl, tmp_path):
    (tmp_path / "names.tsv").write_text("".join(f"{label}\tPerson {label}\n" for label in range(30)))
    (tmp_path / "test_names.txt").write_text("person_5\nPerson_9/1.jpg\nsomebody\n")
    arguments = ["overlap", orl, "--names", "names.tsv", "--test-names", "test_names.txt", "--out", "clean"]
    assert "clean: 280 images of 28 identities" in command(*arguments).stdout
    common = ["data.validation=[]", "train.iterations=2", "run.name=clean", *TINY]
    said = command("train", "orl", f"data.path={tmp_path / 'clean'}", *common).stdout
    assert "280 images of 28 identities" in said


def test_refused(command, planted):
    def error(*arguments):
        return command("overlap", "all", *arguments, check=2).stderr

    assert "nothing to compare" in error()
    assert "--names needs --test-names" in error("--names", "names.tsv")
    both = ["--features", "train.npy", "--test-features"]
    assert "cosine is between" in error(*both, "test.npy", "--threshold", "40")
    assert "cannot read" in error(*both, "nothing.npy")
    save(planted / "short.npy", np.ones((1, 4)), ["a"])
    assert "short.npy has 4 values a row, train.npy 8" in error(*both, "short.npy")
    (planted / "train.txt").write_text("".join(f"{i}\n" for i in range(18)))
    assert "train.npy has no identities" in error(*both, "test.npy")
    (planted / "train.txt").write_text("".join(f"{i}\t{i}\n" for i in range(18)))
    assert "labels up to 17, the training set 6 identities" in error(*both, "test.npy")

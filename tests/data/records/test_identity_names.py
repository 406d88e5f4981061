"""Names compared in spite of their spelling; training sets without some of their people."""

import numpy as np
import pytest
from helpers import tiny_jpeg

from arcface_gluon.data import FaceRecords, RecordWriter, write_training_set
from arcface_gluon.data.records.identity_names import normalised, read_identity_names, read_people, write_without
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.errors import UserError


@pytest.mark.parametrize(
    "one, other",
    [
        ("Adam_Brody", "adam brody"),
        ("Beyoncé Knowles", "Beyonce_Knowles"),
        ("MariaCallas", "Callas, Maria"),
        ("Shaquille O'Neal", "Shaquille_ONeal"),
        ("Jean-Claude Juncker", "Jean Claude JUNCKER"),
        ("Straße", "STRASSE"),
        ("李 连杰", "李连杰"),
    ],
)
def test_spellings_of_one_name(one, other):
    assert normalised(one) == normalised(other) != ""


def test_different_names_stay_different():
    names = ["Ann Lee", "Anne Lee", "Lee Ann", "m.0107_f", "m.0107_g", "Али"]
    assert len({normalised(name) for name in names}) == len(names)


def test_people_of_a_test_set(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("Ann Lee\nBo\tfemale\n\nDi_Mo/Di_Mo_1.png\nDi_Mo/Di_Mo_2.png\n")
    assert read_people(path) == ["Ann Lee", "Bo", "Di_Mo"]
    for name in ("Bo", "Al"):
        (tmp_path / "faces" / name).mkdir(parents=True)
    assert read_people(tmp_path / "faces") == ["Al", "Bo"]
    path.write_text("\n")
    with pytest.raises(UserError, match="names nobody"):
        read_people(path)
    with pytest.raises(UserError, match="cannot read .*nothing"):
        read_people(tmp_path / "nothing")


def test_names_of_training_identities(tmp_path):
    path = tmp_path / "train.lst"
    wanted = {0: "Ann", 1: "Bo"}
    for text in ("1\t/x/Ann/1.jpg\t0\n1\t/x/Ann/2.jpg\t0\n1\t/x/Bo/1.jpg\t1\n", "1\tBo\n0\tAnn\n", "Ann\nBo\n"):
        path.write_text(text)
        assert read_identity_names(path, 2) == wanted
    for name in wanted.values():
        (tmp_path / "faces" / name).mkdir(parents=True)
    assert read_identity_names(tmp_path / "faces", 2) == wanted
    with pytest.raises(UserError, match="has 2 names, but the training set has 3"):
        read_identity_names(path, 3)
    path.write_text("2\tBo\n0\tAnn\n")
    with pytest.raises(UserError, match="has label 2"):
        read_identity_names(path, 2)
    path.write_text("one\tBo\n0\tAnn\n")
    with pytest.raises(UserError, match=r"train\.lst line 1: its label 'one' is no number"):
        read_identity_names(path, 2)


@pytest.fixture
def records(tmp_path):
    """Identities 0 … 4 with one to five images."""
    folder = tmp_path / "all"
    write_training_set(folder, ((tiny_jpeg(k, i, size=(96, 80)), k) for k in range(5) for i in range(k + 1)), (96, 80))
    return FaceRecords(folder)


def contents(folder):
    records = FaceRecords(folder)
    return [records.read(i) for i in range(len(records))]


def test_what_is_left_is_numbered_anew(records, tmp_path):
    done = write_without(records, tmp_path / "out", {1, 3})
    assert done == (1 + 3 + 5, 3, 0)
    wanted = [(tiny_jpeg(old, i, size=(96, 80)), new) for new, old in enumerate((0, 2, 4)) for i in range(old + 1)]
    assert contents(tmp_path / "out") == wanted
    assert (tmp_path / "out" / "property").read_text() == "3,96,80\n"
    assert (tmp_path / "out" / "labels.tsv").read_text() == "0\t0\n1\t2\n2\t4\n"
    with pytest.raises(UserError, match="is there already"):
        write_without(records, tmp_path / "out", {1})
    with pytest.raises(UserError, match="nobody"):
        write_without(records, tmp_path / "none", range(5))
    assert not (tmp_path / "none").exists()


def test_shuffled_sets_come_out_sorted(tmp_path):
    (tmp_path / "shuffled").mkdir()
    labels = np.random.default_rng(0).permutation(np.arange(12) % 4)
    with RecordWriter(tmp_path / "shuffled" / "train.rec") as writer:
        for key, label in enumerate(labels):
            writer.write(key, pack(Header(0, float(label), key, 0), tiny_jpeg(key)))
    (tmp_path / "shuffled" / "property").write_text("4,112,112\n")
    write_without(FaceRecords(tmp_path / "shuffled"), tmp_path / "out", {0})
    wanted = [(tiny_jpeg(key), new) for new in range(3) for key in np.flatnonzero(labels == new + 1)]
    assert contents(tmp_path / "out") == wanted


def test_what_is_no_image_counts_as_damaged(tmp_path):
    (tmp_path / "set").mkdir()
    with RecordWriter(tmp_path / "set" / "train.rec") as writer:
        for key in range(4):
            image = b"hello" if key == 1 else tiny_jpeg(key)
            writer.write(key, pack(Header(0, float(key // 2), key, 0), image))
    (tmp_path / "set" / "property").write_text("2,112,112\n")
    records = FaceRecords(tmp_path / "set")
    with pytest.raises(UserError, match="record 1 is no image: it begins with b'hello'.*--skip-missing"):
        write_without(records, tmp_path / "out", ())
    assert write_without(records, tmp_path / "out", (), True) == (3, 2, 1)


def test_damaged_records_and_interruption(records, tmp_path):
    path = records.path
    data = bytearray(path.read_bytes())
    start = (
        data.index(tiny_jpeg(2, 1, size=(96, 80))) - 24
    )  # the header of that image: its label becomes that of nobody
    data[start + 4 : start + 8] = np.float32(77).tobytes()
    path.write_bytes(bytes(data))
    damaged = FaceRecords(path.parent)
    with pytest.raises(UserError, match="record 5 has label 77.*--skip-missing"):
        write_without(damaged, tmp_path / "out", {0})
    done = write_without(damaged, tmp_path / "out", {0}, skip_missing=True)
    assert done == (13, 4, 1)
    assert (tmp_path / "out" / "skipped.txt").read_text() == "5\n"

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_without(damaged, tmp_path / "other", {0}, skip_missing=True, stop=stop)
    assert not (tmp_path / "other").exists()

"""Faults of whole training sets, told in one line before the first step."""

import cv2
import numpy as np
import pytest

from arcface_gluon.data import FaceRecords, RecordWriter
from arcface_gluon.data.records.label_check import check_training_set
from arcface_gluon.data.records.label_counts import Labels
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.errors import UserError


def jpeg(seed=0, side=112):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


IMAGE = jpeg()
TEN = [label for label in range(10) for _ in range(4)]


def write(folder, labels, property="10,112,112", header=False, image=IMAGE):
    """Records of one picture with these labels; with `header`, one identity record a run, as face2rec2 writes them."""
    folder.mkdir(exist_ok=True)
    with RecordWriter(folder / "train.rec") as writer:
        for key, label in enumerate(labels, 1):
            writer.write(key, pack(Header(0, 0, key, 0), image, labels=(label, 1)))
        if header:
            starts = [k for k, label in enumerate(labels, 1) if k == 1 or label != labels[k - 2]]
            end = len(labels) + 1
            writer.write(0, pack(Header(2, 0, 0, 0), labels=(end, end + len(starts))))
            for number, (a, b) in enumerate(zip(starts, [*starts[1:], end])):
                writer.write(end + number, pack(Header(2, 0, 0, 0), labels=(a, b)))
    if property:
        (folder / "property").write_text(property)
    return folder


def check(folder, on_error="skip_images", first_label=0):
    return check_training_set(FaceRecords(folder, first_label), on_error)


def refusal(folder, *words, first_label=0):
    """The line that the set is refused with; data.on_error=skip must go on with a warning of the same fault."""
    with pytest.raises(UserError) as error:
        check(folder, first_label=first_label)
    line = str(error.value)
    assert "\n" not in line and all(word in line for word in words), line
    fault, _, skips = line.partition(", or data.on_error=skip ")
    assert skips
    told = check(folder, "skip", first_label)
    assert told[0].startswith(fault.split("; ")[0]) and told[0].endswith(f"data.on_error=skip {skips}")
    return line


def test_nothing_to_say_of_a_sound_set(tmp_path):
    for header in (False, True):
        assert check(write(tmp_path / str(header), TEN, header=header)) == []


def test_shuffled_list_is_sound(tmp_path):
    labels = np.random.default_rng(0).permutation(TEN).tolist()
    folder = write(tmp_path / "set", labels, header=True)
    assert check(folder) == []
    (folder / "train.idx").unlink()
    assert check(folder) == []
    assert FaceRecords(folder).labels().tolist() == labels


@pytest.mark.parametrize(
    "labels, property, words",
    [
        ([label + 1 for label in TEN], "10,112,112", ("labels run from 1 to 10", "set data.first_label=1,")),
        ([label + 1 for label in TEN], "8,112,112", ("data.first_label=1, and write 10,112,112",)),
        (TEN, "4,112,112", ("says 4 identities", "24 of 40 images have no identity", "write 10,112,112 into it")),
        (TEN, "9,112,112", ("write 10,112,112 into it",)),
        (
            [label * 50 for label in TEN],
            "10,112,112",
            ("36 of 40 images have no identity", "number the identities anew, 0 to 9", "write 10,112,112"),
        ),
        (TEN, "9980,112,112", ("says 9,980", "labels run from 0 to 9 only", "write 10,112,112")),
        (TEN, "40,112,112", ("says 40 identities, the number of images", "write 10,112,112")),
        (TEN, "20,112,112", ("says 20", "write 10,112,112")),
        ([3] * 8, "4,112,112", ("all images are of one identity (3)", "two or more")),
        ([0] * 8, "1,112,112", ("all images are of one identity (0)",)),
        ([-1 if label == 0 else label for label in TEN], "10,112,112", ("4 of 40 images", "record 1: -1")),
        ([label + (label == 5) / 2 for label in TEN], "10,112,112", ("4 of 40", "no whole number", "record 21: 5.5")),
        ([label + 0.25 * i for i, label in enumerate(TEN)], "10,112,112", ("no whole number",)),
        ([label if label else 2.0**25 for label in TEN], "10,112,112", ("too large to be stored", "3.35544e+07")),
    ],
)
def test_labels_that_contradict_property(tmp_path, labels, property, words):
    refusal(write(tmp_path / "set", labels, property), *words)


def test_first_label(tmp_path):
    folder = write(tmp_path / "set", [label + 1 for label in TEN])
    assert check(folder, first_label=1) == []
    records = FaceRecords(folder, first_label=1)
    assert records.labels().tolist() == TEN and records.read(39) == (IMAGE, 9)
    folder = write(tmp_path / "set", TEN)
    refusal(folder, "4 of 40 images", "below the first", "lower data.first_label=1", first_label=1)
    with pytest.raises(UserError, match="record 1 has label 0, but property allows 1 to 10"):
        FaceRecords(folder, first_label=1).read(0)


@pytest.mark.parametrize(
    "labels, property, words",
    [
        (TEN, "11,112,112", ("1 of 11 identities have no images (the first without: 10)", "write 10 into property")),
        ([x + 1 for x in TEN], "11,112,112", ("1 of 11", "the first without: 0", "data.first_label=1")),
        ([{0: 0, 1: 5, 2: 9}[x] for x in TEN if x < 3], "10,112,112", ("7 of 10", "without: 1", "number the others")),
        (range(10), "10,112,112", ("every identity has a single image",)),
    ],
)
def test_odd_sets_are_only_told(tmp_path, labels, property, words):
    (line,) = check(write(tmp_path / "set", list(labels), property))
    assert all(word in line for word in words), line


@pytest.mark.parametrize("label", [10, -1, 0.5, float("nan"), float("inf"), 1e30])
def test_one_wrong_label_is_a_bad_image_not_a_bad_set(tmp_path, label):
    folder = write(tmp_path / "set", [*TEN, label])
    (line,) = check(folder)
    assert line.endswith("data.on_error=skip_images skips " + ("those images" if label == 10 else "them"))
    with pytest.raises(UserError):
        check(folder, "stop")


@pytest.mark.parametrize("wrong", [(-1, -1), (0.5, 0.5), (10, 10)])
def test_the_same_wrong_label_twice_is_meant(tmp_path, wrong):
    refusal(write(tmp_path / "set", [*TEN * 10, *wrong]), "2 of 402 images")
    other = (wrong[0], wrong[1] * 3)
    (line,) = check(write(tmp_path / "other", [*TEN * 10, *other]))
    assert "2 of 402 images" in line and "data.on_error=skip_images skips" in line


def test_no_label_to_train_on_is_refused_whatever_on_error(tmp_path):
    folder = write(tmp_path / "set", [float("nan")] * 8)
    with pytest.raises(UserError, match=r"8 of 8 images have a label that is no whole number \(record 1: nan\)"):
        check(folder, "skip")
    folder = write(tmp_path / "set", [label * 9 + 1000 for label in TEN])
    with pytest.raises(UserError, match="40 of 40 images have no identity; number the identities anew"):
        check(folder, "skip")


@pytest.mark.parametrize("keep", [slice(0, 20), slice(20, None), slice(0, None, 2), slice(1, 2)])
def test_index_that_lists_only_some_images(tmp_path, keep):
    folder = write(tmp_path / "set", TEN, "10,112,112")
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(lines[keep]))
    refusal(folder, f"train.idx lists {len(lines[keep])} images, but train.rec holds 40", "delete the .idx")
    (folder / "train.idx").unlink()
    assert check(folder) == []


def test_index_without_identity_records_lacks_nothing(tmp_path):
    folder = write(tmp_path / "set", TEN, header=True)
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(lines[:40]))
    assert check(folder) == []


def test_records_followed_by_something_else(tmp_path):
    folder = write(tmp_path / "set", TEN)
    with open(folder / "train.rec", "ab") as file:
        file.write(bytes(4096))
    refusal(folder, "train.rec has 4,096 bytes that are no records", "fetch both again")


def test_damaged_records_are_counted_and_are_no_gap_in_the_index(tmp_path):
    folder = write(tmp_path / "set", TEN)
    data = bytearray((folder / "train.rec").read_bytes())
    third = int((folder / "train.idx").read_text().splitlines()[2].split()[1])
    data[third] ^= 1
    (folder / "train.rec").write_bytes(bytes(data))
    (line,) = check(folder)
    assert "1 of 40 images have a damaged record (record 3)" in line
    assert FaceRecords(folder).labels()[:4].tolist() == [0, 0, -1, 0]


@pytest.mark.parametrize("image, size", [(jpeg(1, 250), "250x250"), (jpeg(1, 96), "96x96")])
def test_images_of_another_size_than_property_says(tmp_path, image, size):
    (line,) = check(write(tmp_path / "set", TEN, image=image))
    assert f"40 of 40 images are {size}, not 112x112" in line and "aligned" in line


@pytest.mark.parametrize("first", [0, 1])
def test_missing_property_says_what_belongs_in_it(tmp_path, first):
    folder = write(tmp_path / "set", [label + first for label in TEN], property=None, image=jpeg(1, 96))
    with pytest.raises(UserError, match="property not found in .*set; .* for these records 10,96,96") as error:
        FaceRecords(folder)
    assert ("data.first_label=1" in str(error.value)) == bool(first)


def test_survey_of_a_large_set_is_kept_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("arcface_gluon.data.records.label_survey._WORTH_KEEPING", 1)
    folder = write(tmp_path / "set", TEN)
    kept = folder / "train.labels.npz"
    assert FaceRecords(folder).labels().tolist() == TEN and kept.is_file()
    monkeypatch.setattr("arcface_gluon.data.records.recordio.RecordReader.headers", None)  # no header is read again
    assert FaceRecords(folder).labels().tolist() == TEN
    monkeypatch.undo()
    monkeypatch.setattr("arcface_gluon.data.records.label_survey._WORTH_KEEPING", 1)
    write(folder, TEN[::-1])  # another file of the same size
    assert FaceRecords(folder).labels().tolist() == TEN[::-1]
    for content in (b"", b"PK\3\4 no archive", kept.read_bytes()[:-40]):
        kept.write_bytes(content)
        assert FaceRecords(folder).labels().tolist() == TEN[::-1]


def test_counts_over_blocks(monkeypatch):
    monkeypatch.setattr("arcface_gluon.data.records.label_counts._BLOCK", 7)
    values = np.random.default_rng(0).integers(0, 30, 100).astype(np.float32)
    values[[5, 50]], values[60], values[61] = -2, 0.5, -np.inf
    labels = Labels.of(values)
    good = values[(values >= 0) & (values != 0.5)].astype(int)
    assert labels.counts.tolist() == np.bincount(good).tolist()
    kinds = labels.damaged, labels.fractional, labels.negative, labels.huge
    assert [kind.tolist() for kind in kinds] == [[61], [60], [5, 50], []]

"""Training sets in every variant in circulation, and sets whose files contradict each other."""

import warnings

import mxnet as mx
import numpy as np
import pytest
from helpers import tiny_jpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon.data import FaceRecords, RecordWriter, write_training_set
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.errors import UserError

# (image, label) of three people; the format wants those of one person together.
IMAGES = [(tiny_jpeg(i), label) for i, label in enumerate([0, 0, 1, 1, 1, 2])]


def write_variant(folder, variant):
    """A set of IMAGES as the tools of insightface write it, in the given variant."""
    folder.mkdir()
    n, people, id2 = len(IMAGES), 3, int(variant == "scalar labels")
    with RecordWriter(folder / "train.rec") as writer:
        first = 0 if variant in ("no header", "shuffled") else 1
        for key, (image, label) in enumerate(IMAGES, first):
            labels = (label, 1) if variant == "two labels" else ()
            writer.write(key, pack(Header(0, label, key, id2), image, labels))
        header = pack(Header(0, 0, 0, 0), labels=(n + 1, n + 1 + people))
        ranges = [pack(Header(0, 0, n + 1 + i, 0), labels=r) for i, r in enumerate([(1, 3), (3, 6), (6, 7)])]
        if variant == "two labels":  # face2rec2: key 0, then the identities
            writer.write(0, header)
        if first == 1:
            for i, payload in enumerate(ranges):
                writer.write(n + 1 + i, payload)
        if variant == "scalar labels":  # RecBuilder: the identities, then key 0
            writer.write(0, header)
    (folder / "property").write_text("3,112,112\n" + ("6\nshuffled\n2019-01-01\n" if variant == "shuffled" else ""))
    if variant == "shuffled":
        (folder / "train.idx").unlink()
    return folder


VARIANTS = ["two labels", "scalar labels", "no header", "shuffled"]


@pytest.mark.parametrize("index", ["kept", "removed", "numbered anew"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(tmp_path, variant, index):
    folder = write_variant(tmp_path / "set", variant)
    if index == "removed":
        (folder / "train.idx").unlink(missing_ok=True)
    elif index == "numbered anew" and variant != "shuffled":
        lines = (folder / "train.idx").read_text().splitlines()
        (folder / "train.idx").write_text("".join(f"{i}\t{line.split()[1]}\n" for i, line in enumerate(lines)))
    for path in (folder, str(folder / "train.rec")):
        records = FaceRecords(path)
        assert (len(records), records.num_identities, records.image_size) == (6, 3, (112, 112))
        assert [records.read(i) for i in range(6)] == IMAGES
        first = 0 if variant in ("no header", "shuffled") else 1
        assert records.keys.tolist() == list(range(first, first + 6)) and records.keys.dtype == np.int64
        assert records.labels().tolist() == [label for _, label in IMAGES]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_written_sets_read_back_here_and_in_mxnet(tmp_path_factory, counts, random):
    folder = tmp_path_factory.mktemp("set")
    labels = list(range(len(counts)))
    random.shuffle(labels)
    images = [(tiny_jpeg(i, label), label) for label in labels for i in range(counts[label])]
    assert write_training_set(folder, iter(images), size=(100, 90)) == (len(images), len(counts))
    assert sorted(path.name for path in folder.iterdir()) == ["property", "train.idx", "train.rec"]
    records = FaceRecords(folder)
    assert [records.read(i) for i in range(len(records))] == images
    assert records.image_size == (100, 90)

    theirs = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    header, body = mx.recordio.unpack(theirs.read_idx(0))
    first = len(images) + 1
    assert (header.flag, body, header.label.tolist()) == (2, b"", [first, first + len(counts)])
    for key in range(first, first + len(counts)):
        start, stop = map(int, mx.recordio.unpack(theirs.read_idx(key))[0].label)
        assert len({images[i - 1][1] for i in range(start, stop)}) == 1
    assert mx.recordio.unpack(theirs.read_idx(1))[1] == images[0][0]


def test_writer_refuses_labels_it_cannot_store(tmp_path):
    for label in (-1, 1 << 24):
        with pytest.raises(ValueError, match=f"image 1: label {label} is out of range"):
            write_training_set(tmp_path, [(tiny_jpeg(0), 0), (tiny_jpeg(0), label)])
    for label in ("0", "anna", 3.5, float("nan"), float("inf"), None, [1], True, np.bool_(True)):
        with pytest.raises(ValueError, match=r"image 1 has the label .*: labels must be whole numbers"):
            write_training_set(tmp_path, [(tiny_jpeg(0), 0), (tiny_jpeg(0), label)])
    for image in ("a.jpg", b"faces/a.jpg", b"hello", np.zeros((8, 8, 3), np.uint8), b"", None):
        with pytest.raises(ValueError, match="image 0 is"):
            write_training_set(tmp_path, [(image, 0)])
    with pytest.raises(ValueError, match="no images"):
        write_training_set(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_writer_says_once_what_has_another_size(tmp_path):
    rows = [(tiny_jpeg(i, size=(250, 250) if i else (112, 112)), i) for i in range(4)]
    with pytest.warns(UserWarning, match="3 of 4 images are 250x250, not 112x112 pixels") as told:
        write_training_set(tmp_path / "large", rows)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_training_set(tmp_path / "fitting", rows[1:], (250, 250))


def test_writer_takes_rows_in_any_order_and_numbers_of_any_type(tmp_path):
    kinds = [int, np.int64, np.uint8, float, np.float32, np.array]
    images = [np.frombuffer(image, np.uint8).reshape(-1, 1) for image, _ in IMAGES]
    labels = [2, 0, 2, 1, 0, 2]
    rows = [(image, kind(label)) for image, kind, label in zip(images, kinds, labels)]
    assert write_training_set(tmp_path, rows) == (6, 3)
    records = FaceRecords(tmp_path)
    assert [records.read(i) for i in range(6)] == [(image, label) for (image, _), label in zip(IMAGES, labels)]
    assert (tmp_path / "property").read_text() == "3,112,112\n"


@pytest.mark.parametrize("label", [3, -1, 0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("as_array", [False, True])
def test_label_that_is_no_identity_is_named_with_its_key(tmp_path, label, as_array):
    with RecordWriter(tmp_path / "train.rec") as writer:
        writer.write(0, pack(Header(0, 1, 0, 0), b"good"))
        writer.write(17, pack(Header(0, label, 0, 0), b"bad", (label, 1) if as_array else ()))
    (tmp_path / "property").write_text("3,112,112")
    records = FaceRecords(tmp_path)
    assert records.read(0) == (b"good", 1)
    with pytest.raises(UserError, match=r"train\.rec: record 17 has label .*, but property allows 0 to 2"):
        records.read(1)
    assert records.labels().tolist() == [1, -1]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"train\.rec and property not found in .*; `arcface-gluon pack`"):
        FaceRecords(tmp_path)
    write_variant(tmp_path / "set", "two labels")
    (tmp_path / "set" / "property").unlink()
    with pytest.raises(UserError, match=r"^property not found in .*set;"):
        FaceRecords(tmp_path / "set")


@pytest.mark.parametrize(
    "text",
    ["", "3,112", "a,b,c", "0,112,112", "3,112,112,3", "\0\xff", "3,,112", "3;4,5,6", "-3,112,112", "3.5,112,112"],
)
def test_bad_property(tmp_path, text):
    folder = write_variant(tmp_path / "set", "two labels")
    (folder / "property").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match="property: its first line must be"):
        FaceRecords(folder)


def test_property_of_impossible_images(tmp_path):
    folder = write_variant(tmp_path / "set", "two labels")
    (folder / "property").write_text("3,1000000,112\n")
    with pytest.raises(UserError, match="property: images of 1000000 x 112"):
        FaceRecords(folder)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff3,112,96\n",
        "3 112 96",
        "3\t112\t96\n",
        "3, 112, 96,\r\n",
        "3.0,112.0,96\n",
        "3,112,96\n3,112,96\n6,shuffled\n",
    ],
)
def test_property_as_people_write_it(tmp_path, text):
    folder = write_variant(tmp_path / "set", "two labels")
    (folder / "property").write_bytes(text.encode())
    records = FaceRecords(folder)
    assert (records.num_identities, records.image_size) == (3, (112, 96))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not an index"),
        ("1\t0\t5\n", "is not an index"),
        ("one\t0\n", "is not an index"),
        ("0\t0\nx\ty\n", "is not an index"),
        ("1\t0\n1\t44\n", "is damaged"),
        ("0\t-4\n", "is damaged"),
        ("0\t2\n", "is damaged"),
        ("0\t1000000\n", "is truncated"),
        ("0\t4\n", "no record starts at byte 4"),
    ],
)
def test_bad_index(tmp_path, text, message):
    folder = write_variant(tmp_path / "set", "two labels")
    (folder / "train.idx").write_text(text)
    with pytest.raises(UserError, match=rf"(train\.idx|train\.rec).*{message}"):
        FaceRecords(folder)


def test_index_with_a_byte_order_mark_and_the_line_ends_of_windows(tmp_path):
    folder = write_variant(tmp_path / "set", "two labels")
    text = (folder / "train.idx").read_bytes()
    (folder / "train.idx").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert FaceRecords(folder).labels().tolist() == [label for _, label in IMAGES]


def test_index_that_lacks_an_image(tmp_path):
    folder = write_variant(tmp_path / "set", "two labels")
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(lines[:2] + lines[3:]))
    with pytest.raises(UserError, match=r"train\.idx lists 5 images, but train\.rec says 6; delete the \.idx"):
        FaceRecords(folder)


@pytest.mark.parametrize("index", ["kept", "removed"])
def test_truncated_records(tmp_path, index):
    folder = write_variant(tmp_path / "set", "scalar labels")
    data = (folder / "train.rec").read_bytes()
    if index == "removed":
        (folder / "train.idx").unlink()
    (folder / "train.rec").write_bytes(data[:-6])
    with pytest.raises(UserError, match=r"train\.rec is truncated"):
        FaceRecords(folder)
    (folder / "train.rec").write_bytes(b"")
    with pytest.raises(UserError, match=r"train\.rec (is truncated|holds no images)"):
        FaceRecords(folder)


def test_rounded_header_of_a_very_large_set(tmp_path):
    # Keys above 2^24 are rounded in the header; the first record without an image is what counts.
    folder = write_variant(tmp_path / "set", "two labels")
    with RecordWriter(folder / "train.rec") as writer:
        for key, (image, label) in enumerate(IMAGES, 1):
            writer.write(key, pack(Header(0, label, key, 0), image))
        writer.write(0, pack(Header(0, 0, 0, 0), labels=((1 << 24) + 2, (1 << 24) + 4)))
        for key in range(7, 10):
            writer.write(key, pack(Header(0, 0, key, 0), labels=(1, 3)))
    records = FaceRecords(folder)
    assert [records.read(i) for i in range(len(records))] == IMAGES


def test_damaged_record_is_named(tmp_path):
    folder = tmp_path
    with RecordWriter(folder / "train.rec") as writer:
        writer.write(5, b"too short")
        writer.write(6, pack(Header(0, 1, 0, 0), b"good"))
    (folder / "property").write_text("3,112,112")
    with pytest.raises(UserError, match=r"train\.rec: record 5 is damaged"):
        FaceRecords(folder).read(0)


def test_the_fingerprint_is_of_index_and_labels_whatever_the_folder(tmp_path):
    sets = {"one": IMAGES, "same": IMAGES, "other labels": [(image, label // 2) for image, label in IMAGES]}
    sets["other sizes"] = [(image + b"more bytes", label) for image, label in IMAGES[:1]] + IMAGES[1:]
    for name, images in sets.items():
        write_training_set(tmp_path / name, images)
    found = {name: FaceRecords(tmp_path / name).fingerprint() for name in sets}
    assert found["one"] == found["same"] and len(set(found.values())) == 3
    assert FaceRecords(tmp_path / "one", first_label=1).fingerprint() != found["one"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_identities_with_few_images_are_left_out(tmp_path, variant):
    records = FaceRecords(write_variant(tmp_path / "set", variant))
    few = records.of_identities_with(2)
    assert (len(few), few.num_identities) == (5, 2) and few.labels().tolist() == [0, 0, 1, 1, 1]
    fewer = records.of_identities_with(3)
    assert [fewer.read(i) for i in range(len(fewer))] == [(image, 0) for image, label in IMAGES if label == 1]
    assert fewer.labels().tolist() == [0, 0, 0] and fewer.num_identities == 1
    assert len({one.fingerprint() for one in (records, few, fewer)}) == 3
    assert [records.read(i) for i in range(6)] == IMAGES and records.num_identities == 3, "the whole is as it was"
    with pytest.raises(UserError, match="no identity has 4 images, the most that one has is 3"):
        records.of_identities_with(4)

"""Sets merged, split and shuffled: no image is lost or changed, no identity in both parts."""

import numpy as np
import pytest
from helpers import tiny_jpeg, write_lines

from arcface_gluon.data import FaceRecords, write_training_set
from arcface_gluon.data.records.rearranging import merge, shuffle, split_identities, write_split
from arcface_gluon.errors import UserError


@pytest.fixture
def make(tmp_path):
    """Function that writes a set of people with as many images as numbers say; an image's bytes tell whose it is."""

    def write(name, counts, names=(), seed=0, size=(8, 8)):
        images = [(tiny_jpeg(seed, person, i, size=size), person) for person, n in enumerate(counts) for i in range(n)]
        write_training_set(tmp_path / name, images, size)
        if names:
            write_lines(tmp_path / name / "names.tsv", [f"{i}\t{one}" for i, one in enumerate(names)])
        return FaceRecords(tmp_path / name)

    return write


def contents(folder):
    records = FaceRecords(folder)
    return [records.read(i) for i in range(len(records))]


def test_merged_sets_are_numbered_on(make, tmp_path):
    one, two = make("one", [2, 1], ["Ann", "Bo"]), make("two", [1, 2], ["Bo", "Cy"], seed=1)
    assert merge([one, two], tmp_path / "out") == (6, 4, 0)
    wanted = [*contents(tmp_path / "one"), *((image, label + 2) for image, label in contents(tmp_path / "two"))]
    assert contents(tmp_path / "out") == wanted
    lines = (tmp_path / "out/labels.tsv").read_text().splitlines()
    assert lines == [f"{new}\t{new % 2}\t{tmp_path / ('one', 'two')[new // 2]}" for new in range(4)]
    assert (tmp_path / "out/names.tsv").read_text() == "0\tAnn\n1\tBo\n2\tBo\n3\tCy\n"


def test_merged_by_name_two_become_one(make, tmp_path):
    one, two = make("one", [2, 1], ["Ann", "Bo"]), make("two", [1, 2], ["Bo", "Cy"], seed=1)
    assert merge([one, two], tmp_path / "out", by_name=True) == (6, 3, 0)
    (a, b), (c, d) = (
        [[i for i, label in contents(tmp_path / s) if label == k] for k in (0, 1)] for s in ("one", "two")
    )
    assert contents(tmp_path / "out") == [*((i, 0) for i in a), *((i, 1) for i in b + c), *((i, 2) for i in d)]
    (tmp_path / "two/names.tsv").unlink()
    with pytest.raises(UserError, match="does not name identity 0"):
        merge([one, FaceRecords(tmp_path / "two")], tmp_path / "other", by_name=True)


def test_refused_merges(make, tmp_path):
    one, two = make("one", [1, 1]), make("two", [1, 1], size=(9, 8))
    with pytest.raises(UserError, match="different sizes: .*one of 8x8, .*two of 9x8"):
        merge([one, two], tmp_path / "out")
    with pytest.raises(UserError, match="a set that is read"):
        merge([one, make("three", [1])], tmp_path / "one", force=True)
    assert len(FaceRecords(tmp_path / "one")) == 2


def test_a_shuffled_set_has_the_same_images(make, tmp_path):
    records = make("set", [3, 3, 2], ["a", "b", "c"])
    assert shuffle(records, tmp_path / "out", seed=1) == (8, 3, 0)
    found = contents(tmp_path / "out")
    assert sorted(found) == sorted(contents(tmp_path / "set")) and found != contents(tmp_path / "set")
    shuffle(records, tmp_path / "again", seed=1)
    shuffle(records, tmp_path / "other", seed=2)
    assert contents(tmp_path / "again") == found != contents(tmp_path / "other")
    assert (tmp_path / "out/names.tsv").read_text() == (tmp_path / "set/names.tsv").read_text()


def test_mxnet_reads_a_shuffled_set_from_end_to_end(make, tmp_path):
    import mxnet as mx

    shuffle(make("set", [3, 3, 2]), tmp_path / "out")
    labels = []
    for batch in mx.io.ImageRecordIter(path_imgrec=str(tmp_path / "out/train.rec"), data_shape=(3, 8, 8), batch_size=8):
        labels += batch.label[0].asnumpy().tolist()
    assert labels == [label for _, label in contents(tmp_path / "out")]


def test_no_identity_is_in_both_parts(make, tmp_path):
    records = make("set", [2, 1, 3, 0, 2, 1], list("abcdef"))
    parts = split_identities(records, 2, seed=4)
    assert len(parts.training) == 3 and 3 not in (*parts.training, *parts.verification)
    training, verification = write_split(records, tmp_path / "out", parts)
    assert training.images + verification.images == 9
    old = dict(contents(tmp_path / "set"))
    for part, kept in ((tmp_path / "out", parts.training), (tmp_path / "out/unseen", parts.verification)):
        assert [kept[label] for _, label in contents(part)] == [old[image] for image, _ in contents(part)]
        names = [line.split("\t")[1] for line in (part / "names.tsv").read_text().splitlines()]
        assert names == ["abcdef"[label] for label in kept]
    again = split_identities(records, 2, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(again, parts))
    for number in (0, 5):
        with pytest.raises(UserError, match="5 identities with images"):
            split_identities(records, number)


def test_an_earlier_split_is_replaced_whole_or_not_at_all(make, tmp_path):
    records, out = make("set", [2, 1, 3, 2, 1]), tmp_path / "out"
    write_split(records, out, split_identities(records, 2))
    (out / "verification.bin").write_bytes(b"pairs")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="is there already"):
        write_split(records, out, split_identities(records, 1, seed=1))
    for images in range(8):
        stop = iter(range(images)).__next__  # its end, within the writer, is as a signal
        with pytest.raises(RuntimeError):
            write_split(records, out, split_identities(records, 1, seed=1), force=True, stop=stop)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    write_split(records, out, split_identities(records, 1, seed=1), force=True)
    assert not (out / "verification.bin").exists() and not list(out.glob(".*"))
    known = [{image for image, _ in contents(folder)} for folder in (out, out / "unseen")]
    assert not known[0] & known[1] and sum(map(len, known)) == 9

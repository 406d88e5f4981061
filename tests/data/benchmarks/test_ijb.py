"""The IJB lists: what they hold, and which lines are refused."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.data.benchmarks import ijb
from arcface_gluon.errors import UserError


def written(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return path


def test_layout():
    where = ijb.layout("/d/IJBC", "IJBC")
    assert where.media.as_posix() == "/d/IJBC/meta/ijbc_face_tid_mid.txt"
    assert [p.name for p in where.galleries] == ["ijbc_1N_gallery_G1.csv", "ijbc_1N_gallery_G2.csv"]
    assert ijb.layout("x", "IJBB").galleries[1].name == "ijbb_1N_gallery_S2.csv"
    with pytest.raises(UserError, match="choose IJBB or IJBC"):
        ijb.layout("x", "IJBA")


def test_media(tmp_path):
    read = ijb.read_media(written(tmp_path, "1.jpg 5 69544\n2.jpg 5 -1\n1.jpg 6 3\n"))
    assert read.names == ["1.jpg", "2.jpg", "1.jpg"]
    assert read.templates.tolist() == [5, 5, 6] and read.media.tolist() == [69544, -1, 3]


def test_pairs(tmp_path):
    read = ijb.read_pairs(written(tmp_path, "1 11065 1\n1 11066 0\n2 7 0\n"))
    assert read.first.tolist() == [1, 1, 2] and read.second.tolist() == [11065, 11066, 7]
    assert read.same.tolist() == [True, False, False]
    marked = ijb.read_pairs(written(tmp_path, "\ufeff1 11065 1\n"))
    assert (marked.first.tolist(), marked.second.tolist(), marked.same.tolist()) == ([1], [11065], [True])


def test_repeated_pairs_are_counted_in_either_order(tmp_path):
    assert ijb.read_pairs(written(tmp_path, "1 2 1\n1 3 0\n2 1 1\n-1 2 0\n1 2 0\n2 -1 0\n")).repeated() == 3
    assert ijb.read_pairs(written(tmp_path, "1 2 1\n1 3 0\n-1 2 0\n2 3 0\n")).repeated() == 0


def test_landmarks(tmp_path):
    path = written(tmp_path, "1.jpg 1 2 3 4 5 6 7 8 9 10 0.5\n")
    read = ijb.read_landmarks(path, ["1.jpg"])
    np.testing.assert_array_equal(read.points, np.arange(1, 11).reshape(1, 5, 2))
    assert read.scores.tolist() == [0.5]
    with pytest.raises(UserError, match="line 1: 1.jpg is not the image"):
        ijb.read_landmarks(path, ["2.jpg"])
    with pytest.raises(UserError, match="1 lines, the media list 2"):
        ijb.read_landmarks(path, ["1.jpg", "2.jpg"])


def test_enrolment_has_each_template_once(tmp_path):
    read = ijb.read_enrolment(written(tmp_path, "TEMPLATE_ID,SUBJECT_ID,FILENAME\n7,2,a.jpg\n7,2,b.jpg\n3,9,c.jpg\n"))
    assert read.templates.tolist() == [7, 3] and read.subjects.tolist() == [2, 9]


@pytest.mark.parametrize(
    "read, text, words",
    [
        (ijb.read_media, "a.jpg 1 2\nb.jpg 1\n", "line 2: expected `name template media`"),
        (ijb.read_media, "a.jpg 1 2\na.jpg 1 3\n", "line 2: a.jpg is twice in template 1"),
        (ijb.read_media, "", "names no image"),
        (ijb.read_pairs, "1 2 1\n3 4\n", "5 numbers, not three a line"),
        (ijb.read_pairs, "1 2 1\n3 x 0\n", "no number"),
        (ijb.read_pairs, "1 2 1\n3 4 2\n", "line 2: the label is 2"),
        (ijb.read_pairs, "", "0 numbers"),
        (ijb.read_pairs, f"1 2 1\n3 {2**32 + 4} 0\n", "line 2: a number is beyond 32 bits"),
        (ijb.read_pairs, f"1 {10**30} 1\n", "line 1: a number is beyond 32 bits"),
        (ijb.read_media, f"a.jpg {10**30} 2\n", "line 1: expected `name template media`"),
        (ijb.read_enrolment, f"head\n{10**30},2\n", "line 2: expected `template,subject"),
        (ijb.read_landmarks, "a.jpg 1 2 3\n", "line 1: expected a name, five points and a score"),
        (ijb.read_landmarks, "a.jpg 1 2 3 4 5 6 7 8 9 10 nan\n", "line 1: expected"),
        (ijb.read_enrolment, "head\n1,2\n1,3\n", "line 3: template 1 has subjects 2 and 3"),
        (ijb.read_enrolment, "head\n1;2\n", "line 2: expected `template,subject"),
        (ijb.read_enrolment, "head\n", "names no template"),
    ],
)
def test_bad_lists_are_refused_with_the_line(tmp_path, read, text, words):
    with pytest.raises(UserError, match=words) as error:
        read(written(tmp_path, text))
    assert "list.txt" in str(error.value) and "\n" not in str(error.value)


def test_lists_that_cannot_be_read(tmp_path):
    for read in (ijb.read_media, ijb.read_pairs, ijb.read_enrolment):
        with pytest.raises(UserError, match="cannot read .*none"):
            read(tmp_path / "none")

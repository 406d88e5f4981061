"""Whose images are packed: folders and lists, and what is refused."""

import pytest
from helpers import write_lines
from hypothesis import given
from hypothesis import strategies as st

from arcface_gluon.data.images.listing import natural_order, read_listing
from arcface_gluon.errors import UserError


@pytest.mark.parametrize(
    "name, lines, labels, names",
    [
        ("a.csv", ["path,identity", "2.jpg,Bo", "1.jpg,Ann"], [1, 0], {0: "Ann", 1: "Bo"}),
        ("a.csv", ["1.jpg,7", "2.jpg,10"], [0, 1], {0: "7", 1: "10"}),
        ("a.csv", ["score,identity,path", "0.5,0,1.jpg", "0.5,3,2.jpg"], [0, 3], {}),
        ("a.lst", ["0\t1\t1.jpg", "1\t0\t2.jpg"], [1, 0], {}),
        ("a.txt", ["1.jpg\tBo", "2.jpg\tAnn"], [1, 0], {0: "Ann", 1: "Bo"}),
        ("train.lst", ["1\t1.jpg\t0", "1\t2.jpg\t1"], [0, 1], {}),
    ],
)
def test_lists(tmp_path, name, lines, labels, names):
    write_lines(tmp_path / name, lines)
    listing = read_listing(tmp_path / name)
    assert (listing.labels, listing.names) == (labels, names)


@pytest.mark.parametrize(
    "name, lines, words",
    [
        ("a.csv", ["../1.jpg,0"], "leads out of its folder"),
        ("a.csv", ["/etc/1.jpg,0"], "not below .* --root"),
        ("a.csv", ["1.jpg,0", "1.jpg,1"], "1.jpg is listed 2 times"),
        ("a.csv", ["1.jpg,0,3"], "line 1: expected path,identity"),
        ("a.csv", ["1.jpg,0", "2.jpg"], "line 2: expected a path and an identity"),
        ("a.txt", ["1.jpg"], "has no identities"),
        ("train.lst", ["0\t1.jpg\t0\t" + "\t".join("1" * 14)], "not aligned; align them first"),
    ],
)
def test_refused_lists(tmp_path, name, lines, words):
    write_lines(tmp_path / name, lines)
    with pytest.raises(UserError, match=words):
        read_listing(tmp_path / name)


@given(st.lists(st.text("ab01 9", max_size=6), max_size=6))
def test_natural_order_is_an_order(names):
    assert len({natural_order(name) for name in names}) == len(set(names))
    backwards = names[::-1]
    assert sorted(names, key=natural_order) == sorted(backwards, key=natural_order)

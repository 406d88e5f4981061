"""Pair lists in the layouts of their owners, and what is wrong with bad ones."""

import numpy as np
import pytest
from scipy.io import savemat

from arcface_gluon.data.verification.pair_lists import (
    Pair,
    differences,
    folds_of,
    is_whole_set,
    read_agedb,
    read_cfp,
    read_lfw,
    read_two_lines,
    read_ytf,
)
from arcface_gluon.data.verification.sets import SETS
from arcface_gluon.errors import UserError


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_lfw(tmp_path):
    path = write(tmp_path / "pairs.txt", "2\t1", "Ann\t1\t12", "Ann\t1\tBo_C\t3", "Bo_C\t2\t3", "Bo_C\t1\tDi\t1")
    assert read_lfw(path) == [
        Pair("Ann/Ann_0001.jpg", "Ann/Ann_0012.jpg", True),
        Pair("Ann/Ann_0001.jpg", "Bo_C/Bo_C_0003.jpg", False),
        Pair("Bo_C/Bo_C_0002.jpg", "Bo_C/Bo_C_0003.jpg", True),
        Pair("Bo_C/Bo_C_0001.jpg", "Di/Di_0001.jpg", False),
    ]
    assert len(read_lfw(write(path, "1", "Ann\t1\t2", "Ann\t1\tBo\t3"))) == 2  # the header of the development lists


@pytest.mark.parametrize(
    "lines, words",
    [
        (["2\t1", "Ann\t1\t2"], "announces 4 pairs and has 1"),
        (["1\t1", "Ann\t1\t2", "Ann\t1"], r"pairs\.txt line 3: expected"),
        (["1\t1", "Ann\tx\t2"], r"pairs\.txt line 2"),
        ([], "announces 0 pairs"),
    ],
)
def test_bad_lfw(tmp_path, lines, words):
    if lines or words.startswith("announces"):
        path = write(tmp_path / "pairs.txt", *lines)
    if not lines:
        assert read_lfw(path) == []
        return
    with pytest.raises(UserError, match=words):
        read_lfw(path)


def cfp(folder):
    write(folder / "Pair_list_F.txt", "1 ../Data/Images/001/frontal/01.jpg", "2 ../Data/Images/002/frontal/01.jpg")
    write(folder / "Pair_list_P.txt", "1 ../Data/Images/001/profile/01.jpg", "2 ../Data/Images/002/profile/01.jpg")
    for kind in ("FF", "FP"):
        for fold in range(1, 11):
            write(folder / "Split" / kind / f"{fold:02d}" / "same.txt", "2,2" if fold == 10 else "1,1")
            write(folder / "Split" / kind / f"{fold:02d}" / "diff.txt", "2,1")


def test_cfp(tmp_path):
    cfp(tmp_path)
    frontal = "Data/Images/{}/frontal/01.jpg".format
    profile = "Data/Images/{}/profile/01.jpg".format
    pairs = read_cfp(tmp_path, "FP")
    assert len(pairs) == 20 and pairs[0] == Pair(frontal("001"), profile("001"), True)
    assert pairs[18:] == [Pair(frontal("002"), profile("002"), True), Pair(frontal("002"), profile("001"), False)]
    assert read_cfp(tmp_path, "FF")[1] == Pair(frontal("002"), frontal("001"), False)
    write(tmp_path / "Split" / "FF" / "03" / "diff.txt", "1,3")
    with pytest.raises(UserError, match=r"03/diff\.txt line 1: .*'1,3'"):
        read_cfp(tmp_path, "FF")
    (tmp_path / "Split" / "FF" / "02" / "same.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read .*02/same\.txt"):
        read_cfp(tmp_path, "FF")


def test_agedb(tmp_path):
    splits = np.empty((10, 1), object)
    for fold in range(10):
        images = np.empty((2, 2), object)
        for side in (0, 1):
            for column in (0, 1):
                images[side, column] = {"name": f"{fold}_Ann_{side}{column}_f", "age": 30 + side}
        splits[fold, 0] = {"images": images, "labels": [1, -1]}
    path = tmp_path / "04_FINAL_protocol_30_years.mat"
    savemat(path, {"splits": splits})
    pairs = read_agedb(path)
    assert len(pairs) == 20
    assert pairs[2] == Pair("1_Ann_00_f.jpg", "1_Ann_10_f.jpg", True)
    assert pairs[3] == Pair("1_Ann_01_f.jpg", "1_Ann_11_f.jpg", False)
    savemat(path, {"other": splits})
    with pytest.raises(UserError, match="not AgeDB's"):
        read_agedb(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="not AgeDB's"):
        read_agedb(path)
    with pytest.raises(UserError, match="cannot read"):
        read_agedb(tmp_path / "nothing.mat")


def two_lines(*marks):
    return [f"{name}{i}.jpg {mark}" for i, mark in enumerate(marks) for name in "ab"]


def test_list_with_the_genuine_pairs_first_is_dealt_out_to_the_folds(tmp_path):
    marks = [fold for fold in range(1, 11) for _ in range(3)] + [0] * 30
    pairs = read_two_lines(write(tmp_path / "pairs_CALFW.txt", *two_lines(*marks)))
    for fold, members in enumerate(folds_of(pairs)):
        numbers = [int(pair.first[1:-4]) for pair in members]
        assert numbers == [3 * fold + i for i in range(3)] + [30 + 3 * fold + i for i in range(3)]
        assert [pair.same for pair in members] == [True] * 3 + [False] * 3
    assert differences("calfw", pairs) == [
        "calfw: 60 pairs, the whole set has 6,000",
        "calfw: 30 genuine pairs, the whole set has 3,000",
    ]


def test_list_that_has_its_folds_stays_in_order(tmp_path):
    pairs = read_two_lines(write(tmp_path / "pairs_CPLFW.txt", *two_lines(*[0, 1, 1] * 10)))
    assert pairs == [Pair(f"a{i}.jpg", f"b{i}.jpg", i % 3 > 0) for i in range(30)]
    assert "not equal in number in fold 1, 2, 3, 4, 5, 6, 7, 8, 9, 10" in differences("cplfw", pairs)[-1]


@pytest.mark.parametrize("lines", [["a.jpg 1", "b.jpg 0"], ["a.jpg 1", "b.jpg"], ["a.jpg 1", "b.jpg one"], ["a.jpg 1"]])
def test_bad_two_lines(tmp_path, lines):
    with pytest.raises(UserError, match=r"pairs\.txt (line 2|ends within)"):
        read_two_lines(write(tmp_path / "pairs.txt", *lines))


def test_ytf(tmp_path):
    header = "split number, pair number, first name, second name, is same"
    rows = ["2, 1, Ann/1, Bo/0, 0", "1, 1, Ann/0, Ann/1, 1"]
    assert read_ytf(write(tmp_path / "splits.txt", header, *rows)) == [
        Pair("Ann/0", "Ann/1", True),
        Pair("Ann/1", "Bo/0", False),
    ]
    with pytest.raises(UserError, match=r"splits\.txt line 2: the mark 1 contradicts"):
        read_ytf(write(tmp_path / "splits.txt", header, "1, 1, Ann/0, Bo/1, 1"))
    with pytest.raises(UserError, match=r"splits\.txt line 2: expected"):
        read_ytf(write(tmp_path / "splits.txt", header, "1, 1, Ann/0, 1"))
    with pytest.raises(UserError, match=r"splits\.txt line 2: expected"):
        read_ytf(write(tmp_path / "splits.txt", header, "², 1, Ann/0, Ann/1, 1"))  # a digit that is no number
    with pytest.raises(UserError, match="splits.txt names no pair"):
        read_ytf(write(tmp_path / "splits.txt", header))


def test_whole_sets_have_no_differences():
    for name, (count, genuine) in {name: (one.pairs, one.genuine) for name, one in SETS.items()}.items():
        assert genuine * 2 == count
        assert differences(name, [Pair("a", "b", i % 2 == 0) for i in range(count)]) == []
    assert "fewer pairs than the 10 folds" in differences("lfw", [Pair("a", "b", True)])[-1]


def test_whole_sets_are_told_by_the_order_of_their_pairs():
    lfw = ([True] * 300 + [False] * 300) * 10
    assert is_whole_set("lfw", lfw) and is_whole_set("lfw", np.array(lfw)) and is_whole_set("calfw", lfw)
    other = [True, False] * 3000
    assert not is_whole_set("lfw", other) and is_whole_set("agedb_30", other)
    assert not is_whole_set("lfw", lfw[:-1]) and not is_whole_set("lfw", lfw[::-1])
    assert not is_whole_set("calfw", sorted(lfw)), "a fold of one kind"
    assert not is_whole_set("calfw", [*lfw[:-1], True])
    assert not is_whole_set("cfp_fp", lfw) and is_whole_set("cfp_fp", ([True] * 350 + [False] * 350) * 10)
    assert not is_whole_set("mine", lfw) and not is_whole_set("lfw", [])

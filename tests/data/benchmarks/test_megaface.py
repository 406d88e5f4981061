"""MegaFace lists and noise lists."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcface_gluon.data.benchmarks import megaface
from arcface_gluon.errors import UserError


def test_the_devkits_lists(tmp_path):
    probes = tmp_path / "facescrub_features_list.json"
    probes.write_text(json.dumps({"path": ["A_B/A_B_1.png", "A_B/A_B_2.png"], "id": ["A_B", "A_B"]}))
    read = megaface.read_probe_list(probes)
    assert read.paths == ["A_B/A_B_1.png", "A_B/A_B_2.png"] and read.identities == ["A_B", "A_B"]
    distractors = megaface.distractor_list_path(tmp_path, 1000000, 1)
    assert distractors.name == "megaface_features_list.json_1000000_1"
    distractors.write_text(json.dumps({"path": ["1/x/a.jpg"]}))
    assert megaface.read_distractor_list(distractors).paths == ["1/x/a.jpg"]


def test_text_lists_take_the_folder_for_the_person(tmp_path):
    path = tmp_path / "facescrub_lst"
    path.write_text("Al Pacino/1.jpg\n\nBo/2.jpg\n")
    read = megaface.read_probe_list(path)
    assert read.paths == ["Al Pacino/1.jpg", "Bo/2.jpg"] and read.identities == ["Al Pacino", "Bo"]
    path.write_text("x.jpg\n")
    with pytest.raises(UserError, match="x.jpg has no folder"):
        megaface.read_probe_list(path)


def test_names_of_files():
    assert megaface.feature_paths("r", ["P/x.png"], "_r100ii.bin")[0].as_posix() == "r/P/x.png_r100ii.bin"
    assert megaface.algorithm("_arcface_112x112.bin") == "arcface_112x112"
    assert megaface.result_name("_r50.bin", 100, 2) == "cmc_facescrub_megaface_r50_100_2.json"


def test_noise_lists(tmp_path):
    path = tmp_path / "noises.txt"
    path.write_text("# 3 names\nA_1.png\nx\t1/2/b.jpg\n\nC_9.png\n")
    noise = megaface.read_noise_list(path)
    assert noise == ["A_1.png", "1/2/b.jpg", "C_9.png"]
    mask, unknown = megaface.find_noisy(["A/A_1.jpg", "A/A_10.jpg", "1/2/b.jpg", "2/2/b.jpg"], noise)
    assert mask.tolist() == [True, False, True, False]
    assert unknown == ["C_9.png"]


def test_the_noise_mark_of_the_authors_script_is_undone():
    features = np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32)
    marked = np.concatenate([features, [[0], [100], [0], [0]]], axis=1)
    plain, noisy = megaface.split_noise_mark(marked)
    np.testing.assert_array_equal(plain, features)
    assert noisy.tolist() == [False, True, False, False]
    for unmarked in (features, features[:, :511]):
        plain, noisy = megaface.split_noise_mark(unmarked)
        assert plain is unmarked and not noisy.any()


@pytest.mark.parametrize(
    "content, words",
    [
        ("[1]", "array `path`"),
        ('{"path": [1], "id": [1]}', "array `path`"),
        ('{"path": ["a"]}', "`id` for each"),
        ('{"path": ["a", "b"], "id": ["x"]}', "`id` for each"),
        ('{"path": ["a", "a"], "id": ["x", "x"]}', "names a twice"),
        ('{"path": [], "id": []}', "names no image"),
        ("{", "not valid JSON"),
    ],
)
def test_bad_lists_are_refused(tmp_path, content, words):
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words):
        megaface.read_probe_list(path)


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        megaface.read_distractor_list(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="not a text list"):
        megaface.read_distractor_list(tmp_path / "binary")


def test_lists_of_all_sizes_share_their_distractors(tmp_path):
    for size, number, paths in ((2, 1, "cb"), (4, 1, "abcd"), (2, 2, "ed")):
        megaface.distractor_list_path(tmp_path, size, number).write_text(json.dumps({"path": list(paths)}))
    (tmp_path / "megaface_features_list.json_x_1").write_text("{}")
    galleries = megaface.read_galleries(tmp_path)
    assert galleries.paths == list("abcde") and list(galleries.rows) == [(2, 1), (2, 2), (4, 1)]
    assert {key: rows.tolist() for key, rows in galleries.rows.items()} == {
        (2, 1): [2, 1],
        (2, 2): [4, 3],
        (4, 1): [0, 1, 2, 3],
    }
    assert list(megaface.read_galleries(tmp_path, sizes=[2]).rows) == [(2, 1), (2, 2)]
    assert list(megaface.read_galleries(tmp_path, sets=[1]).rows) == [(2, 1), (4, 1)]
    assert megaface.unknown_elsewhere(
        tmp_path, ["a", "e", "x"], megaface.read_galleries(tmp_path, sizes=[2], sets=[2])
    ) == ["e", "x"]
    for options, message in (
        ({"sizes": [3]}, "json_3_1: No such file"),
        ({"sizes": [4], "sets": [2]}, "json_4_2: No such file"),
        ({"sets": [3]}, "no distractor list of what was asked for"),
    ):
        with pytest.raises(UserError, match=message):
            megaface.read_galleries(tmp_path, **options)

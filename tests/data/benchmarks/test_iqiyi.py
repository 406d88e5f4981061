"""Video lists and frames."""

from __future__ import annotations

import pytest

from arcface_gluon.data.benchmarks import iqiyi
from arcface_gluon.errors import UserError


def test_videos_and_their_frames(tmp_path):
    (tmp_path / "val.txt").write_text("b 4\na -1\n")
    for name in ("a/2.jpg", "a/1.jpg", "b/9.jpg"):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    videos = iqiyi.read_video_list(tmp_path / "val.txt")
    assert videos.names == ["b", "a"] and videos.persons.tolist() == [4, -1]
    paths, positions, missing = iqiyi.frames(tmp_path, videos)
    assert [f"{p.parent.name}/{p.name}" for p in paths] == ["b/9.jpg", "a/1.jpg", "a/2.jpg"]
    assert positions.tolist() == [0, 1, 1] and missing == []
    (tmp_path / "frames" / "b" / "9.jpg").unlink()
    with pytest.raises(UserError, match="b has no frames"):
        iqiyi.frames(tmp_path, videos)
    paths, positions, missing = iqiyi.frames(tmp_path, videos, skip_missing=True)
    assert len(paths) == 2 and positions.tolist() == [1, 1] and missing == ["b"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("a 1\nb\n", "line 2: expected"),
        ("a x\n", "line 1: expected"),
        ("a 1\na 2\n", "line 2: a is named twice"),
        ("\n", "names no video"),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, words):
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(UserError, match=words):
        iqiyi.read_video_list(tmp_path / "val.txt")
    with pytest.raises(UserError, match="cannot read"):
        iqiyi.read_video_list(tmp_path / "none.txt")


def test_a_set_is_two_lists_without_common_videos(tmp_path):
    train, val = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("a 4\nb 4\n")
    val.write_text("c -1\nd 4\n")
    videos = iqiyi.read_set(train, val)
    assert videos.names == list("abcd") and videos.persons.tolist() == [4, 4, -1, 4] and videos.training == 2
    val.write_text("c -1\nb 4\n")
    with pytest.raises(UserError, match=r"b is in .*train.txt and in .*val.txt"):
        iqiyi.read_set(train, val)
    train.write_text("a 4\nb -1\n")
    with pytest.raises(UserError, match=r"train.txt: b shows nobody"):
        iqiyi.read_set(train, val)

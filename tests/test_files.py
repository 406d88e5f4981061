"""Atomic writing."""

import os

import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.files import atomic_write, read_json, read_lines, sha256, write_json


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_written_file_has_the_usual_permissions(tmp_path):
    write_json(tmp_path / "a.json", [])
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_one_line(tmp_path):
    message = "cannot write .*No space left.*free some space"
    with pytest.raises(UserError, match=message), atomic_write(tmp_path / "a"), open("/dev/full", "wb", 0) as full:
        full.write(b"x")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "a.json", {})


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="a.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="missing.json"):
        read_json(tmp_path / "missing.json")


def test_lines_of_a_text_list(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfAnn Lee\tx \r\n \r\n  Bo\n")
    assert list(read_lines(path)) == [(1, "Ann Lee\tx"), (3, "Bo")]
    path.write_bytes(b"Ann\n\xff\xfe")
    with pytest.raises(UserError, match=r"list.txt is not a text list .*; give another$"):
        list(read_lines(path, "give another"))
    with pytest.raises(UserError, match=r"cannot read .*none.txt: No such file or directory; check the path$"):
        list(read_lines(tmp_path / "none.txt"))


def test_sha256_of_a_published_vector(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

"""Atomic writing."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from arcface_gluon import files
from arcface_gluon.errors import UserError
from arcface_gluon.files import (
    atomic_write,
    cannot_write,
    csv_fields,
    new_folder,
    only_writer,
    read_json,
    read_lines,
    sha256,
    write_json,
)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def killed_writer(path):
    """A writer of `path` that was killed in the middle."""
    text = "import sys, time\nfrom arcface_gluon.files import atomic_write\nwith atomic_write(sys.argv[1]) as file:\n"
    text += "    file.write(b'x' * 100)\n    file.flush()\n    print(flush=True)\n    time.sleep(60)\n"
    process = subprocess.Popen([sys.executable, "-c", text, path], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_what_a_killed_writer_left_is_taken_over(tmp_path):
    process = killed_writer(tmp_path / "a")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(tmp_path) == [".a.tmp"]
    with atomic_write(tmp_path / "a") as file:
        file.write(b"short")
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"short"


def test_a_live_writer_is_waited_for_and_never_disturbed(tmp_path, monkeypatch):
    path = tmp_path / "a"
    monkeypatch.setattr(files, "_PATIENCE", 0)
    with atomic_write(path) as first:
        with pytest.raises(UserError, match="a is being written by another process"), atomic_write(path):
            pass
        first.write(b"first")
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["a"]
    monkeypatch.setattr(files, "_PATIENCE", 60)

    def write(content):
        with atomic_write(path) as file:
            file.write(content[:1])
            time.sleep(0.002)
            file.write(content[1:])

    threads = [threading.Thread(target=write, args=(bytes([65 + i]) * 9,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert content == content[:1] * 9 and os.listdir(tmp_path) == ["a"]


def test_where_files_cannot_be_locked(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    write_json(tmp_path / "a.json", [])
    (tmp_path / "b").write_text("")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b"]
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_sealed_file_tells_that_it_was_changed(tmp_path):
    path, value = tmp_path / "a.json", {"b": [1, 0.1, (2,)], "a": {"x": None}, "n": float("inf")}
    write_json(path, value, sealed=True)
    assert read_json(path) == {**value, "b": [1, 0.1, [2]]}
    text = path.read_text()
    path.write_text("\ufeff" + json.dumps(json.loads(text), sort_keys=True))  # a mark, spaces and order say nothing
    assert read_json(path)["b"] == [1, 0.1, [2]]
    path.write_text(text.replace("0.1", "0.2"))
    with pytest.raises(UserError, match=r'a\.json was changed since it was written: .* delete the entry "checksum"'):
        read_json(path)


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


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60, "9" * 5000])
def test_json_that_costs_too_much_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.json is not valid JSON"):
        read_json(path)


def test_ordinary_json_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [[[[1, 2.5, null, 123456789012345678]]]]}')
    assert read_json(path) == {"a": [[[[1, 2.5, None, 123456789012345678]]]]}


def test_names_of_any_length_that_a_folder_takes_can_be_written(tmp_path):
    for name in ("x" * 255, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 127, "x" * 251):
        with atomic_write(tmp_path / name) as file:
            file.write(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"
    assert len(os.listdir(tmp_path)) == 3
    with pytest.raises(UserError, match="shorter name"), atomic_write(tmp_path / ("x" * 256)):
        pass


def test_a_field_without_end_is_told():
    assert csv_fields(' a ,"b, c"', "list.csv", 1) == ["a", "b, c"]
    with pytest.raises(UserError, match="list.csv line 7 is no line of a .csv"):
        csv_fields("a" * 200_000 + ",b", "list.csv", 7)


@pytest.mark.parametrize(
    "number, cure",
    [
        (errno.ENOSPC, "free some space or choose another folder"),
        (errno.EROFS, "Read-only file system; choose another folder"),
        (errno.EACCES, "Permission denied; ask for the right to write there, or choose another folder"),
    ],
)
def test_the_cure_of_a_failed_write_is_that_of_its_cause(number, cure):
    told = str(cannot_write("a/b", OSError(number, os.strerror(number))))
    assert told.startswith("cannot write a/b: ") and told.endswith(cure)


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(UserError, match="another process is writing into"):
        only_writer(tmp_path / "out").__enter__()
    with only_writer(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()  # nothing was written
    with only_writer(tmp_path / "out"):
        (tmp_path / "out" / "a").touch()
    with only_writer(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path / "out") == ["a"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        only_writer(tmp_path / "file" / "out").__enter__()


def test_a_new_folder_appears_when_it_is_whole_and_has_one_writer(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), new_folder(tmp_path / "out") as whole:
            whole.mkdir()
            raise KeyError
        assert os.listdir(tmp_path) == []
    (tmp_path / "out").mkdir()  # an empty one may be there
    with new_folder(tmp_path / "out") as whole:
        whole.mkdir()
        (whole / "a").touch()
        assert not os.listdir(tmp_path / "out")
        with pytest.raises(UserError, match="another process is writing into"):
            new_folder(tmp_path / "out").__enter__()
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["a"]
    for path in ("out", "out/a"):
        with pytest.raises(UserError, match="is there already"):
            new_folder(tmp_path / path).__enter__()

"""Demo sets are told by their mark, from their files, folders and the folder above."""

from __future__ import annotations

import pytest

from arcface_gluon.data.demos import demo_name, is_demo, mark_demo, set_name


def test_what_lies_in_a_marked_folder_is_a_demo(tmp_path, monkeypatch):
    mark_demo(tmp_path / "demo" / "ijb" / "IJBC")
    mark_demo(tmp_path / "sets")
    for path, demo in [
        ("demo/ijb/IJBC", True),
        ("demo/ijb", True),
        ("demo/ijb/IJBC/meta", True),
        ("demo/ijb/IJBC/meta/list.txt", True),
        ("demo", False),  # two levels above one of many sets
        ("sets/lfw.bin", True),
        ("lfw.bin", False),
        ("nowhere/lfw.bin", False),
    ]:
        assert is_demo(tmp_path / path) == demo, path
    assert is_demo("demo"), "the word"
    monkeypatch.chdir(tmp_path / "sets")
    assert is_demo("lfw.bin") and is_demo(".")


@pytest.mark.parametrize("name, called", [("lfw", "demo_lfw"), ("demo_lfw", "demo_lfw")])
def test_names(tmp_path, name, called):
    assert demo_name(name) == called
    assert set_name(tmp_path / f"{name}.bin") == name
    mark_demo(tmp_path)
    assert set_name(tmp_path / f"{name}.bin") == called

"""A prepared set is told from a missing, another, or a damaged one."""

import pytest

from arcface_gluon.data.prepared import NAME, begin, is_prepared, mark_prepared
from arcface_gluon.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    mark_prepared(tmp_path, ("a", "b"), {"seed": 1})
    return tmp_path


def test_whole_set(folder):
    assert is_prepared(folder, {"seed": 1})
    assert not is_prepared(folder, {"seed": 2})


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "b").unlink(),
        lambda folder: (folder / "b").write_text("c"),
        lambda folder: (folder / NAME).unlink(),
        lambda folder: (folder / NAME).write_text("{"),
        lambda folder: (folder / NAME).write_text("[]"),
        lambda folder: (folder / NAME).write_text('{"facts": {"seed": 1}, "sha256": 5}'),
    ],
)
def test_damaged_set(folder, damage):
    damage(folder)
    assert not is_prepared(folder, {"seed": 1})


def test_a_folder_of_other_files_is_left_alone(folder, tmp_path_factory):
    begin(folder, {"seed": 2})  # in place of another set
    assert not is_prepared(folder, {"seed": 2})
    begin(folder, {"seed": 2})  # after an interrupt
    other = tmp_path_factory.mktemp("holiday")
    (other / "s01").mkdir()
    with pytest.raises(UserError, match="choose another folder"):
        begin(other, {"seed": 2})
    assert [path.name for path in other.iterdir()] == ["s01"]

"""conditions.csv: what is written is read again, and what is wrong is named."""

from __future__ import annotations

import pytest

from arcface_gluon.data.records.conditions_file import condition_lines, read_conditions
from arcface_gluon.errors import UserError


def test_what_is_written_is_read_again(tmp_path):
    path, rows = tmp_path / "conditions.csv", [("frontal", "left"), ("left", ""), ("frontal", "front")]
    assert read_conditions(path, 3) == {}
    path.write_text("".join(f"{line}\n" for line in condition_lines(("pose", "light"), rows)))
    assert read_conditions(path, 3) == {"pose": ["frontal", "left", "frontal"], "light": ["left", "", "front"]}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: expected different names"),
        ("pose,pose\na,b\n", "line 1: expected different names"),
        ("pose,light\na,b\na\n", "line 3: expected 2 values, found \\['a'\\]"),
        ("pose\na\n", "for each of the 2 images, not 1"),
        ("year\n" + "".join(f"{year}\n" for year in range(1950, 2002)), "for each of the 2 images, not 52"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "conditions.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_conditions(path, 2)


def test_a_condition_whose_every_image_is_a_group_of_its_own_is_refused(tmp_path):
    path = tmp_path / "conditions.csv"
    path.write_text("seconds\n" + "".join(f"{second}\n" for second in range(60)))
    with pytest.raises(UserError, match="seconds has 60 different values; group them to 50 or fewer"):
        read_conditions(path, 60)

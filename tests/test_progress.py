"""Progress where there is no terminal, and where there is one."""

import sys

import pytest

from arcface_gluon import progress as module
from arcface_gluon.progress import Lines, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: clock[0] is now."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_rarer_and_rarer_and_tell_rate_and_time_left(clock, capsys):
    with progress(total=1000, desc="lfw", unit=" images", initial=100) as bar:
        assert isinstance(bar, Lines)
        for _ in range(90):
            clock[0] += 1
            bar.update(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "lfw: 12% of 1,000 images, 10.0/s, 01:28 left"
    # After 2 s, then 4, 8, 16, 32 more: at 2, 6, 14, 30 and 62 s; and at the end.
    assert [line.split("%")[0][5:] for line in lines] == ["12", "16", "24", "40", "72", "100"]
    assert lines[-1] == "lfw: 100% of 1,000 images, 10.0/s, after 01:30"


def test_short_work_and_quiet_work_show_nothing(clock, capsys):
    for _ in progress(range(10), desc="short"):
        clock[0] += 0.1
    for _ in progress(range(10), desc="quiet", quiet=True):
        clock[0] += 100
    assert list(progress(range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_without_a_total_and_with_large_numbers(clock, capsys):
    bar = progress(unit="score", unit_scale=True)
    clock[0] += 4
    bar.update(8_000_000)
    assert capsys.readouterr().err == "8.00M score, 2.00M/s, after 00:04\n"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), desc="bar")) == [0, 1, 2]
    assert "bar: 100%" in capsys.readouterr().err

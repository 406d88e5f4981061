"""Tests under faults: kills, flipped bits, full disks. Run with `make test-faults`."""

from pathlib import Path

import pytest
from jobs import last_run, make_data, train
from process import run

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """`make test` and `make test-slow` leave these out."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder with the small training set, and what is made of it."""
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.fixture(scope="session")
def model(data, tmp_path_factory):
    """Folder of a finished training."""
    folder = tmp_path_factory.mktemp("model")
    done = run(train(data), folder)
    assert done.status == 0, done.output
    return last_run(folder)


class Ledger:
    """What the tests count.

    kills: {command: (kills, of which resumed to the same result, file operations of the command)}.
    flips: {kind of file: (changes, {"detected", "harmless", "value-only": counts}, whether a checksum covers it)}.
    full: {command or file: how often its disk was full}.
    """

    def __init__(self):
        self.kills, self.flips, self.full = {}, {}, {}


LEDGER = Ledger()


@pytest.fixture
def ledger():
    return LEDGER


def pytest_terminal_summary(terminalreporter):
    for name, (changes, counts, _) in LEDGER.flips.items():
        terminalreporter.write_line(f"{name}: {changes} changes, {counts}")
    for name, times in LEDGER.full.items():
        terminalreporter.write_line(f"{name}: {times} full disks")
    for name, (kills, same, operations) in LEDGER.kills.items():
        terminalreporter.write_line(f"{name}: {kills} kills over {operations} file operations, {same} resumed alike")

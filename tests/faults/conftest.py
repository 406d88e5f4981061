"""Tests under faults: kills, flipped bits, full disks. Run with `make test-faults`."""

import os
from pathlib import Path

import pytest
from jobs import last_run, make_data, train
from ledger import Ledger
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


LEDGER = Ledger()


@pytest.fixture
def ledger():
    return LEDGER


def pytest_terminal_summary(terminalreporter, exitstatus):
    """Show the counts; with FAULTS_DOCS=file, write them there if all went well."""
    for line in LEDGER.tables():
        terminalreporter.write_line(line)
    if os.environ.get("FAULTS_DOCS") and exitstatus == 0:
        LEDGER.write(os.environ["FAULTS_DOCS"])

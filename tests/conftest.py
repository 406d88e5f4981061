"""What several tests share."""

# First: it prepares the runtime before a test imports MXNet or OpenCV.
import arcface_gluon  # noqa: F401  isort: skip

import hypothesis
import pytest
from helpers import tiny_jpeg

from arcface_gluon.cli import main

# The same examples every time: a run of the tests must not depend on luck.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def orl(tmp_path_factory):
    """Folder with the ORL faces as train.rec and orl.bin."""
    folder = tmp_path_factory.mktemp("orl")
    assert main(["data", "orl", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Prefix of an exported network of 16 values, as drawn: for what runs a model, whatever it is worth."""
    import mxnet as mx

    from arcface_gluon import get_model
    from arcface_gluon.models.load import export_model

    mx.random.seed(0)
    net = get_model("r18", 16, width=0.125, units=[1, 1, 1, 1])
    net.initialize()
    net(mx.nd.zeros((1, 3, 112, 112)))
    prefix = tmp_path_factory.mktemp("model") / "model"
    export_model(net, prefix)
    return prefix


@pytest.fixture
def faces(tmp_path):
    """A folder of six pictures."""
    (tmp_path / "faces").mkdir()
    for i in range(6):
        (tmp_path / "faces" / f"{i}.jpg").write_bytes(tiny_jpeg(i, size=(112, 112)))
    return tmp_path / "faces"


class Done:
    """What a command left: exit status, stdout, stderr."""

    def __init__(self, status, stdout, stderr):
        self.returncode, self.stdout, self.stderr = status, stdout, stderr


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run the command line in this process, in a folder of its own; gives its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, check=0):
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        done = Done(status, *capfd.readouterr())
        assert done.returncode == check, done.stdout + done.stderr
        return done

    return run

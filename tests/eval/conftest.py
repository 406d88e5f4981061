"""What tests of the evaluations share: their scripts as modules, a tiny network, a set of faces."""

from __future__ import annotations

import mxnet as mx
import pytest
from helpers import load_script

from arcface_gluon import get_model
from arcface_gluon.models.load import export_model


@pytest.fixture(scope="session")
def script():
    """`helpers.load_script`, when a test first asks for it: a script that fails to load fails that test alone."""
    return load_script


def exported(folder, side):
    """Prefix of an exported network of 8 values and side x side pixels, which is called tiny."""
    mx.random.seed(0)
    net = get_model("r18", 8, width=0.125, units=[1, 1, 1, 1], input_size=side)
    net.initialize()
    net(mx.nd.zeros((1, 3, side, side)))
    export_model(net, folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A network of 16 x 16 pixels."""
    return exported(tmp_path_factory.mktemp("model"), 16)


@pytest.fixture(scope="session")
def model_112(tmp_path_factory):
    """A network of 112 x 112 pixels, for faces that are aligned."""
    return exported(tmp_path_factory.mktemp("model_112"), 112)


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the drawing of figures, which takes a second, to one test."""
    monkeypatch.setattr("arcface_gluon.report.figures.run.save_figure", lambda figure, prefix: None)


@pytest.fixture
def bad_input(capfd):
    """Function that runs a script's main and expects one line with a text, and status 2."""

    def check(main, arguments, text):
        capfd.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        lines = [line for line in capfd.readouterr().err.splitlines() if "it/s" not in line]
        assert len(lines) == 1 and lines[0].startswith("arcface-gluon: ") and text in lines[0], lines

    return check

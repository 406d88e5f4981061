import pytest
from small_networks import TINY, randomise

from arcface_gluon.models import get_model


@pytest.fixture
def tiny():
    """A small r18-like network with random parameters, on cpu(0)."""
    return randomise(get_model("r18", **TINY))

"""What is said of unknown names: aliases of other projects, near names, or the known ones."""

import pytest
from helpers import ROOT

from arcface_gluon import recipe
from arcface_gluon.cli import COMMANDS
from arcface_gluon.data.places import SETS
from arcface_gluon.errors import did_you_mean

NETWORKS = ["r18", "r34", "r50", "r100", "r152", "r200", "mobilefacenet"]
LOSSES = list(recipe.losses())
OPTIONS = list(recipe.flatten(recipe.resolve("orl")))


@pytest.mark.parametrize(
    "name, known, answer",
    [
        ("nsoftmax", LOSSES, "; here it is called 'norm-softmax'"),
        ("combined", LOSSES, "; here it is called 'cm1'"),
        ("Cosface", LOSSES, "; did you mean 'cosface'?"),
        ("arcface_intr", LOSSES, "; did you mean 'arcface-intra' or 'arcface-inter'?"),
        ("y1", NETWORKS, "; here it is called 'mobilefacenet'"),
        ("LResNet100E-IR", NETWORKS, "; here it is called 'r100'"),
        ("iresnet50", NETWORKS, "; here it is called 'r50'"),
        ("r10", NETWORKS, "; did you mean 'r100'?"),
        ("emore", recipe.names(), "; here it is called 'ms1mv2_r100'"),
        ("emore", SETS, "; here it is called 'ms1mv2'"),
        ("fresnet100", NETWORKS, "; here it is called 'r100'"),
        ("trian", COMMANDS, "; did you mean 'train'?"),
        ("train.batchsize", OPTIONS, "; did you mean 'train.batch_size'?"),
        ("batch_size", OPTIONS, "; did you mean 'train.batch_size'?"),
        ("head.m2", OPTIONS, "; here it is called 'head.margin'"),
    ],
)
def test_a_name_that_was_meant_is_told(name, known, answer):
    assert did_you_mean(name, known) == answer


def test_every_training_set_has_a_section():
    headings = [line[3:] for line in (ROOT / "datasets" / "README.md").read_text().splitlines() if line[:3] == "## "]
    assert set(SETS) <= set(headings)


@pytest.mark.parametrize(
    "name, known", [("align", ["train", "verify"]), ("export", ["report", "embed"]), ("vgg", NETWORKS), ("", NETWORKS)]
)
def test_names_that_only_look_alike_are_not_offered(name, known):
    assert did_you_mean(name, known) == "; known: " + ", ".join(known)


def test_of_many_options_those_of_the_group_are_listed():
    assert did_you_mean("network.wings", OPTIONS) == (
        "; known: network.name, network.embedding_size, network.dropout, network.options"
    )

"""Losses that remember something, or need batches of their own kind, go on bit for bit after an interruption."""

import json

import pytest
from helpers import TINY

from arcface_gluon import blas
from arcface_gluon.files import sha256


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["curricularface", "adaface", "softmax", "sub-centre", "triplet", "arcface-triplet"])
def test_resumed_is_the_run_that_never_stopped(command, orl, tmp_path, loss):
    common = [f"data.path={orl}", "data.validation=[]", f"loss={loss}", "train.contexts=2", *TINY]
    straight, halves = straight_and_resumed(command, common, tmp_path)
    names = sorted(path.name for path in straight.glob("*.params"))
    assert any(name.startswith("head-") for name in names) is (loss != "triplet")
    assert {name: sha256(halves / name) for name in names} == {name: sha256(straight / name) for name in names}
    states = [json.loads((folder / "state.json").read_text())["head"] for folder in (straight, halves)]
    assert states[0] == states[1] and bool(states[0]) is (loss in ("curricularface", "adaface"))


@pytest.mark.slow
@pytest.mark.skipif(blas.why_no_amx() is not None, reason="needs a processor with AMX")
def test_in_bfloat16_too(command, orl, tmp_path):
    common = [f"data.path={orl}", "data.validation=[]", "train.dtype=bfloat16", "train.accumulate=2", *TINY]
    straight, halves = straight_and_resumed(command, common, tmp_path)
    names = sorted(path.name for path in straight.glob("*.params"))
    assert {name: sha256(halves / name) for name in names} == {name: sha256(straight / name) for name in names}
    assert json.loads((tmp_path / "runs" / "halves" / "recipe.json").read_text())["train"]["dtype"] == "bfloat16"
    assert json.loads((tmp_path / "runs" / "straight" / "summary.json").read_text())["dtype"] == "bfloat16"


def straight_and_resumed(command, common, folder):
    """Checkpoints of four iterations in one go, and of two and two."""
    command("train", "orl", *common, "train.iterations=4", "run.name=straight")
    command("train", "orl", *common, "train.iterations=2", "run.name=halves")
    command("train", "orl", *common, "train.iterations=4", "run.name=halves", "--resume")
    return [folder / "runs" / name / "checkpoints" / "00000004" for name in ("straight", "halves")]

"""`from-photos`: which commands it runs, what it does not run again, and where it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from squares import photograph

from arcface_gluon.cli import from_photos


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Commands that were run, by a stand-in that leaves what the real ones leave; `fail` names one that fails."""
    ran, fail = [], set()

    def stand_in(words):
        ran.append(words)
        if words[0] in fail:
            return 2
        if words[0] == "align":
            table = Path(words[2]) / "faces.csv"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text("".join(sorted(str(path) for path in Path(words[1]).rglob("*.png"))))
        if words[0] == "train":
            (tmp_path / "runs" / "mine" / "checkpoints" / "00000001").mkdir(parents=True, exist_ok=True)
        return 0

    monkeypatch.setattr(from_photos, "main", stand_in)
    photograph(tmp_path / "in" / "ann" / "1.png", (10, 10, 40))
    return ran, fail


WORDS = ("from-photos", "in", "--out", "mine", "--verification", "50%")


def names(ran):
    return [words[0] for words in ran]


def test_each_step_is_done_once(steps, command, tmp_path):
    ran, _ = steps
    words = ("from-photos", "in", "--out", "data/mine", "--verification", "12", "train.iterations=7")
    said = command(*words).stdout
    assert names(ran) == ["align", "pack", "split", "train", "verify"]
    assert ran[1][1:3] == ["data/mine/aligned", "data/mine/all"]
    assert ran[2][1:] == ["data/mine/all", "data/mine/training", "--verification", "12", "--pairs"]
    assert ran[3][:3] == ["train", "orl", "data.path=data/mine/training"]
    assert ran[3][3:] == ["data.validation=['verification']", "run.name=mine", "train.iterations=7"]
    assert ran[4] == ["verify", "--model", "runs/mine", "--bin", "data/mine/training/verification.bin"]
    assert "$ arcface-gluon pack data/mine/aligned data/mine/all" in said and "runs/mine/report.html" in said
    ran.clear()
    said = command(*words).stdout
    assert names(ran) == ["align"] and said.count("done before") == 4
    ran.clear()
    command(*words[:-1], "train.iterations=9")
    assert names(ran) == ["align", "train", "verify"] and "--auto-resume" not in ran[1]
    photograph(tmp_path / "in" / "bob" / "1.png", (10, 10, 40))
    ran.clear()
    command(*words[:-1], "train.iterations=9")
    assert names(ran) == ["align", "pack", "split", "train", "verify"]
    assert "--force" in ran[1] and "--force" in ran[2] and "--auto-resume" not in ran[3]


def test_a_step_that_fails_is_begun_again(steps, command, tmp_path):
    ran, fail = steps
    fail.add("pack")
    said = command(*WORDS, check=2).stdout
    assert names(ran) == ["align", "pack"] and "stopped at pack" in said
    fail.clear()
    fail.add("train")
    ran.clear()
    command(*WORDS, check=2)
    assert names(ran) == ["align", "pack", "split", "train"]
    # The training goes on, from its last checkpoint if there is one.
    (tmp_path / "runs" / "mine").mkdir(parents=True, exist_ok=True)
    fail.clear()
    ran.clear()
    command(*WORDS)
    assert names(ran) == ["align", "train", "verify"] and "--auto-resume" in ran[1]


def test_bad_input_is_told_before_anything_is_done(steps, command, tmp_path):
    ran, _ = steps
    (tmp_path / "flat").mkdir()
    photograph(tmp_path / "flat" / "a.png", (10, 10, 40))
    assert "1 people: too few" in command("from-photos", "in", "--out", "mine", check=2).stderr
    for words, told in [
        (("gone",), "gone has no folder for each person"),
        (("flat",), "flat has no folder for each person"),
        (("in", "--recipe", "none"), "none"),
        (("in", "train.iteration=7"), "train.iteration"),
    ]:
        done = command("from-photos", *words, "--out", "mine", "--verification", "1", check=2)
        assert told in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not ran and not (tmp_path / "mine").exists()

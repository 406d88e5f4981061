"""`eval unseen` on a run made by hand: its numbers, what is kept, and what it says where something is missing."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.unseen_pairs import count_pairs, pair_measures
from arcface_gluon.report.run_report import write_report
from arcface_gluon.report.unseen import condition_rates, load_comparable, load_unseen, save_unseen, training_accuracy
from arcface_gluon.report.verification_store import StoredVerification


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(40, 1, 8)) + 0.5 * rng.normal(size=(40, 4, 8))
    return embeddings.reshape(-1, 8), np.repeat(np.arange(40), 4)


def test_a_result_is_kept_whole_and_a_changed_one_is_named(people, tmp_path):
    kept = save_unseen(tmp_path, "unseen-0.3", {"checkpoint": "00000009"}, *people)
    found = load_unseen(tmp_path, "unseen-0.3")
    assert (found.images, found.identities, found.genuine, found.impostors) == (160, 40, 240, 12480)
    assert found.facts == {"checkpoint": "00000009"} and found.measures == kept.measures
    assert found.measures["accuracy"] == pytest.approx(
        100 * pair_measures(count_pairs(*people).shares())["accuracy"][0]
    )
    low, mean, high = (getattr(found.interval("accuracy"), name) for name in ("low", "mean", "high"))
    assert low < mean < high < low + 5
    path = tmp_path / "unseen" / "unseen-0.3.json"
    path.write_text(path.read_text().replace('"images": 160', '"images": 161'))
    with pytest.raises(UserError, match="was changed since it was written"):
        load_unseen(tmp_path, "unseen-0.3")
    assert load_unseen(tmp_path, "another") is None


def test_results_on_other_people_than_the_newest_take_no_part(people, tmp_path):
    runs = [tmp_path / name for name in ("old", "new", "none")]
    for age, run in enumerate(runs):
        run.mkdir()
        if run.name != "none":
            save_unseen(run, "unseen", {"set": run.name}, *people)
            os.utime(run / "unseen" / "unseen.json", (age, age))
    assert list(load_comparable(runs, "unseen")) == [tmp_path / "new"]
    assert load_comparable(runs, "another") == {}


def test_the_report_shows_what_one_rate_hides(people, tmp_path):
    distances, issame = np.linspace(0, 4, 400), np.arange(400) % 2 == 0
    known = StoredVerification("lfw", {}, distances, issame, {})
    pose = np.where(np.arange(160) % 4 < 2, "frontal", "<left>")
    kept = save_unseen(tmp_path, "unseen-$x", {}, *people, [known], {"pose": pose})
    assert [one.kind for one in condition_rates(kept)] == ["alike", "<left>", "frontal", "across"]
    (tmp_path / "recipe.json").write_text("{}")
    text = write_report(tmp_path).read_text()
    tables = "The people whose genuine pairs are refused most", "Pairs by the conditions of their images"
    for words in ("All pairs of unseen people", "unseen-$x", "lfw", "both &lt;left&gt;", *tables):
        assert words in text
    assert text.count("<svg") == 1
    (tmp_path / "unseen" / "unseen-$x.json").write_text("[]")
    assert "unseen-$x.json" in write_report(tmp_path).read_text()


def test_training_accuracy_is_that_of_the_last_tenth_and_not_of_triplets(tmp_path):
    lines = [{"iteration": i, "accuracy": 0.5 if i <= 90 else 0.9} for i in range(1, 101)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "recipe.json").write_text(json.dumps({"head": {"kind": "margin"}}))
    assert training_accuracy(tmp_path) == pytest.approx(90)
    (tmp_path / "recipe.json").write_text(json.dumps({"head": {"kind": "triplet"}}))
    assert training_accuracy(tmp_path) is None


def test_a_run_without_unseen_people_is_told_what_to_do(command, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.rec").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(json.dumps({"data": {"path": str(tmp_path / "data")}}))
    error = command("eval", "unseen", tmp_path / "run", check=2).stderr
    assert error.startswith("arcface-gluon: ") and "has no labelled set of unseen people" in error and "--data" in error

"""The ORL evaluation: folds without shared people, PCA against its definition, the table, and that it goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY

from arcface_gluon import recipe
from arcface_gluon.cli import main as arcface_gluon
from arcface_gluon.data import FaceRecords, read_bin
from arcface_gluon.errors import UserError


@pytest.fixture(scope="module")
def evaluation(script):
    return script("eval/orl.py")


@pytest.fixture
def run(evaluation, orl, tmp_path, monkeypatch):
    """Run the script with `train(settings, place)` for a training; gives its status and the runs it trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "COMPONENTS", (20,))

    def start(train, *arguments):
        trained = []

        def once(name, settings, place):
            trained.append(place.name)
            return train([name, *settings], place)

        monkeypatch.setattr(evaluation, "train", once)
        return evaluation.main(["--data", str(orl), "--out", "out", "--seeds", "1", *arguments]), trained

    return start


def in_process(settings, place):
    """A real training of Norm-Softmax; the others are made up."""
    return made_up(settings, place) if place.name != "norm-softmax" else arcface_gluon(["train", *settings, "--quiet"])


def made_up(settings, place):
    place.mkdir(parents=True)
    (place / "recipe.json").write_text(json.dumps(recipe.resolve(settings[0], settings[1:])))
    result = {"accuracy": 0.75, "std": 0.1, "auc": 0.8, "eer": 0.2, "tar_at_far": {"1e-2": 0.25}}
    (place / "summary.json").write_text(json.dumps({"verification": {"orl": result}}))
    return 0


LOSSES = ["arcface", "norm-softmax", "norm-softmax-s64"]


@pytest.mark.slow
def test_trainings_fill_the_table_and_are_not_repeated(run, tmp_path, evaluation, capsys):
    tiny = [*TINY, "train.iterations=1", "network.options={'width': 0.125, 'stem_stride': 2}"]
    assert run(in_process, *tiny) == (0, LOSSES)
    heads = [json.loads((tmp_path / f"out/seed-0/{name}/recipe.json").read_text())["head"] for name in LOSSES]
    assert [head["margin"][1] > 0 for head in heads] == [True, False, False]
    assert heads[0]["scale"] == heads[1]["scale"] != heads[2]["scale"] == 64

    table = json.loads((tmp_path / "out/orl.json").read_text())
    assert [len(row["accuracy"]) for row in table["rows"]] == [1, 1, 1, 1, 1]
    summary = json.loads((tmp_path / "out/seed-0/norm-softmax/summary.json").read_text())["verification"]["orl"]
    assert table["rows"][1]["accuracy"] == [pytest.approx(100 * summary["accuracy"], abs=1e-3)]
    assert [row["method"] for row in table["rows"][3:]] == ["PCA, 20 components", "raw pixels"]
    text = (tmp_path / "out/orl.md").read_text()
    assert text.strip() in capsys.readouterr().out and "| raw pixels | none | 84" in text

    assert run(in_process, *tiny) == (0, [])
    with pytest.raises(UserError, match="choose another folder with --out"):
        run(in_process, *tiny, "data.augment.shift=1")


@pytest.mark.slow
def test_spread_over_seeds_and_a_failed_run(run, capsys):
    def train(settings, place):
        return 1 if place.parts[-2:] == ("seed-1", "arcface") else made_up(settings, place)

    assert run(train, "--seeds", "2") == (1, [*LOSSES, *LOSSES])
    out = capsys.readouterr().out
    assert "Failed: arcface, seed 1" in out
    assert "s = 32 | 1 | 75.00 | 80.00 | 20.00 | 25.00 | 10.00 |" in out
    assert "s = 64 | 2 | 75.00 ± 0.00 | 80.00 ± 0.00 | 20.00 ± 0.00 | 25.00 ± 0.00 | 10.00" in out


def test_cross_validation_trains_on_the_other_people(run, orl, tmp_path, capsys):
    assert run(made_up, "--cross-validate") == (0, ["run", "run", "run"])
    assert capsys.readouterr().out.splitlines()[-1] == "mean over 3 folds: 75.00 %"
    settings = recipe.resolve(tmp_path / "out/fold-1/run/recipe.json")
    assert (settings.seed, Path(settings.data.path)) == (1, tmp_path / "out/fold-1")
    records, everybody = FaceRecords(settings.data.path), FaceRecords(orl)
    assert (len(records), records.num_identities) == (200, 20)
    assert records.read(100) == (everybody.read(200)[0], 10)
    assert read_bin(tmp_path / "out/fold-1/orl.bin")[0][0] == everybody.read(100)[0]


def test_folds_share_no_person_and_pair_as_the_held_out_set(evaluation, orl):
    labels = FaceRecords(orl).labels()
    issame = read_bin(orl / "orl.bin")[1]
    validated = []
    for trained_on, validated_on, pairs, truth in evaluation.folds(labels):
        assert not set(labels[trained_on]) & set(labels[validated_on])
        assert len(trained_on) + len(validated_on) == len(labels)
        people = labels[validated_on][pairs]
        np.testing.assert_array_equal(people[:, 0] == people[:, 1], truth)
        assert truth.tolist() == issame
        validated += validated_on.tolist()
    assert sorted(validated) == list(range(len(labels)))


def test_pca_is_the_eigenvectors_of_the_covariance(evaluation):
    rows = np.random.RandomState(0).randn(12, 5) @ np.diag([5.0, 4, 3, 2, 1])
    model = evaluation.pca(rows)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = (rows - rows.mean(axis=0)) @ vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(np.abs(evaluation.project(model, rows, 3, False)), np.abs(expected), rtol=1e-9)
    whitened = evaluation.project(model, rows, 3, True)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(3), atol=1e-10)


def test_images_and_their_mirrors_look_alike(evaluation, orl):
    image = read_bin(orl / "orl.bin")[0][0]
    picture = evaluation.decode_image(image)[..., 0].astype(float)
    (row,) = evaluation.faces([image])
    np.testing.assert_array_equal(row.reshape(112, 56), (picture + picture[:, ::-1])[:, :56])

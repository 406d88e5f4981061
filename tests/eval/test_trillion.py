"""eval/trillion.py on small sets in the layout of Trillion-Pairs, against the two rates written out."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import people, save_features, write_lines

from arcface_gluon.data.embeddings.devkit_files import write_matrix
from arcface_gluon.data.embeddings.embedding_file import read_embeddings
from arcface_gluon.protocols import trillion_pairs as protocol
from arcface_gluon.report.measurements import collect

PROBES = [f"P{i // 4}/{i % 4}.jpg" for i in range(24)]
DISTRACTORS = [f"{i}.jpg" for i in range(90)]


@pytest.fixture(scope="module")
def trillion(script):
    return script("eval/trillion.py")


@pytest.fixture
def features(trillion, tmp_path, monkeypatch):
    """Lists below set/, features of six people and of 90 others; relative runs/ below a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trillion, "_TRIAL", (6, 30))
    rng = np.random.default_rng(0)
    probes = np.repeat(rng.normal(size=(6, 16)), 4, axis=0) + 0.8 * rng.normal(size=(24, 16))
    save_features("probes.npy", probes, PROBES)
    save_features("others.npy", rng.normal(size=(90, 16)), DISTRACTORS)
    Path("set").mkdir()
    write_lines("set/elfw_lst", PROBES)
    write_lines("set/flickr_lst", DISTRACTORS)
    return ["--features", "probes.npy", "others.npy", "--data", "set", "--name", "net"]


def results(run="net", folder="trillion-pairs"):
    return json.loads((Path("runs") / run / folder / "results.json").read_text())


def naive(probes, others, names):
    """(identification, verification) with no impostor accepted, in float64."""
    probes, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (np.float64(probes), np.float64(others)))
    people = np.array([name.split("/")[0] for name in names])
    scores, limit = probes @ probes.T, (probes @ others.T).max()
    np.fill_diagonal(scores, -np.inf)
    same = people[:, None] == people
    mate, other = np.where(same, scores, -np.inf).max(axis=1), np.where(same, -np.inf, scores).max(axis=1)
    genuine = scores[np.triu(same, 1)]
    return np.mean((mate >= other) & (mate > limit)), np.mean(genuine > limit)


def assert_naive(found, probes, others, names=PROBES):
    identification, verification = naive(probes, others, names)
    assert found["identification_tpr_at_fpr"]["1e-03"] == pytest.approx(identification, abs=1e-12)
    assert found["verification_tpr_at_fpr"]["1e-09"] == pytest.approx(verification, abs=1e-12)


def test_ready_features_agree_with_the_rates_written_out(trillion, features, capfd):
    assert trillion.main([*features, "--json", "copy.json"]) == 0
    said = capfd.readouterr().out
    assert "24 probes of 6 people, 90 distractors; 36 genuine and 2,160 impostor pairs" in said
    assert "too small for a FPR of 1e-9" in said and "the whole set, 274,000 x 1,580,000, would take" in said
    assert "on random features: this set is too small to tell" in said
    assert 0 < results()["verification_tpr_at_fpr"]["1e-09"] < 1
    assert_naive(results(), np.load("probes.npy"), np.load("others.npy"))
    assert json.loads(Path("copy.json").read_text()) == results()
    rows = json.loads(Path("runs/net/results/trillion-pairs-part.json").read_text())
    assert [(row["table"], row["column"]) for row in rows] == [
        ("table8_trillion_pairs", "Id at FPR 1e-3"),
        ("table8_trillion_pairs", "Ver at FPR 1e-9"),
    ]
    assert rows[1]["value"] == 100 * results()["verification_tpr_at_fpr"]["1e-09"] and not rows[1]["paper_data"]
    assert "| net |" in Path("runs/net/trillion-pairs/table.md").read_text()
    assert Path("runs/net/figures/trillion-pairs-roc.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("factor, whole", [(1, True), (0.995, True), (1.005, True), (0.98, False), (1.02, False)])
def test_the_whole_set_has_the_authors_numbers_but_for_their_rounding(trillion, factor, whole):
    sizes = {"probes": 274_000, "distractors": 1_580_000}
    for name in sizes:
        assert trillion.is_whole(SimpleNamespace(**{**sizes, name: factor * sizes[name]})) == whole


def test_matrix_files_and_a_part(trillion, features, capfd):
    write_matrix("probes.bin", np.load("probes.npy"))
    arguments = ["--features", "probes.bin", "others.npy", *features[3:]]
    assert trillion.main(arguments) == 0
    assert_naive(results(), np.load("probes.npy"), np.load("others.npy"))
    assert trillion.main([*arguments, "--part", "3"]) == 0
    found = results(folder="trillion-pairs-part-3")
    assert (found["persons"], found["probes"], found["distractors"], found["part"]) == (2, 8, 30, 3)
    assert_naive(found, np.load("probes.npy")[:8], np.load("others.npy")[:30], PROBES[:8])
    assert "the first 1/3 of both lists" in capfd.readouterr().out
    assert json.loads(Path("runs/net/results/trillion-pairs-part.json").read_text())[0]["data"].endswith(
        "2,160 pairs only"
    )


def test_a_signal_keeps_the_state_and_the_digits_stay(trillion, features, monkeypatch, capfd):
    assert trillion.main(features) == 0
    expected = results()
    monkeypatch.setattr(protocol, "_CHUNK", 20)
    blocks, calls = protocol.score_blocks, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return blocks(*arguments)

    monkeypatch.setattr(protocol, "score_blocks", interrupted)
    assert trillion.main(features) == 143
    told = capfd.readouterr().err
    assert "SIGTERM: stopped after 40 of 90 distractors; the same command goes on from there" in told
    assert told.startswith("SIGTERM: stopping after this part of the distractors; again to stop at once\n")
    assert told.count("\n") == 2 and Path("runs/net/trillion-pairs/state.npz").is_file()
    assert trillion.main(features) == 0
    assert len(calls) == 2 + 3 + 2 + 3  # what was done is not done again; the trial has two chunks and one
    found = results()
    for value in (expected, found):
        value.pop("scores_per_second")
    assert found == expected and not Path("runs/net/trillion-pairs/state.npz").exists()


def test_images_of_a_model(trillion, features, script, model, capfd, bad_input):
    script("datasets/demo.py").trillion_pairs("images", people(8, 8))
    arguments = ["--model", str(model), "--data", "images", "--contexts", "cpu(0)", "--quiet"]
    assert trillion.main(arguments) == 0
    assert "and its extraction" in capfd.readouterr().out
    stored = [read_embeddings(f"runs/tiny/embeddings/trillion-pairs-{side}-mirror.npy") for side in ("elfw", "flickr")]
    assert_naive(results("tiny"), *(side.vectors for side in stored), stored[0].names)
    assert trillion.main([*arguments, "--no-flip"]) == 0
    single = [read_embeddings(f"runs/tiny/embeddings/trillion-pairs-{side}-single.npy") for side in ("elfw", "flickr")]
    assert not np.allclose(single[0].vectors, stored[0].vectors)
    kept = json.loads(Path("runs/tiny/trillion-pairs-single/results.json").read_text())
    assert kept["mode"]["flip"] is False and results("tiny")["mode"]["flip"] is True
    assert {one.mode.flip for one in collect("runs")[0]} == {True, False}
    Path("images/flickr/3.jpg").unlink()
    # Its embedding is there, but other images are others.
    bad_input(trillion.main, arguments, "1 of 32 images are missing, the first is images/flickr/3.jpg")
    assert trillion.main([*arguments, "--skip-missing"]) == 0
    assert "1 left out as missing: runs/tiny/trillion-pairs/missing.txt" in capfd.readouterr().out
    assert Path("runs/tiny/trillion-pairs/missing.txt").read_text() == "flickr/3.jpg\n"


def broken_rows(value):
    rows = np.load("probes.npy")
    rows[5] = value
    np.save("probes.npy", rows)


def narrow():
    save_features("others.npy", np.ones((90, 15)), DISTRACTORS)


def cut():
    Path("others.npy").write_bytes(Path("others.npy").read_bytes()[:-200])


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda: broken_rows(0), "probe P1/1.jpg is a zero vector"),
        (lambda: broken_rows(np.nan), "probe P1/1.jpg has NaN"),
        (narrow, "use one model for both"),
        (cut, "others.npy is not a whole .npy array"),
        (lambda: write_lines("set/elfw_lst", [*PROBES, "P9/1.jpg"]), "no feature of 1 of 25 images, the first is P9/1"),
        (lambda: write_lines("set/elfw_lst", [*PROBES, PROBES[0]]), "elfw_lst names P0/0.jpg twice"),
        (lambda: write_lines("set/elfw_lst", ["1.jpg"]), "1.jpg has no folder"),
        (lambda: write_lines("probes.txt", [*PROBES[1:], PROBES[1]]), "probes.txt names P0/1.jpg twice"),
        (lambda: Path("set/flickr_lst").unlink(), "cannot read set/flickr_lst"),
        (lambda: Path("others.npy").unlink(), "others.npy"),
    ],
)
def test_bad_input_is_one_line(trillion, features, bad_input, spoil, words):
    spoil()
    bad_input(trillion.main, features, words)


def test_bad_options_are_one_line(trillion, features, bad_input):
    bad_input(trillion.main, [*features, "--part", "0"], "--part 0: it must be a number of 1 or more")
    bad_input(trillion.main, [*features, "--row", "MS1MV2, R100, ArcFace"], "is no row of Table 8")

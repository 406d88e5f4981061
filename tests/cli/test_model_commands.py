"""`embed`, `verify` and `unpack` as a user runs them: what they say, where they stop, how they go on."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from arcface_gluon.cli.verify_epochs import models_of
from arcface_gluon.data import read_bin, write_bin
from arcface_gluon.data.demos import mark_demo


def test_missing_and_damaged_images(command, model, faces, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"faces/{i}.jpg\n" for i in (0, 1, 9, 2)))
    arguments = ["embed", listed, "--model", model, "--out", "f.npy", "--contexts", "2"]
    done = command(*arguments, check=2)
    assert done.stderr == (
        f"arcface-gluon: 1 of 4 images are missing, the first is {tmp_path}/faces/9.jpg; "
        "get them, or leave them out with --skip-missing\n"
    )
    path = faces / "1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    done = command(*arguments, "--skip-missing", "--json", "done.json")
    assert json.loads((tmp_path / "done.json").read_text())["rows"] == 2
    assert "--json f.json" in command(*arguments, "--json", "f.json", check=2).stderr
    assert "f.npy: 2 embeddings of 16 values" in done.stdout and "2 images were left out: f.skipped.txt" in done.stdout
    assert (tmp_path / "f.skipped.txt").read_text() == "faces/1.jpg\nfaces/9.jpg\n"
    assert (tmp_path / "f.txt").read_text() == "faces/0.jpg\nfaces/2.jpg\n"
    assert np.load(tmp_path / "f.npy").shape == (2, 16)
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["model"] == str(model) and facts["flip"] is True and facts["input"] == [112, 112]
    assert "already there" in command(*arguments, "--skip-missing").stdout


def test_bad_options(command, model, faces):
    arguments = ["embed", faces, "--model", model, "--out", "f.npy", "--size"]
    assert "'1x2x3' is no size" in command(*arguments, "1x2x3", check=2).stderr
    assert "*.npy" in command("embed", faces, "--model", model, "--out", "f.bin", check=2).stderr
    done = command(*arguments, "96", check=2)
    assert "the network fails on 96 x 96 images" in done.stderr and "Traceback" not in done.stderr


def test_interrupted(command, model, faces, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"faces/{i % 6}.jpg\n" for i in range(3000)))
    arguments = ["embed", str(listed), "--model", str(model), "--out", "f.npy", "--batch-size", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "arcface_gluon", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    part = tmp_path / "f.npy.part"
    while not (part.exists() and part.stat().st_size) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "SIGINT: stopped after" in error and "Traceback" not in error, error
    assert not (tmp_path / "f.npy").exists()
    done = json.loads((tmp_path / "f.npy.part.json").read_text())["done"]
    assert 0 < done < 3000
    listed.write_text("".join(f"faces/{i % 6}.jpg\n" for i in range(12)))
    done = command(*arguments)
    assert "begun with other images" in done.stdout + done.stderr and len(np.load(tmp_path / "f.npy")) == 12


LFW = "lfw-other-486c7892"  # how the lfw.bin of `pairs`, which is not LFW, is called


@pytest.fixture
def pairs(faces, tmp_path):
    """lfw.bin of twenty pairs, and the same under another name."""
    encoded = [path.read_bytes() for path in sorted(faces.iterdir())]
    both = [encoded[i % 6] for k in range(10) for i in (k, k, k, k + 1)]
    for name in ("lfw", "mine"):
        write_bin(tmp_path / f"{name}.bin", both, [True, False] * 10)
    return tmp_path / "lfw.bin"


def test_verify_keeps_what_it_finds(command, model, pairs, tmp_path):
    done = command("verify", "--model", model, "--bin", pairs, "--bin", "mine.bin", "--json", "out.json")
    name = model.parent.name
    assert f"{LFW}: accuracy 100.00% ± 0.00%" in done.stdout and f"report: runs/{name}/report.html" in done.stdout
    written = json.loads((tmp_path / "out.json").read_text())["verification"]
    run = tmp_path / "runs" / name
    assert json.loads((run / "verification" / f"{LFW}.json").read_text())["accuracy"] == written[LFW]["accuracy"] == 1
    assert f"lfw.bin is not LFW as it is known: 20 pairs, not 6,000. It is called {LFW}" in done.stdout
    # Only a set with a name of the paper has a place in its tables.
    assert [path.name for path in (run / "results").iterdir()] == [f"verification-{LFW}.json"]
    rows = json.loads((run / "results" / f"verification-{LFW}.json").read_text())
    assert {(row["table"], row["row"]) for row in rows} == {("table4_lfw_ytf", name), ("table5_calfw_cplfw", name)}
    assert all(row["value"] == 100 and not row["paper_data"] and "20 pairs only" in row["data"] for row in rows)
    # --data takes what it knows of a folder; --row puts it beside a row of the paper; prefix,epoch is a model too.
    done = command("verify", "--model", f"{model},0", "--data", tmp_path, "--row", "MS1MV2, R100, ArcFace")
    assert "paper 99.83% (Table 4, MS1MV2, R100, ArcFace); not its training" in done.stdout
    assert "mine" not in done.stdout
    (tmp_path / "sets").mkdir()
    for words, told in (("sets", "sets is a folder; name a .bin in it"), ("no.bin", "name one that is there")):
        assert told in command("verify", "--model", model, "--bin", words, check=2).stderr


@pytest.mark.parametrize("same, kind, other", [(True, "genuine", "impostor"), (False, "impostor", "genuine")])
def test_pairs_of_one_kind(command, model, pairs, tmp_path, same, kind, other):
    """insightface's small_lfw.bin has genuine pairs alone."""
    write_bin(tmp_path / "one.bin", read_bin(pairs)[0], [same] * 20)
    pairs = tmp_path / "one.bin"
    done = command("verify", "--model", model, "--bin", pairs, "--json", "out.json", "--row", "MS1MV2, R100, ArcFace")
    assert f"20 pairs, all {kind}: AUC, EER and TAR are not defined without {other} pairs" in done.stdout
    assert "paper 9" not in done.stdout, "nothing to compare"
    kept = tmp_path / "runs" / model.parent.name
    written = json.loads((tmp_path / "out.json").read_text())["verification"]["one"]
    assert written["pairs"] == 20 and written["auc"] is written["eer"] is written["val"] is None
    assert json.loads((kept / "verification" / "one.json").read_text())["genuine"] == 20 * same
    assert not (kept / "results").exists(), "no accuracy enters the tables"
    report = (kept / "report.html").read_text()
    assert f"20, all {kind}" in report and "not defined" in report and "Not yet verified" in report
    for name in ("6", "7"):
        assert command("figures", name, "--run", kept, "--out", "figures").stdout.startswith(f"figures/figure-{name}")


@pytest.mark.slow
def test_ready_features_give_the_same(command, model, pairs, tmp_path):
    command("verify", "--model", model, "--bin", pairs, "--bin", "mine.bin", "--json", "want.json")
    command("embed", pairs, "--model", model, "--out", "lfw.npy")
    want = json.loads((tmp_path / "want.json").read_text())["verification"]
    rows = np.load(tmp_path / "lfw.npy")
    np.save(tmp_path / "plain.npy", rows)
    order = np.random.default_rng(0).permutation(len(rows))
    np.save(tmp_path / "other.npy", rows[order])
    names = (tmp_path / "lfw.txt").read_text().splitlines()
    (tmp_path / "other.txt").write_text("".join(f"{names[i]}\n" for i in order))
    for files, name in (["lfw.npy", "plain.npy"], "lfw"), (["other.npy", "plain.npy"], "other"):
        arguments = ["verify", "--features", *files, "--bin", pairs, "--bin", "mine.bin", "--json", "found.json"]
        done = command(*arguments, *(["--name", "other"] if name == "other" else []))
        assert json.loads((tmp_path / "found.json").read_text())["verification"] == want
        assert f"report: runs/{name}/report.html" in done.stdout
    kept = json.loads((tmp_path / "runs" / "other" / "verification" / f"{LFW}.json").read_text())
    assert kept["command"] == f"arcface-gluon verify --features other.npy --bin={pairs}"
    assert command("eval", "verification", "--features", "plain.npy", "--bin", pairs).stdout.startswith(
        f"{LFW}: accuracy"
    )
    np.save(tmp_path / "short.npy", rows[:-1])
    for features, words in [
        (["plain.npy", "plain.npy"], f"one .npy for each of {LFW}, in this order, not 2"),
        (["short.npy"], "short.npy has 39 rows, but the list names 40 images"),
        (["faces"], "faces is no .npy"),
        (["none.npy"], "none.npy is not there"),
    ]:
        assert words in command("verify", "--features", *features, "--bin", pairs, check=2).stderr


def test_verify_refuses(command, model, pairs, tmp_path):
    arguments = ["verify", "--model", model]
    assert "name at least one set" in command(*arguments, check=2).stderr
    error = command(*arguments, "--bin", pairs, "--row", "MS1MV2, R100, ArcFac", check=2).stderr
    assert "did you mean 'MS1MV2, R100, ArcFace'?" in error
    write_bin(tmp_path / "few.bin", read_bin(pairs)[0][:14], [True, False] * 3 + [True])
    assert "few.bin: 7 pairs are too few" in command(*arguments, "--bin", "few.bin", check=2).stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lfw.bin").write_bytes(pairs.read_bytes())
    error = command(*arguments, "--bin", pairs, "--bin", "other/lfw.bin", check=2).stderr
    assert f"lfw.bin and other/lfw.bin are both named {LFW}; leave one out" in error
    assert "none of lfw, cfp_ff" in command(*arguments, "--data", "faces", check=2).stderr
    for epoch, missing in (("7", "model-0007.params"), ("²", "model,²-0000.params")):
        error = command("verify", "--model", f"{model},{epoch}", "--bin", pairs, check=2).stderr
        assert f"{missing} missing" in error
    error = command("verify", "--recipe", "vgg2_r50", check=2).stderr
    assert "no run runs/vgg2_r50 of recipe vgg2_r50; train it first" in error


def test_other_folds_than_the_paper_s_are_not_kept(command, model, pairs, tmp_path):
    done = command("verify", "--model", model, "--bin", pairs, "--folds", "5", "--json", "five.json").stdout
    assert "5 folds: not kept" in done and "report" not in done
    assert not (tmp_path / "runs").exists()
    (found,) = json.loads((tmp_path / "five.json").read_text())["verification"].values()
    assert found["folds"] == 5
    assert "number of folds" in command("verify", "--model", model, "--bin", pairs, "--folds", "1", check=2).stderr


def test_bad_cases(command, model, pairs, tmp_path):
    done = command(
        "verify", "--model", model, "--bin", "mine.bin", "--bad-cases", "bad", "--folds", "5", "--json", "x.json"
    )
    (found,) = json.loads((tmp_path / "x.json").read_text())["verification"].values()
    with open(tmp_path / "bad" / "mine" / "bad-cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} of 20 pairs judged wrongly: bad/mine" in done.stdout
    for row in rows:
        angle, threshold = float(row["angle"]), found["threshold_angle"]
        assert (
            row["judged"]
            == ("accepted" if angle < threshold else "rejected")
            != ("accepted" if row["same"] == "True" else "rejected")
        )
        assert cv2.imread(str(tmp_path / "bad" / "mine" / row["file"])).shape == (112, 228, 3)


def test_epochs_beside_each_other(command, model, pairs, tmp_path):
    prefix = tmp_path / "many"
    for epoch in (1, 3, 12):
        shutil.copy(f"{model}-0000.params", f"{prefix}-{epoch:04d}.params")
    shutil.copy(f"{model}-symbol.json", f"{prefix}-symbol.json")
    arguments = ["verify", "--model", prefix, "--bin", "mine.bin", "--epochs"]
    done = command(*arguments, "all", "--max", "2", "--json", "x.json").stdout.splitlines()
    assert [line.split(":")[0] for line in done] == ["12", "3", "best on mine"] and "not kept" in done[-1]
    assert set(json.loads((tmp_path / "x.json").read_text())["epochs"]) == {"12", "3"}
    assert not (tmp_path / "runs").exists()
    assert "no 4 among 1, 3, 12" in command(*arguments, "1,4", check=2).stderr
    assert models_of(prefix, [1, 12]) == {12: Path(f"{prefix}-0012.params"), 1: Path(f"{prefix}-0001.params")}


def test_unpack(command, pairs, tmp_path):
    assert "look: 20 pairs" in command("unpack", pairs, "look").stdout
    assert len(list((tmp_path / "look").rglob("*.jpg"))) == 40
    assert "is there already" in command("unpack", pairs, "look", check=2).stderr


def test_a_demo_and_another_mode_leave_a_runs_results_alone(command, model, pairs, tmp_path):
    run = tmp_path / "runs" / model.parent.name
    command("verify", "--model", model, "--bin", pairs)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.suffix in (".json", ".npz")}
    # The set's own mark tells a demo, wherever it lies and however it is named.
    (tmp_path / "demo").mkdir()
    shutil.copy(pairs, tmp_path / "demo")
    mark_demo(tmp_path / "demo")
    demo = ["verify", "--model", model, "--bin", "demo/lfw.bin"]
    done = command(*demo)
    assert "demo_lfw: accuracy" in done.stdout and "paper" not in done.stdout
    assert f"report: runs/{model.parent.name}/demo/report.html" in done.stdout
    assert (run / "demo" / "verification" / "demo_lfw.npz").exists()
    assert "is a demo set" in command(*demo, "--set", "lfw", check=2).stderr
    done = command("verify", "--model", model, "--bin", pairs, "--no-flip")
    assert "20 pairs, single crop" in done.stdout
    assert json.loads((run / "verification" / f"{LFW}-single.json").read_text())["mode"]["flip"] is False
    assert {path: path.read_bytes() for path in before} == before
    command("tables")
    assert "demo" not in (tmp_path / "runs" / "tables.md").read_text()


def test_a_set_that_is_not_the_papers_leaves_the_papers_result_alone(command, model, pairs, tmp_path):
    """LFW's order is 300 genuine pairs and 300 others, ten times; another order is taken where the user says so."""
    encoded = read_bin(pairs)[0]
    whole = [side for k in range(6000) for side in (encoded[k % 6], encoded[(k // 7) % 6])]
    marks = ([True] * 300 + [False] * 300) * 10
    run = tmp_path / "runs" / model.parent.name / "verification"
    write_bin(pairs, whole, marks)
    assert command("verify", "--model", model, "--bin", pairs).stdout.startswith("lfw: accuracy")
    before = (run / "lfw.json").read_bytes(), (run / "lfw.npz").read_bytes()
    assert json.loads(before[0])["whole_set"] is True
    for images, truth, words in [
        (whole[:80], marks[:20] + marks[-20:], "40 pairs, not 6,000"),
        (whole[:80], marks[-20:] + marks[:20], "40 pairs, not 6,000"),
        (whole, marks[::-1], "its pairs are in another order"),
    ]:
        write_bin(pairs, images, truth)
        done = command("verify", "--model", model, "--bin", pairs).stdout
        assert done.startswith("lfw-other-") and words in done
    assert len(list(run.glob("lfw-other-*.json"))) == 3
    assert before == ((run / "lfw.json").read_bytes(), (run / "lfw.npz").read_bytes())
    assert "verify it with --set lfw" in done
    assert command("verify", "--model", model, "--bin", pairs, "--set", "lfw").stdout.startswith("lfw: accuracy")


def test_verify_checks_what_the_user_says_of_a_set(command, model, pairs, tmp_path):
    arguments = ["verify", "--model", model, "--bin", "mine.bin"]
    error = command(*arguments, "--set", "lfw", check=2).stderr
    assert "mine.bin is not lfw, which has 6,000 pairs, not 20; leave out --set" in error
    assert "did you mean 'lfw'" in command(*arguments, "--set", "lwf", check=2).stderr
    assert "1 --set for 2 --bin" in command(*arguments, "--bin", pairs, "--set", "lfw", check=2).stderr
    error = command("verify", "--model", model, "--data", tmp_path, "--set", "lfw", check=2).stderr
    assert "name the file too" in error

"""Reports of whole, partial and damaged runs."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.run_report import write_report
from arcface_gluon.report.verification_store import measures_of, save_verification


def text_of(path):
    """The page's words, without style and tags."""
    page = re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page).replace("\u00a0", " "))


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_whole_run(run_dir):
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    again = path.read_bytes()
    assert write_report(run_dir).read_bytes() == again, "the same run gives the same page"
    page, words = path.read_text(encoding="utf-8"), text_of(path)
    accuracy = json.loads((run_dir / "summary.json").read_text())["verification"]["lfw"]["accuracy"]
    assert f"Pairs of faces told apart correctly: {100 * accuracy:.2f} %" in words
    assert "Trained to the end, 400 iterations." in words
    for part in ("casia_r50", "171.2 images/s", "1,432 MiB", "6 min 40 s", "network.name", "cpu(0)"):
        assert part in words, part
    assert page.count("<svg") == 5  # loss, accuracy, ROC, two histograms
    assert page.count("<img") == 2 * 2 * 16  # two sets, hardest pairs of both kinds
    assert "Left out" not in words
    assert "<script" not in page and "@import" not in page
    for link in re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page):
        assert link.startswith(("data:", "#")), f"the page asks for {link}"


def is_whole(run_dir, name="lfw"):
    """Say of a stored set and of the summary's that it is the whole set of its name."""
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["verification"][name]["whole_set"] = True
    change(run_dir / "summary.json", verification=summary["verification"])
    (run_dir / "verification" / f"{name}.npz").unlink()


def test_a_set_that_is_not_the_papers_is_not_compared(run_dir):
    words = text_of(write_report(run_dir))
    assert re.search(r"LFW 99.53 % [\d.]+ % not the whole set", words)


def test_the_papers_row_stands_beside_the_runs(run_dir):
    is_whole(run_dir)
    words = text_of(write_report(run_dir))
    accuracy = json.loads((run_dir / "summary.json").read_text())["verification"]["lfw"]["accuracy"]
    assert "Paper: Table 2 [CASIA, ResNet50, loss*], row “ArcFace (0.5)”, as printed." in words
    assert "This run: r50, arcface, trained on datasets/casia (490,623 images of 10,572 people)." in words
    difference = f"{100 * accuracy - 99.53:+.2f}".replace("-", "−")
    assert f"LFW 99.53 % {100 * accuracy:.2f} % {difference}" in words
    assert "CFP-FP 95.56 % not measured" in words


def test_a_run_on_other_people_is_not_compared(run_dir):
    change(run_dir / "summary.json", data={"images": 300, "identities": 30})
    words = text_of(write_report(run_dir))
    assert "(300 images of 30 people), which is not the paper’s training set, so the two cannot be compared." in words
    assert not re.search(r"LFW 99.53 % [\d.]+ % [+−]", words)


def test_a_recipe_without_the_papers_row(run_dir):
    change(run_dir / "recipe.json", paper={})
    assert "Beside the paper" not in text_of(write_report(run_dir))


def test_a_killed_run(run_dir):
    """No summary yet, and a metrics file that ends within a line."""
    (run_dir / "summary.json").unlink()
    shutil.rmtree(run_dir / "verification")
    rows = (run_dir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "metrics.jsonl").write_text("".join(rows[:10]) + rows[10][:15])
    words = text_of(write_report(run_dir))
    assert "Not yet verified on any set of face pairs. Training stopped at iteration 200 of 400." in words
    assert "summary.json is missing: environment, speed and memory are left out." in words


@pytest.mark.parametrize(
    "name, words",
    [
        ("recipe.json", "the recipe is left out"),
        ("metrics.jsonl", "the curves are left out"),
        ("summary.json", "left out"),
    ],
)
def test_a_missing_part_is_named(run_dir, name, words):
    (run_dir / name).unlink()
    shutil.rmtree(run_dir / "verification")
    shown = text_of(write_report(run_dir))
    assert f"{name} is missing" in shown and words in shown


def test_damaged_parts_are_named_and_the_rest_is_shown(run_dir):
    (run_dir / "recipe.json").write_text("{")
    (run_dir / "summary.json").write_text("[1]")
    (run_dir / "verification" / "lfw.npz").write_bytes(b"PK\x03\x04 no archive")
    words = text_of(write_report(run_dir))
    assert "recipe.json is not valid JSON" in words and "summary.json does not hold a dictionary" in words
    assert "lfw.npz is not a stored verification" in words
    assert "orl: closest impostors" in words


def test_names_and_values_are_escaped(run_dir):
    change(run_dir / "recipe.json", data={"path": "<script>alert(1)</script>"})
    evil = run_dir.with_name("<img src=x>")
    run_dir.rename(evil)
    page = write_report(evil).read_text(encoding="utf-8")
    assert "<script>" not in page and "<img src=x>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a run folder: it has no recipe.json"):
        write_report(tmp_path)


def test_target_angles_are_shown_where_they_were_recorded(run_dir):
    assert "Figure 4a" not in text_of(write_report(run_dir))
    record = {"iteration": 8, "target_angles": {"phase": "start", "first": 1, "counts": [0] * 89 + [7] + [0] * 90}}
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write(json.dumps(record) + "\n")
    path = write_report(run_dir)
    assert "Figure 4a" in text_of(path) and path.read_text(encoding="utf-8").count("<svg") == 6


def test_hardest_pairs_are_called_by_what_became_of_them(run_dir, images):
    """Squared distance 0.4 is 37 degrees, 1.6 is 78 degrees; the threshold 1 is at 60."""
    issame = np.repeat([True, False], 10)
    distances = np.tile([0.4, 1.6], 10).astype(np.float32)
    embeddings = np.array([vector for d in distances for vector in ((1, 0), (1 - d / 2, np.sqrt(d - d * d / 4)))])
    result = dataclasses.replace(evaluate_pairs(embeddings, issame), threshold=1.0)
    for path in (run_dir / "verification").iterdir():
        path.unlink()
    save_verification(run_dir, "lfw", result, images[:40])
    page = write_report(run_dir).read_text(encoding="utf-8").replace("\u00a0", " ")
    captions = re.findall(r'pair (\d+), ([\d.]+)°: <span class="(\w+)">([\w ]+)<', page)
    assert len(captions) == 16
    for number, angle, kind, words in captions:
        accepted, right = float(angle) < 60, (float(angle) < 60) == issame[int(number)]
        assert words == f"{'rightly' if right else 'wrongly'} {'accepted' if accepted else 'rejected'}"
        assert kind == ("good" if right else "bad")
    assert {words for *_, words in captions} == {
        "rightly accepted",
        "wrongly accepted",
        "rightly rejected",
        "wrongly rejected",
    }


def test_a_demo_and_another_mode_are_not_in_the_headline(run_dir, result):
    save_verification(run_dir, "demo_lfw", result)
    save_verification(run_dir, "lfw-single", result, measures=measures_of("lfw", result, flip=False))
    words = text_of(write_report(run_dir))
    headline = re.search(r"Pairs of faces told apart correctly: (.*?)\. Trained", words)[1]
    assert "on lfw" in headline and "on orl" in headline
    assert "demo" not in headline and "single" not in headline
    assert re.search(r"demo_lfw image \+ mirror 200", words) and re.search(r"lfw-single single crop 200", words)


def test_a_report_of_demos_alone_says_so(tmp_path, result):
    folder = tmp_path / "runs" / "net" / "demo"
    save_verification(folder, "demo_lfw", result)
    words = text_of(write_report(folder))
    assert "net, demo" in words and "Verified on demo sets alone" in words


@pytest.mark.parametrize(
    "row",
    [
        {"loss": "high", "lr": [1], "accuracy": None},
        {"loss": 10**400, "lr": 1e308},
        {"verification": 3},
        {"verification": {"lfw": 3, "a$b": {"accuracy": "x"}}},
        {"target_angles": {"phase": ["start"], "first": 1, "counts": [1] * 180}},
        {"target_angles": {"phase": "start", "first": 1, "counts": [1] * 179}},
        {"target_angles": {"phase": "start", "first": 1, "counts": [0] * 180}},
    ],
)
def test_lines_of_metrics_that_a_flipped_bit_made_do_no_harm(run_dir, row):
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"iteration": 10**6, **row}) + "\n")
        file.write(json.dumps({"iteration": 10**300, "loss": 1.0}) + "\n")
    assert write_report(run_dir).is_file()

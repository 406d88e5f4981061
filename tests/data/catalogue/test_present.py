"""Sets of Table 1 in a folder: whole ones, parts with what is missing, and none; demo sets do not count."""

from __future__ import annotations

import json
import shutil

from helpers import ROOT, load_script, people, tiny_jpeg, write_lines

from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.data.catalogue import present, table1
from arcface_gluon.data.catalogue.present import ABSENT, INCOMPLETE, PRESENT, check, check_all
from arcface_gluon.data.catalogue.table1 import TABLE1, markdown
from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.places import ASKED_FOR

demo = load_script("datasets/demo.py")
BY_TITLE = {one.title: one for one in TABLE1}


def look(folder, title):
    found = check(BY_TITLE[title], folder)
    return found.state, found.found, found.missing


def test_an_empty_folder_has_none_of_the_sixteen(tmp_path):
    assert [one.state for one in check_all(tmp_path)] == [ABSENT] * 16


def test_training_sets(tmp_path, monkeypatch):
    write_training_set(tmp_path / "casia", ((tiny_jpeg(k, i), k) for k in range(3) for i in range(2)), (8, 8))
    state, found, missing = look(tmp_path, "CASIA")
    assert (state, found) == (INCOMPLETE, "3 identities, 6 images") and "about 10,000 and 500,000" in missing[0]
    monkeypatch.setitem(table1.TRAINING_SIZES, "CASIA", (3, 6))
    assert look(tmp_path, "CASIA") == (PRESENT, "3 identities, 6 images", [])
    (tmp_path / "casia/train.idx").unlink()  # it can be made again
    assert look(tmp_path, "CASIA")[0] == PRESENT
    (tmp_path / "casia/property").unlink()
    assert look(tmp_path, "CASIA") == (INCOMPLETE, "", ["property"])
    # A combined set holds both of its parts.
    write_training_set(tmp_path / "deepglint", ((tiny_jpeg(k), k) for k in range(3)), (8, 8))
    monkeypatch.setitem(table1.TRAINING_SIZES, "DeepGlint", (3, 3))
    assert look(tmp_path, "MS1M-DeepGlint")[0] == look(tmp_path, "Asian-DeepGlint")[0] == PRESENT
    mark_demo(tmp_path / "deepglint")
    assert look(tmp_path, "MS1M-DeepGlint")[0] == ABSENT


def test_verification_sets_are_found_beside_training_sets(tmp_path):
    images = [tiny_jpeg(0), tiny_jpeg(1)]
    for folder, folds in (("casia", 9), ("ms1mv2", 10)):
        (tmp_path / folder).mkdir()
        write_bin(tmp_path / folder / "lfw.bin", images * 600 * folds, ([True] * 300 + [False] * 300) * folds)
        if folder == "casia":
            state, found, missing = look(tmp_path, "LFW")
            assert (state, found) == (INCOMPLETE, "5,400 pairs of 2 images") and "6,000 pairs" in missing[0]
    assert check(BY_TITLE["LFW"], tmp_path).place == tmp_path / "ms1mv2/lfw.bin"
    assert look(tmp_path, "LFW") == (PRESENT, "6,000 pairs of 2 images", [])
    (tmp_path / "calfw.bin").write_bytes(b"\x80\x03cut short")
    assert look(tmp_path, "CALFW")[0] == INCOMPLETE


def test_youtube_faces(tmp_path, monkeypatch):
    root = tmp_path / "ytf"
    for video in ("a/0", "a/1", "b/0"):
        (root / "aligned_images_DB" / video).mkdir(parents=True)
        (root / "aligned_images_DB" / video / "1.jpg").write_bytes(b"")
    lines = [f"{i // 500 + 1}, {i}, a/0, {'a/1' if i % 2 else 'b/0'}, {i % 2}" for i in range(5000)]
    write_lines(root / "splits.txt", ["split, pair, first, second, same", *lines])
    assert look(tmp_path, "YTF")[2] == ["aligned_images_DB has 3 of 3,425 videos"]
    monkeypatch.setattr(present, "_YTF", 3)
    assert look(tmp_path, "YTF") == (PRESENT, "5,000 pairs of 3 videos", [])
    (root / "aligned_images_DB/b/0/1.jpg").unlink()
    assert look(tmp_path, "YTF")[2] == ["1 videos of the list have no frames (3 looked for), such as b/0"]
    shutil.rmtree(root / "aligned_images_DB")
    write_lines(root / "splits.txt", lines[:10])
    assert look(tmp_path, "YTF")[2] == ["5,000 pairs are the whole set", "aligned_images_DB/"]


def test_benchmarks(tmp_path, monkeypatch):
    demo.megaface(tmp_path / "megaface", people(8, 8), sizes=(10, 10))
    demo.ijb(tmp_path / "ijb" / "IJBB", people(8, 8), "IJBB")
    demo.trillion_pairs(tmp_path / "trillion", people(8, 8))
    demo.iqiyi(tmp_path / "iqiyi", people(8, 8))
    lists = tmp_path / "megaface/templatelists"
    probes = len(json.loads((lists / "facescrub_features_list.json").read_text())["path"])
    assert look(tmp_path, "MegaFace") == (
        INCOMPLETE,
        f"{probes} probes",
        ["templatelists/megaface_features_list.json_1000000_1", f"{probes} of 3,530 probes are listed"],
    )
    monkeypatch.setattr(present, "_MEGAFACE", (probes, 10))
    assert look(tmp_path, "MegaFace") == (PRESENT, f"{probes} probes, 10 distractors", [])
    images, pairs = (len((tmp_path / f"ijb/IJBB/meta/ijbb_{name}.txt").read_text().splitlines()) for name in
                     ("face_tid_mid", "template_pair_label"))  # fmt: skip
    assert f"ijbb_template_pair_label.txt has {pairs} of 8,010,270 pairs" in look(tmp_path, "IJB-B")[2]
    monkeypatch.setattr(present, "_IJB", {"IJBB": (images, pairs)})
    assert look(tmp_path, "IJB-B") == (PRESENT, f"{images} images, {pairs} pairs", [])
    (tmp_path / "ijb/IJBB/loose_crop/3.jpg").unlink()
    (tmp_path / "ijb/IJBB/meta/ijbb_1N_probe_mixed.csv").unlink()
    assert look(tmp_path, "IJB-B")[2] == [
        "meta/ijbb_1N_probe_mixed.csv",
        f"1 images are not in loose_crop/ ({images} looked for), such as 3.jpg",
    ]
    counts = [len((tmp_path / "trillion" / name).read_text().splitlines()) for name in ("elfw_lst", "flickr_lst")]
    assert look(tmp_path, "Trillion-Pairs")[2] == [f"{counts[0]} of 274,000 probes are listed",
                                                  f"{counts[1]} of 1,580,000 distractors are listed"]  # fmt: skip
    monkeypatch.setattr(present, "_TRILLION", counts)
    assert look(tmp_path, "Trillion-Pairs")[0] == PRESENT
    assert "172,835 videos of 4,934 people" in look(tmp_path, "iQIYI-VID")[2][0]
    assert look(tmp_path, "IJB-C")[0] == ABSENT
    for name in ("megaface", "iqiyi"):
        mark_demo(tmp_path / name)
    assert look(tmp_path, "MegaFace")[0] == look(tmp_path, "iQIYI-VID")[0] == ABSENT


def test_long_lists_are_sampled_evenly(monkeypatch):
    assert len(present._some(list(range(1_000_000)))) == 1000 and present._some([1, 2]) == [1, 2]


def test_the_page_has_the_table():
    page = (ROOT / "datasets/README.md").read_text(encoding="utf-8")
    assert "\n".join(markdown()) in page


def test_the_command(command, tmp_path):
    write_training_set(tmp_path / "datasets/casia", ((tiny_jpeg(k), k) for k in range(3)), (8, 8))
    done = command("data", "check", "--json", "states.json")
    assert "incomplete  CASIA" in done.stdout and "missing: the whole set" in done.stdout
    assert done.stdout.splitlines()[-1] == "datasets: 0 present, 1 incomplete, 15 absent"
    assert json.loads((tmp_path / "states.json").read_text())["YTF"]["state"] == "absent"
    done = command("data", "check", "--set", "ijb-c")
    assert "asked for at: NIST, on request" in done.stdout and "CASIA" not in done.stdout
    assert "there is no folder" in command("data", "check", "nothing", check=2).stderr
    for name in ASKED_FOR:  # also where there are no data at all yet
        assert "asked for at: " in command("data", "check", "nothing", "--set", name).stdout
    assert "no data set 'x'" in command("data", "check", "--set", "x", check=2).stderr

"""Folders and lists of photographs to crops, with a detector that finds what was painted."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from squares import Squares, photograph

from arcface_gluon.data.images.align import template
from arcface_gluon.detect import crops, job
from arcface_gluon.detect.crops import Settings, choose, fault_of, save
from arcface_gluon.detect.faces import Face
from arcface_gluon.detect.photographs import open_photographs
from arcface_gluon.errors import UserError
from arcface_gluon.files import only_writer


@pytest.fixture(autouse=True)
def squares(monkeypatch):
    Squares.looked_at = 0
    monkeypatch.setattr(crops, "open_detector", lambda *_: Squares())


def align_all(source, out, root=None, force=False, **settings):
    photographs, _ = open_photographs(source, root)
    return job.align_photographs(photographs, Settings(str(out), ending=".png", **settings), 1, force, quiet=True)


def table(out):
    with open(out / job.TABLE, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_faces_are_cropped_under_the_photographs_paths(tmp_path):
    photograph(tmp_path / "in" / "ann" / "1.png", (30, 20, 40))
    photograph(tmp_path / "in" / "bob.jpg", (10, 10, 30), (100, 20, 50), quality=95)
    photograph(tmp_path / "in" / "nobody.png")
    counts = align_all(tmp_path / "in", tmp_path / "out")
    assert (counts["photographs"], counts["faces"], counts["none"], counts["several"]) == (3, 2, 1, 1)
    crop = cv2.imread(str(tmp_path / "out" / "ann" / "1.png"))
    assert crop.shape == (112, 112, 3) and (crop[5:-5, 5:-5] == (0, 255, 0)).all()
    rows = table(tmp_path / "out")
    assert [(row["photo"], row["crop"], row["note"]) for row in rows] == [
        ("ann/1.png", "ann/1.png", ""),
        ("bob.jpg", "", "2 faces were found; the largest was taken"),
        ("bob.jpg", "bob.png", "2 faces were found; the largest was taken"),
        ("nobody.png", "", "no face was found"),
    ]
    assert [float(rows[0][side]) for side in ("left", "top", "right", "bottom")] == [30, 20, 70, 60]
    assert float(rows[0]["lefteye_x"]) == pytest.approx(30 + template()[0, 0] * 40 / 112, abs=0.01)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_exif_says(tmp_path, orientation, ending):
    upright = Image.fromarray(np.full((90, 160, 3), 128, np.uint8))
    upright.paste((0, 255, 0), (20, 10, 60, 50))
    # What a camera held so stores: turned by the inverse of the turn that the tag asks for.
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(inverse[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "in").mkdir()
    stored.save(tmp_path / "in" / f"a{ending}", exif=exif, **({"quality": 95} if ending != ".tif" else {}))
    align_all(tmp_path / "in", tmp_path / "out")
    row = table(tmp_path / "out")[0]
    assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == [20, 10, 60, 50]


def test_a_large_photograph_is_looked_at_made_smaller_and_cut_as_it_is(tmp_path, monkeypatch):
    photograph(tmp_path / "in" / "a.png", (400, 200, 300), sides=(900, 1600))
    monkeypatch.setattr(crops, "MOST_SEEN", 450 * 800)
    seen, real = [], Squares.detect
    monkeypatch.setattr(Squares, "detect", lambda self, image: seen.append(image.shape) or real(self, image))
    align_all(tmp_path / "in", tmp_path / "out")
    assert seen == [(450, 800, 3)]
    (row,) = table(tmp_path / "out")
    assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == pytest.approx(
        [400, 200, 700, 500], abs=2
    )
    assert row["note"] == "looked at with 50% of its width and height"
    assert (cv2.imread(str(tmp_path / "out" / "a.png"))[5:-5, 5:-5] == (0, 255, 0)).all()


def test_bad_photographs_are_told_and_the_others_done(tmp_path):
    photograph(tmp_path / "in" / "good.png", (30, 20, 40))
    image = Image.open(tmp_path / "in" / "good.png")
    image.save(tmp_path / "in" / "two.webp", save_all=True, append_images=[image.rotate(90)])
    (tmp_path / "in" / "text.jpg").write_text("no image")
    (tmp_path / "in" / "cut.png").write_bytes((tmp_path / "in" / "good.png").read_bytes()[:60])
    deep = np.zeros((60, 60, 3), np.uint16)
    deep[10:50, 10:50, 1] = 65535
    cv2.imwrite(str(tmp_path / "in" / "deep.png"), deep)
    bomb = b"P6 60000 60000 255\n"
    (tmp_path / "in" / "bomb.ppm").write_bytes(bomb)
    counts = align_all(tmp_path / "in", tmp_path / "out")
    notes = {row["photo"]: row["note"] for row in table(tmp_path / "out")}
    assert counts["unusable"] == 4 and counts["faces"] == 2
    assert notes["good.png"] == notes["deep.png"] == ""
    assert "several pictures" in notes["two.webp"] and "too many" in notes["bomb.ppm"]
    assert "not an image" in notes["text.jpg"] and notes["cut.png"].startswith("cannot be read")


def test_what_is_done_is_not_done_again(tmp_path):
    for name in ("a", "b", "c"):
        photograph(tmp_path / "in" / f"{name}.png", (30, 20, 40))
    align_all(tmp_path / "in", tmp_path / "out")
    photograph(tmp_path / "in" / "b.png", (50, 20, 40))
    (tmp_path / "out" / "c.png").unlink()
    journal = tmp_path / "out" / job.JOURNAL
    journal.write_text(journal.read_text() + '{"photo": "torn')
    Squares.looked_at = 0
    counts = align_all(tmp_path / "in", tmp_path / "out")
    assert Squares.looked_at == 2 and counts["done before"] == 1
    assert [row["left"] for row in table(tmp_path / "out")] == ["30.00", "50.00", "30.00"]
    assert (tmp_path / "out" / "c.png").is_file()
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_folder_of_results_is_one_process_s(tmp_path):
    photograph(tmp_path / "in" / "a.png", (30, 20, 40))
    with only_writer(tmp_path / "out"), pytest.raises(UserError, match="another process"):
        align_all(tmp_path / "in", tmp_path / "out")
    assert align_all(tmp_path / "in", tmp_path / "out")["faces"] == 1


def test_other_settings_are_not_mixed(tmp_path):
    photograph(tmp_path / "in" / "a.png", (30, 20, 40))
    align_all(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="another size"):
        align_all(tmp_path / "in", tmp_path / "out", size=(112, 96))
    align_all(tmp_path / "in", tmp_path / "out", size=(112, 96), force=True)
    assert cv2.imread(str(tmp_path / "out" / "a.png")).shape == (112, 96, 3)


def test_all_faces_and_drawn_photographs(tmp_path):
    photograph(tmp_path / "in" / "a.png", (10, 10, 30), (100, 20, 50))
    align_all(tmp_path / "in", tmp_path / "out", faces="all", draw=str(tmp_path / "drawn"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a_face1.png", "a_face2.png"]
    assert cv2.imread(str(tmp_path / "drawn" / "a.jpg")).shape == (90, 160, 3)


def test_choice_of_a_face():
    faces = [Face(np.array(box, np.float32), 1.0, np.zeros((5, 2))) for box in ([0, 0, 9, 9], [40, 40, 44, 44])]
    assert choose(faces, "largest", (80, 80)) == [0] and choose(faces, "central", (80, 80)) == [1]
    assert choose(faces, "all", (80, 80)) == [0, 1] and choose([], "largest", (80, 80)) == []


POINTS = [(30.5, 40), (60, 41), (45, 55), (33, 70), (58, 71)]
INTERLEAVED = [value for point in POINTS for value in point]
BY_AXIS = [x for x, _ in POINTS] + [y for _, y in POINTS]
NAMES = [f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
LISTS = {
    "celeba": "1\n{names}\na.png {interleaved}\n",
    "kaggle": "image_id,{names_commas}\na.png,{interleaved_commas}\n",
    "insightface": "0\ta.png\t7\t1\t2\t3\t4\t{by_axis}\n",
    "ijb": "a.png {interleaved} 0.99\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_known_landmarks(tmp_path, kind):
    photograph(tmp_path / "photos" / "a.png")
    text = LISTS[kind].format(
        names=" ".join(NAMES),
        names_commas=",".join(NAMES),
        interleaved=" ".join(map(str, INTERLEAVED)),
        interleaved_commas=",".join(map(str, INTERLEAVED)),
        by_axis="\t".join(map(str, BY_AXIS)),
    )
    (tmp_path / "list.txt").write_text(text)
    photographs, _ = open_photographs(tmp_path / "list.txt", tmp_path / "photos")
    assert photographs[0].landmarks == tuple(POINTS) and photographs[0].crop == "a"
    counts = align_all(tmp_path / "list.txt", tmp_path / "out", tmp_path / "photos")
    assert counts["faces"] == 1 and Squares.looked_at == 0


@pytest.mark.parametrize(
    "points, told",
    [
        ([(x + 900, y) for x, y in POINTS], "outside of its 160 x 90 pixels"),
        ([(x, y - 900000) for x, y in POINTS], "outside of its 160 x 90 pixels"),
        ([(x / 1000 + 50, 50) for x, y in POINTS], "all at one place"),
        ([(160 - x, y) for x, y in POINTS], "are mirrored"),
    ],
)
def test_landmarks_of_no_face_are_told(tmp_path, points, told):
    photograph(tmp_path / "a.png")
    numbers = " ".join(f"{value}" for point in points for value in point)
    (tmp_path / "list.txt").write_text(f"a.png {numbers}\n")
    assert align_all(tmp_path / "list.txt", tmp_path / "out")["unusable"] == 1
    assert told in table(tmp_path / "out")[0]["note"] and not (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_faces_and_profiles_are_no_fault(degrees):
    profile = np.array([(52, 40), (50, 40), (20, 55), (40, 70), (41, 70)])
    for points in (np.array(POINTS), profile):
        for _ in range(degrees // 90):
            points = np.stack([90 - points[:, 1], points[:, 0]], axis=1)
        assert fault_of(points, (90, 90)) is None


def test_plain_lists_may_have_spaces_and_missing_files(tmp_path):
    photograph(tmp_path / "my holiday.png", (30, 20, 40))
    (tmp_path / "list.txt").write_text("my holiday.png\ngone.png\n")
    counts = align_all(tmp_path / "list.txt", tmp_path / "out")
    assert counts["faces"] == 1 and counts["unusable"] == 1


@pytest.mark.parametrize("line", ["../a.png", "x/../../a.png", "a\\..\\..\\b.png"])
def test_lists_lead_nowhere_else(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match="leads out"):
        open_photographs(tmp_path / "list.txt")


def test_absolute_paths_stay_in_the_folder_of_results(tmp_path):
    (tmp_path / "list.txt").write_text(f"/elsewhere/a.png\n{tmp_path}/b/c.png\n")
    photographs, _ = open_photographs(tmp_path / "list.txt")
    assert [photo.crop for photo in photographs] == ["elsewhere/a", "b/c"]
    assert Path(photographs[0].path) == Path("/elsewhere/a.png")


@pytest.mark.parametrize("out, draw", [("album", None), ("link", None), ("out", "album"), ("album/ann", None)])
def test_photographs_are_not_replaced(tmp_path, out, draw):
    album = tmp_path / "album"
    for name in ("a.png", "ann/a.png"):
        photograph(album / name, (30, 20, 40))
    (tmp_path / "link").symlink_to(album)
    (album / "list.txt").write_text("a.png\nann/a.png\n")
    before = (album / "ann" / "a.png").read_bytes()
    with pytest.raises(UserError, match="choose another folder"):
        align_all(album / "list.txt", tmp_path / out, draw=draw and str(tmp_path / draw))
    assert before == (album / "a.png").read_bytes() == (album / "ann" / "a.png").read_bytes()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(album / "a.png")
    with pytest.raises(UserError, match="choose another folder"):
        align_all(tmp_path / "links", album)


def test_names_that_differ_in_their_endings_stay_apart(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        photograph(tmp_path / name, (30, 20, 40))
    assert [photo.crop for photo in open_photographs(tmp_path)[0]] == ["a.jpg", "a.png", "b"]


def test_links_lead_nowhere_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "ann").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="by a link"):
        save(np.zeros((8, 8, 3), np.uint8), tmp_path / "out", "ann/1.png")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_command_tells_bad_input_in_one_line(tmp_path, command):
    photograph(tmp_path / "in" / "a.png", (30, 20, 40))
    for words, told in [
        (["in", "in/out"], "lies in"),
        (["in", "out", "--size", "100"], "--size"),
        (["gone", "out"], "gone"),
    ]:
        done = command("align", *words, check=2)
        assert told in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert (
        "--processes: '0' is not a number above 0" in command("align", "in", "out", "--processes", "0", check=2).stderr
    )


def test_the_command_over_two_processes(tmp_path, command):
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "b.png")
    line = " ".join(map(str, INTERLEAVED))
    (tmp_path / "list.txt").write_text(f"a.png {line}\nb.png {line}\n")
    done = command("align", "list.txt", "out", "--processes", "2", "--size", "112x96")
    assert done.returncode == 0 and "2 faces of 2 photographs" in done.stdout
    assert cv2.imread(str(tmp_path / "out" / "b.jpg")).shape == (112, 96, 3)


def test_of_a_csv_for_pack_the_paths_count_and_what_is_not_there_is_told(tmp_path, command):
    photograph(tmp_path / "a.png", (30, 20, 40))
    photograph(tmp_path / "b.png", (30, 20, 40))
    (tmp_path / "named.csv").write_text("identity,path\nAnn,a.png\nBo,b.png\n")
    (tmp_path / "plain.csv").write_text("a.png,0\ngone.png,1\n")
    done = command("align", "named.csv", "out", "--processes", "1")
    assert "2 faces of 2 photographs" in done.stdout
    done = command("align", "plain.csv", "other", "--processes", "1", check=2)
    assert "1 faces of 2 photographs" in done.stdout and (tmp_path / "other" / "a.jpg").exists()
    assert done.stderr.splitlines()[-1].startswith("arcface-gluon: plain.csv: 1 of its photographs are not there, such")
    photograph(tmp_path / "none" / "a.png")
    done = command("align", "none", "third", "--processes", "1", check=2)
    assert "none: there is no face in any of its photographs" in done.stderr

"""eval/ytf.py on a small set in the layout of YouTube Faces, against the protocol written out."""

import json
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest

from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.verification.pair_lists import Pair
from arcface_gluon.models.load import load_model
from arcface_gluon.report.measurements import collect

SIDE = 16  # of the pictures that the network takes
YTF = "ytf-other-e3e7b93c"  # twelve pairs are not YouTube Faces


@pytest.fixture(scope="module")
def ytf(script):
    return script("eval/ytf.py")


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Twelve pairs of six videos with one to three frames; relative runs/ below a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for person in "ABC":
        for video in (0, 1):
            folder = tmp_path / "ytf" / "aligned_images_DB" / person / str(video)
            folder.mkdir(parents=True)
            for frame in range(1 + ord(person) % 3):
                pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
                cv2.imwrite(str(folder / f"aligned_detect_{video}.{frame}.png"), pixels)
    pairs = [("A/0", "A/1"), ("A/0", "B/1"), ("B/0", "B/1"), ("B/1", "C/0"), ("C/0", "C/1"), ("A/1", "C/1")] * 2
    lines = [f"{i}, 1, {a}, {b}, {int(a[0] == b[0])}" for i, (a, b) in enumerate(pairs, 1)]
    (tmp_path / "ytf" / "splits.txt").write_text("\n".join(["split, pair, first, second, same", *lines]))
    return pairs


def centre(net, video):
    rows = []
    for path in sorted((Path("ytf") / "aligned_images_DB" / video).iterdir()):
        pixels = cv2.imread(str(path))[:, :, ::-1].transpose(2, 0, 1)
        row = net(mx.nd.array(pixels[None])).asnumpy()[0].astype(np.float64)
        rows.append(row / np.linalg.norm(row))
    mean = np.mean(rows, axis=0)
    return mean / np.linalg.norm(mean)


def test_videos_are_the_centres_of_their_frames(ytf, model, faces, capsys):
    assert ytf.main(["--model", str(model), "--data", "ytf", "--contexts", "cpu(0)", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "ytf: 12 pairs, the whole set has 5,000" in said and f"{YTF}: accuracy" in said
    net = load_model(model, "cpu(0)")
    distances = [((centre(net, a) - centre(net, b)) ** 2).sum() for a, b in faces]
    run = Path("runs") / "tiny"
    with np.load(run / "verification" / f"{YTF}.npz") as stored:
        np.testing.assert_allclose(stored["distances"], distances, rtol=1e-3, atol=1e-5)
        assert stored["issame"].tolist() == [a[0] == b[0] for a, b in faces]
    rows = json.loads((run / "results" / f"verification-{YTF}.json").read_text())
    assert [(row["table"], row["column"]) for row in rows] == [("table4_lfw_ytf", "YTF")]


def test_missing_videos(ytf, model, faces, capsys):
    for path in (Path("ytf") / "aligned_images_DB" / "C" / "0").iterdir():
        path.unlink()
    arguments = ["--model", str(model), "--data", "ytf", "--quiet"]
    assert ytf.main(arguments) == 2
    assert "1 videos have no frames in ytf/aligned_images_DB, the first is C/0" in capsys.readouterr().err
    status = ytf.main([*arguments, "--skip-missing"])
    done = capsys.readouterr()
    assert status == 2 and "8 pairs are too few" in done.err  # ten folds need ten pairs
    faces_left = [line for line in Path("ytf/splits.txt").read_text().splitlines() if "C/0" not in line]
    Path("ytf/splits.txt").write_text("\n".join([*faces_left, *faces_left[1:], "9, 9, C/0, C/1, 1"]))
    assert ytf.main([*arguments, "--skip-missing"]) == 0
    assert "1 left out as missing: runs/tiny/verification/ytf.missing.txt" in capsys.readouterr().out
    assert Path("runs/tiny/verification/ytf.missing.txt").read_text() == "C/0\n"


def test_the_mirror_is_added_where_asked_for_and_a_demo_stands_apart(ytf, model, faces, capsys):
    arguments = ["--model", str(model), "--data", "ytf", "--quiet"]
    assert ytf.main(arguments) == 0 and ytf.main([*arguments, "--flip"]) == 0
    said = capsys.readouterr().out
    assert "12 pairs, single crop" in said and "12 pairs, image + mirror" in said
    run = Path("runs") / "tiny"
    single, both = (np.load(run / "embeddings" / f"ytf-{mode}.npy") for mode in ("single", "mirror"))
    assert single.shape == both.shape and not np.allclose(single, both)
    assert (run / "verification" / f"{YTF}.npz").exists() and (run / "verification" / f"{YTF}-mirror.npz").exists()
    modes = {one.mode.flip for one in collect("runs")[0]}
    assert modes == {True, False}
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    mark_demo("ytf")
    assert ytf.main(arguments) == 0
    assert "demo_ytf: accuracy" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in before}
    assert (run / "demo" / "verification" / "demo_ytf.npz").exists()


def test_ready_features_give_the_same(ytf, model, faces, capsys, tmp_path):
    """With an index, in any order and without the frames; without one, a row a frame as the folder has them."""
    arguments = ["--model", str(model), "--data", "ytf", "--quiet"]
    assert ytf.main([*arguments, "--json", "want.json"]) == 0
    extracted = tmp_path / "runs" / "tiny" / "embeddings" / "ytf-single.npy"
    rows, names = np.load(extracted), extracted.with_suffix(".txt").read_text().splitlines()
    order = np.random.default_rng(0).permutation(len(rows))
    np.save("indexed.npy", rows[order])
    Path("indexed.txt").write_text("".join(f"{names[i]}\n" for i in order))
    np.save("plain.npy", rows)
    np.save("short.npy", rows[1:])
    wanted = json.loads(Path("want.json").read_text())["verification"]
    ready = ["--data", "ytf", "--quiet", "--json", "found.json", "--no-flip", "--features"]
    assert ytf.main([*ready, "plain.npy"]) == 0
    assert json.loads(Path("found.json").read_text())["verification"] == wanted
    (tmp_path / "ytf" / "aligned_images_DB").rename(tmp_path / "elsewhere")
    assert ytf.main([*ready, "indexed.npy"]) == 0
    assert json.loads(Path("found.json").read_text())["verification"] == wanted
    assert "report: runs/indexed/report.html" in capsys.readouterr().out
    assert ytf.main([*ready, "plain.npy"]) == 2 and "aligned_images_DB: there are no images" in capsys.readouterr().err
    (tmp_path / "elsewhere").rename(tmp_path / "ytf" / "aligned_images_DB")
    assert ytf.main([*ready, "short.npy"]) == 2
    assert f"short.npy has {len(rows) - 1} rows, but the list names {len(rows)} images" in capsys.readouterr().err
    assert ytf.main([*ready, "none.npy"]) == 2 and "none.npy is not there" in capsys.readouterr().err


def test_a_part_of_the_set_leaves_the_whole_sets_result_alone(ytf):
    pairs = [Pair(f"{i}/0", f"{i}/1" if same else f"{i + 1}/0", same) for i in range(2500) for same in (True, False)]
    assert ytf.name_of(pairs, False) == "ytf" and ytf.name_of(pairs, True) == "demo_ytf"
    names = {ytf.name_of(part, False) for part in (pairs[2:], pairs[:-2], pairs[:100])}
    assert len(names) == 3 and all(name.startswith("ytf-other-") for name in names)

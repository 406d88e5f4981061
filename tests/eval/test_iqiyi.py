"""eval/iqiyi.py on small sets in the layout of iQIYI-VID, against MAP@100 written out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import people, save_features, write_lines

from arcface_gluon.data.embeddings.embedding_file import read_embeddings
from arcface_gluon.training.video_mlp import train_video_mlp

PEOPLE = 5  # of whom the last has no training video
VIDEOS = [(f"v{person}_{i}", person) for person in range(PEOPLE) for i in range(4)]
TRAIN = [(video, person) for video, person in VIDEOS if person < PEOPLE - 1 and video[-1] in "01"]
VAL = [pair for pair in VIDEOS if pair not in TRAIN] + [(f"nobody_{i}", -1) for i in range(6)]
NAMES = [video for video, _ in TRAIN + VAL]


@pytest.fixture(scope="module")
def iqiyi(script):
    return script("eval/iqiyi.py")


@pytest.fixture
def features(tmp_path, monkeypatch):
    """Lists below set/, two models' features of one to three frames a video; relative runs/ elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    write_lines("set/train.txt", [f"{video} {person}" for video, person in TRAIN])
    write_lines("set/val.txt", [f"{video} {person}" for video, person in VAL])
    rng = np.random.default_rng(0)
    for model in ("a", "b"):
        directions, rows, names = rng.normal(size=(PEOPLE + 1, 12)), [], []
        for number, (video, person) in enumerate(TRAIN + VAL):
            for frame in range(1 + number % 3):
                rows.append(directions[person] + 1.2 * rng.normal(size=12))
                names.append(f"{video}/{frame:04d}.jpg")
        save_features(f"{model}.npy", rows, names)
    save_features("context.npy", rng.normal(size=(len(NAMES), 6)), NAMES)
    return ["--data", "set", "--contexts", "cpu(0)", "--epochs", "4", "--features", "a.npy"]


def results(run="a"):
    return json.loads((Path("runs") / run / "iqiyi" / "results.json").read_text())


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def video_centres(path, names=NAMES):
    found = read_embeddings(path)
    rows = unit(np.float64(found.vectors))
    videos = np.array([name.rpartition("/")[0] for name in found.names])
    return unit(np.array([rows[videos == video].mean(axis=0) for video in names]))


def mean_average_precision(scores, persons):
    """scores (videos, persons 0 …), persons (videos,)."""
    precisions = []
    for person in range(scores.shape[1]):
        order = np.argsort(-scores[:, person], kind="stable")
        hits = persons[order] == person
        precisions.append(sum((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]) / hits.sum())
    return np.mean(precisions)


def log_probabilities(rows, train, persons):
    network, _ = train_video_mlp(rows[:train].astype(np.float32), persons[:train], epochs=4, contexts="cpu(0)")
    queries, videos = (np.float64(part) for part in network.retrieval_parts(rows[train:].astype(np.float32)))
    return videos @ queries.T


def test_every_row_of_the_table_agrees_with_what_is_written_out(iqiyi, features, capfd):
    assert iqiyi.main([*features, "b.npy", "--context", "context.npy", "--json", "copy.json"]) == 0
    said = capfd.readouterr().out
    assert "iQIYI-VID: 8 training videos of 4 people, 18 videos to be found, 10 of them of nobody of these" in said
    train, persons = len(TRAIN), np.array([person for _, person in TRAIN + VAL])
    expected, parts = [], []
    for path in ("a.npy", "b.npy"):
        rows = video_centres(path)
        queries = unit(np.array([rows[:train][persons[:train] == person].mean(axis=0) for person in range(4)]))
        expected.append(mean_average_precision(rows[train:] @ queries.T, persons[train:]))
        parts.append(log_probabilities(rows, train, persons))
        expected.append(mean_average_precision(parts[-1], persons[train:]))
    expected.append(mean_average_precision(sum(parts), persons[train:]))
    parts.append(log_probabilities(unit(np.float64(np.load("context.npy"))), train, persons))
    expected.append(mean_average_precision(sum(parts), persons[train:]))
    found = {name: method["map_at_100"] for name, method in results()["methods"].items()}
    assert list(found) == [
        *("a, feature centres", "a, + MLP", "b, feature centres", "b, + MLP"),
        *("+ Ensemble", "+ Context"),
    ]
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-12)
    assert 0.2 < found["a, feature centres"] < 1
    assert set(results()["average_precision"]["+ Ensemble"]) == {"0", "1", "2", "3"}
    assert json.loads(Path("copy.json").read_text()) == results()
    kept = [json.loads(path.read_text())[0] for path in sorted(Path("runs/a/results").glob("*.json"))]
    assert [row["row"] for row in kept] == ["a", "a and b + Context", "a and b + Ensemble", "a + MLP"]
    assert kept[0]["value"] == 100 * found["a, feature centres"] and not any(row["paper_data"] for row in kept)
    assert "| a and b + Context |" in Path("runs/a/iqiyi/table.md").read_text()
    assert Path("runs/a/figures/iqiyi-average-precision.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("no_figures")
def test_context_counts_by_its_weight(iqiyi, features):
    train, persons = len(TRAIN), np.array([person for _, person in TRAIN + VAL])
    parts = [log_probabilities(rows, train, persons) for rows in (video_centres("a.npy"), unit(np.load("context.npy")))]
    found = {}
    for weight in (1, 0.05, 40):
        assert iqiyi.main([*features, "--context", "context.npy", "--context-weight", str(weight)]) == 0
        found[weight] = results()["methods"]["+ Context"]["map_at_100"]
        expected = mean_average_precision(parts[0] + weight * parts[1], persons[train:])
        assert found[weight] == pytest.approx(expected, abs=1e-12)
    assert len(set(found.values())) == 3


def test_features_of_videos_are_as_those_of_their_frames(iqiyi, features):
    assert iqiyi.main(features) == 0
    expected = results()["methods"]
    save_features("a.npy", video_centres("a.npy"), NAMES)
    assert iqiyi.main(features) == 0 and results()["methods"] == expected
    Path("a.txt").unlink()  # in the order of the lists
    assert iqiyi.main(features) == 0 and results()["methods"] == expected


def test_images_of_a_model(iqiyi, features, script, model, capfd, bad_input):
    script("datasets/demo.py").iqiyi("faces", people(8, 8))
    arguments = ["--model", str(model), "--data", "faces", "--contexts", "cpu(0)", "--quiet"]
    assert iqiyi.main([*arguments, "--flip", "--epochs", "1"]) == 0
    assert "mode: image + mirror; first 100 videos; data: faces" in capfd.readouterr().out
    assert [path.name for path in Path("runs/tiny/embeddings").glob("*.npy")] == ["iqiyi-64-mirror.npy"]
    shutil.rmtree("runs/tiny")
    assert iqiyi.main(arguments) == 0
    assert [path.name for path in Path("runs/tiny/embeddings").glob("*.npy")] == ["iqiyi-64-single.npy"]
    first = results("tiny")["methods"]
    train, val = (
        dict(line.split() for line in Path(f"faces/{name}.txt").read_text().splitlines()) for name in ("train", "val")
    )
    (stored,) = Path("runs/tiny/embeddings").glob("iqiyi-*.npy")
    rows, persons = video_centres(stored, [*train, *val]), np.array([*train.values(), *val.values()], int)
    queries = unit(np.array([rows[: len(train)][persons[: len(train)] == person].mean(axis=0) for person in range(6)]))
    expected = mean_average_precision(rows[len(train) :] @ queries.T, persons[len(train) :])
    assert first["feature centres"]["map_at_100"] == pytest.approx(expected, abs=1e-12)
    assert iqiyi.main(arguments) == 0 and results("tiny")["methods"] == first, "the same again"
    shutil.rmtree("faces/frames/IQIYI_VID_0000_0")
    bad_input(iqiyi.main, arguments, "IQIYI_VID_0000_0 has no frames")
    assert iqiyi.main([*arguments, "--skip-missing"]) == 0
    assert "1 left out as missing: runs/tiny/iqiyi/missing.txt" in capfd.readouterr().out
    assert Path("runs/tiny/iqiyi/missing.txt").read_text() == "IQIYI_VID_0000_0\n"


def test_what_lacks_features_is_left_out_on_request(iqiyi, features, capfd, bad_input):
    rows = np.load("context.npy")
    save_features("context.npy", rows[1:], NAMES[1:])
    arguments = [*features, "--context", "context.npy"]
    bad_input(iqiyi.main, arguments, "context.npy has no feature of 1 of 26 images, the first is v0_0")
    assert iqiyi.main([*arguments, "--skip-missing"]) == 0
    assert "1 left out as missing" in capfd.readouterr().out
    assert Path("runs/a/iqiyi/missing.txt").read_text() == "v0_0\n" and results()["training_videos"] == 7


def spoil_rows(value):
    rows = np.load("a.npy")
    rows[4] = value
    np.save("a.npy", rows)


def rename(path, old, new):
    Path(path).write_text(Path(path).read_text().replace(old, new))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda: spoil_rows(0), "image v1_0/0001.jpg is a zero vector"),
        (lambda: spoil_rows(np.nan), "image v1_0/0001.jpg has NaN"),
        (lambda: Path("a.npy").write_bytes(Path("a.npy").read_bytes()[:-50]), "a.npy is not a whole .npy array"),
        (lambda: rename("a.txt", "v1_0/0001", "v1_0/0000"), "a.txt names v1_0/0000.jpg twice"),
        (lambda: rename("a.txt", "v1_1/", "v9_9/"), "a.npy has no feature of 1 of 26 videos, the first is v1_1"),
        (lambda: write_lines("a.txt", NAMES), "rows, but the list names"),
        (lambda: rename("set/train.txt", "v1_0 1", "v1_0 -1"), "v1_0 shows nobody"),
        (lambda: rename("set/val.txt", "v1_2 1", "v1_0 1"), "v1_0 is in set/train.txt and in set/val.txt"),
        (lambda: rename("set/val.txt", "v1_2 1", "v1_2 x"), "set/val.txt line 3: expected `video person`"),
        (lambda: rename("set/val.txt", "v1_2 1", "v1_3 1"), "v1_3 is named twice"),
        (lambda: Path("set/train.txt").unlink(), "cannot read set/train.txt"),
    ],
)
def test_bad_input_is_one_line(iqiyi, features, bad_input, spoil, words):
    spoil()
    bad_input(iqiyi.main, features, words)


def test_bad_options_are_one_line(iqiyi, features, bad_input):
    for options, words in [
        (["--row", "+ MLP"], "the model's row of Table 9"),
        (["--epochs", "0"], "must be above 0"),
        (["--context", "none.npy"], "cannot read none.npy"),
    ]:
        bad_input(iqiyi.main, [*features, *options], words)

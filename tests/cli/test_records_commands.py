"""Records from the command line: the ORL faces through every command, and what is refused in one line."""

import json
import re
import shutil

import pytest
from helpers import tiny_jpeg, write_lines

from arcface_gluon.data import FaceRecords, read_bin, write_training_set
from arcface_gluon.files import only_writer


@pytest.fixture
def faces(tmp_path):
    """24 people with four images each as files, and the same as records."""
    images = [(tiny_jpeg(k, i), k) for k in range(24) for i in range(4)]
    for number, (image, k) in enumerate(images):
        path = tmp_path / "faces" / f"p{k:02}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return images


def contents(folder):
    records = FaceRecords(folder)
    return [records.read(i) for i in range(len(records))]


def test_from_files_to_files(command, faces, tmp_path):
    done = command("pack", "faces", "one", "--processes", "1", "--quiet")
    assert "one: 96 images of 24 identities, 8x8; 96 stored byte for byte" in done.stdout
    command("pack", "faces", "two", "--processes", "2", "--quiet")
    for name in ("train.rec", "train.idx", "property", "names.tsv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert contents(tmp_path / "one") == faces
    assert "24 identities, 8x8 by property" in command("inspect", "one", "--json", "a.json", "--sheet", "a.jpg").stdout
    assert json.loads((tmp_path / "a.json").read_text())["named"] == 24
    command("unpack", "one", "files")
    command("pack", "files/images.lst", "three", "--quiet", "--processes", "1")
    assert (tmp_path / "three/train.rec").read_bytes() == (tmp_path / "one/train.rec").read_bytes()


def test_rearranged(command, faces, tmp_path):
    write_training_set(tmp_path / "set", faces, (8, 8))
    command("shuffle", "set", "shuffled")
    command("merge", "set", "shuffled", "merged")
    assert len(FaceRecords(tmp_path / "merged")) == 192
    done = command("clean", "merged", "--copies", "--drop", "clean", check=2)
    assert "192 under two identities" in done.stdout and "nobody of" in done.stderr
    done = command("split", "set", "split", "--verification", "50%", "--pairs", "--folds", "2")
    assert "none of them in the other" in done.stdout and "pairs" in done.stdout
    assert len(FaceRecords(tmp_path / "split")) == len(FaceRecords(tmp_path / "split/unseen")) == 48
    known = {image for image, _ in contents(tmp_path / "split/unseen")}
    assert set(read_bin(tmp_path / "split/verification.bin")[0]) <= known


def test_of_two_that_write_a_set_at_once_the_second_is_told(command, faces, tmp_path):
    write_training_set(tmp_path / "set", faces, (8, 8))
    command("shuffle", "set", "other")
    commands = [
        *(
            ("pack", "faces", "out"),
            ("merge", "set", "other", "out"),
            ("shuffle", "set", "out"),
            ("split", "set", "out"),
        ),
        ("clean", "set", "--copies", "--drop", "out"),
        *(("unpack", "set", "out"), ("unpack", "pairs.bin", "out")),
    ]
    command("pack-pairs", "set", "pairs.bin")
    with only_writer(tmp_path / "out"):
        for words in commands:
            told = command(*words, check=2).stderr.splitlines()[-1]
            assert "another process is writing into out; wait for it or stop it" in told, words
    assert not (tmp_path / "out").exists()
    for words in commands[:4]:
        command(*words)
        assert "there already" in command(*words, check=2).stderr
        shutil.rmtree(tmp_path / "out")


def test_pairs(command, faces, tmp_path):
    done = command("pack-pairs", "faces", "drawn.bin", "--genuine", "20", "--impostor", "10")
    assert "drawn.bin: 30 pairs, 20 of them genuine" in done.stdout
    assert "is there already" in command("pack-pairs", "faces", "drawn.bin", check=2).stderr
    command("unpack", "drawn.bin", "pairs")
    command("pack-pairs", "pairs", "again.bin", "--pairs", "pairs/pairs.txt")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "drawn.bin").read_bytes()
    write_lines(tmp_path / "own.csv", ["a,b,same", "p00/0.jpg,p00/1.jpg,1", "p00/0.jpg,p01/4.jpg,false"])
    command("pack-pairs", "faces", "own.bin", "--pairs", "own.csv")
    assert read_bin(tmp_path / "own.bin") == ([faces[i][0] for i in (0, 1, 0, 4)], [True, False])


def test_few_people_have_few_folds(command, faces, tmp_path):
    for number in range(3, 24):
        shutil.rmtree(tmp_path / "faces" / f"p{number:02}")
    said = command("pack-pairs", "faces", "few.bin").stdout
    assert "3 folds instead of 10, for want of people" in said and "few.bin: 36 pairs, 18 of them genuine" in said
    assert "too few for 10 folds" in command("pack-pairs", "faces", "ten.bin", "--folds", "10", check=2).stderr
    command("pack", "faces", "set", "--quiet")
    said = command("split", "set", "parts", "--verification", "2", "--pairs").stdout
    assert "2 folds instead of 10" in said and "verification.bin: 16 pairs, 8 of them genuine" in said
    assert (
        "1 of the people is too few for pairs of two"
        in command("split", "set", "no", "--verification", "1", "--pairs", check=2).stderr
    )
    assert not (tmp_path / "no").exists()


def test_images_far_from_their_centre(command, faces, tmp_path):
    import numpy as np

    write_training_set(tmp_path / "set", faces, (8, 8))
    rows = np.eye(24)[[label for _, label in faces]] + 0.05 * np.random.default_rng(0).normal(size=(96, 24))
    rows[5] = np.eye(24)[9]  # of identity 1, but it looks like 9
    np.save(tmp_path / "f.npy", rows.astype(np.float32))
    write_lines(tmp_path / "f.txt", [f"{i + 1}\t{label}" for i, (_, label) in enumerate(faces)])
    done = command("clean", "set", "--features", "f.npy", "--drop", "out")
    assert "1 of 96 images to look at" in done.stdout and "out: 95 images of 24 identities" in done.stdout
    key, label, _, reason, angle, other, _ = (tmp_path / "clean.csv").read_text().splitlines()[1].split(",")
    assert (key, label, reason, other) == ("6", "1", "far", "9") and 75 < float(angle) < 110
    command("clean", "set", "--listed", "clean.csv", "--drop", "again")
    assert (tmp_path / "again/train.rec").read_bytes() == (tmp_path / "out/train.rec").read_bytes()


def test_trained_centres_of_a_run_that_left_identities_out(command, model, faces, tmp_path):
    """Two centres each of the 12 of 24 identities that data.min_images left: as many as of 24 with one."""
    import mxnet as mx
    import numpy as np

    from arcface_gluon import load_model

    kept = [(image, label) for i, (image, label) in enumerate(faces) if label % 2 or i % 4 < 2]
    write_training_set(tmp_path / "set", [(tiny_jpeg(i, i, size=(112, 112)), k) for i, (_, k) in enumerate(kept)])
    checkpoint = tmp_path / "run/checkpoints/00000001"
    checkpoint.mkdir(parents=True)
    net = load_model(model)
    (checkpoint / "network.json").write_text(json.dumps(net.spec))
    net.save_parameters(str(checkpoint / "backbone.params"))
    centres = np.random.default_rng(0).normal(size=(24, 16)).astype("f")
    mx.nd.save(str(checkpoint / "head-00000000.params"), {"weight": mx.nd.array(centres)})
    recipe = {"data": {"min_images": 3}, "head": {"sub_centres": 2}, "network": {"name": "r18"}}
    (tmp_path / "run/recipe.json").write_text(json.dumps(recipe))
    done = command("clean", "set", "--model", "run", "--angle", "0.01", "--quiet")
    assert "24 images have no trained centre" in done.stderr
    rows, units = np.load(tmp_path / "clean.npy"), centres / np.linalg.norm(centres, axis=1, keepdims=True)
    cosines = (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ units.T
    found = {}
    for line in (tmp_path / "clean.csv").read_text().splitlines()[1:]:
        key, label, _, reason, angle, *_ = line.split(",")
        assert reason == "far" and int(label) % 2
        found[int(key)] = float(angle)
    labels = np.array([label for _, label in kept])
    for label in range(1, 24, 2):
        own = np.flatnonzero(labels == label)
        block = cosines[own, label // 2 * 2 : label // 2 * 2 + 2]
        dominant = np.bincount(block.argmax(axis=1), minlength=2).argmax()
        wanted = np.degrees(np.arccos(block[:, dominant]))
        np.testing.assert_allclose([found[i + 1] for i in own], wanted, atol=0.02)
    command("clean", "set", "--model", "run", "--centres", "mean", "--quiet")
    recipe["data"]["min_images"] = 5
    (tmp_path / "run/recipe.json").write_text(json.dumps(recipe))
    assert "no trained centre" not in command("clean", "set", "--model", "run", "--quiet").stderr
    done = command("clean", "set", "--model", "run", "--centres", "trained", check=2)
    assert "trained on another set" in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["pack", "nothing", "out"], "nothing is not there"),
        (["pack", "faces", "faces/out"], "lies in faces"),
        (["pack", "faces", "out", "--quality", "0"], "no quality"),
        (["pack", "faces", "out", "--quality", "90", "--encoding", "png"], "--quality is of JPEG"),
        (["pack", "faces/p00", "out"], "lie in no identity's folder"),
        (["pack", "set", "out"], "there are no images|left out"),
        (["pack", "set/train.rec", "out"], "packed already"),
        (["pack", "faces", "set", "--quiet", "--processes", "1"], "is there already"),
        (["pack-pairs", "faces", "a.bin", "--genuine", "7"], "multiple of the 10 folds"),
        (["pack-pairs", "faces", "a.bin", "--genuine", "5000"], "at most"),
        (["pack-pairs", "faces", "a.txt"], "NAME.bin"),
        (["pack-pairs", "faces", "a.bin", "--pairs", "out.csv"], "leads out"),
        (["merge", "set", "out"], "two or more"),
        (["merge", "set", "set", "set"], "folder of a set that is read"),
        (["split", "set", "out", "--verification", "24"], "leave nobody"),
        (["split", "set", "out", "--verification", "0%"], "no number of identities"),
        (["split", "set", "out", "--genuine", "20"], "--pairs"),
        (["shuffle", "nothing", "out"], "train.rec"),
        (["shuffle", "set", "set", "--force"], "a set that is read"),
        (["clean", "set", "--listed", "a.csv"], "--drop"),
        (["clean", "set", "--copies", "--angle", "200"], "no angle"),
        (["inspect", "nothing"], "train.rec"),
        (["inspect", "set", "--sheet", "a.gif"], "a .jpg or a .png"),
    ],
)
def test_refused(command, faces, tmp_path, arguments, words):
    write_training_set(tmp_path / "set", faces, (8, 8))
    write_lines(tmp_path / "out.csv", ["../a.jpg,p00/0.jpg,1"])
    done = command(*arguments, check=2)
    assert re.search(words, done.stderr), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").is_dir() or not list((tmp_path / "out").iterdir())

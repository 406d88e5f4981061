"""Bad input through the command line: one clear line that names the file or option, status 2, no traceback."""

import os
import pickle
import resource
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from helpers import TINY, start

from arcface_gluon.data import read_bin, write_bin, write_training_set
from arcface_gluon.errors import UserError


def jpeg(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (112, 112, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture
def records(tmp_path):
    """A folder with 8 images of 4 identities and a verification set."""
    folder = tmp_path / "data"
    write_training_set(folder, ((jpeg(i), i // 2) for i in range(8)))
    write_bin(folder / "set.bin", [jpeg(i % 8) for i in range(40)], [True, False] * 10)
    return folder


def train(folder, *more, iterations=2):
    settings = [f"train.iterations={iterations}", "train.contexts=1", "data.validation=[]", "train.batch_size=4"]
    return ["train", "orl", f"data.path={folder}", *TINY, *settings, *more]


def refused(command, arguments, *words, status=2):
    error = command(*arguments, check=status).stderr
    lines = [line for line in error.splitlines() if line.startswith("arcface-gluon")]
    assert len(lines) == 1 and "Traceback" not in error, error
    for word in words:
        assert word in lines[0], lines[0]


def test_missing_data_says_where_it_looked_and_what_to_read(command):
    arguments = ["train", "casia_r50"]
    refused(command, arguments, "train.rec", "train.idx", "property", "datasets/casia", "data check --set casia")
    refused(command, [*arguments, "data.path=/no/faces"], "property) in /no/faces; `arcface-gluon data check")
    refused(command, ["train", "orl"], "`arcface-gluon data orl` makes them")


def test_unknown_names(command, records):
    refused(command, ["trian", "casia_r50"], "trian", "did you mean 'train'")
    refused(command, ["train", "casia_r50", "--resme"], "--resme", "did you mean '--resume'")
    refused(command, ["train", "casia_r5"], "casia_r5", "did you mean 'casia_r50'")
    refused(command, train(records, "train.batchsize=3"), "train.batchsize", "did you mean 'train.batch_size'")
    refused(command, train(records, "network.name=r51"), "r51", "r50")
    refused(command, train(records, "network.options={'sse': True}"), "sse", "se")


def test_a_batch_beyond_what_an_array_of_mxnet_holds(command, records, tmp_path):
    settings = ["train.batch_size=100000", "train.contexts=2", "train.accumulate=2"]
    refused(command, train(records, *settings), "is 25,000 images at once", "more than 21,399 this", "train.accumulate")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_truncated_records(command, records):
    path = records / "train.rec"
    path.write_bytes(path.read_bytes()[:-3000])
    refused(command, train(records, "data.on_error=stop"), "train.rec")


def test_corrupt_image_stops_or_is_skipped(command, records, tmp_path, caplog):
    path = records / "train.rec"
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xd8\xff", len(data) // 3)
    data[start : start + 400] = bytes(400)
    path.write_bytes(bytes(data))
    refused(command, train(records, "data.on_error=stop"), "train.rec", "record")
    command(*train(records, iterations=4), "--json", "summary.json")
    assert caplog.text.count("skipped:") == 1, caplog.text  # named once, however often it came up
    assert '"skipped_records": 0' not in (tmp_path / "summary.json").read_text()


def test_property_that_contradicts_the_records(command, records):
    (records / "property").write_text("2,112,112\n")
    refused(command, train(records, "data.on_error=stop"), "property")


def test_damaged_checkpoint(command, records, tmp_path):
    command(*train(records))
    checkpoint = tmp_path / "runs" / "orl" / "checkpoints" / "00000002"
    path = checkpoint / "backbone.params"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    refused(command, [*train(records, iterations=4), "--resume"], "backbone.params", "damaged")
    path.unlink()
    refused(command, [*train(records, iterations=4), "--resume"], "backbone.params", "missing")


def test_checkpoint_of_another_network(command, records):
    command(*train(records))
    other = "network.options={'width': 0.25, 'units': [1, 1, 1, 1]}"
    refused(command, [*train(records, other, iterations=4), "--resume"], "another network", "conv0")


def test_checkpoint_of_another_loss(command, records):
    command(*train(records))
    resume = [*train(records, iterations=4), "--resume"]
    for other in ("head.sub_centres=3", "head.kind=softmax"):
        refused(command, [*resume, other], "another kind of loss", "without --resume")


def test_damaged_state_of_a_checkpoint(command, records, tmp_path):
    command(*train(records))
    state = tmp_path / "runs" / "orl" / "checkpoints" / "00000002" / "state.json"
    for content in ("", "[]", '{"sha256": {}, "iteration": 2}'):
        state.write_text(content)
        refused(command, [*train(records, iterations=4), "--resume"], "state.json", "no whole checkpoint", "00000002")


def test_images_of_another_size_than_the_network_takes(command, records):
    (records / "property").write_text("4,96,96\n")
    refused(command, train(records), "property", "96x96", "112x112", "network.options.input_size")
    command(*train(records, "network.options.input_size=96"))
    refused(
        command, train(records, "network.options.input_size=48"), "set data.reduce=2, network.options.input_size=96"
    )
    command(*train(records, "network.options.input_size=48", "data.reduce=2"))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["r18", "mobilefacenet"])
def test_images_of_unequal_sides(command, tmp_path, network):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 112, 96, 3), np.uint8)
    images = [cv2.imencode(".jpg", image)[1] for image in pixels]
    folder = tmp_path / "data"
    write_training_set(folder, ((image, i // 2) for i, image in enumerate(images)), (112, 96))
    write_bin(folder / "set.bin", [images[i % 8] for i in range(40)], [True, False] * 10)
    more = [f"network.name={network}", *["network.options={}"] * (network != "r18")]
    refused(command, train(folder, *more), "112x96", "112x112", "network.options.input_size=112,96")
    error = command(*train(folder, *more, "network.options.input_size=112,96")).stderr
    assert "warning" not in error
    command("verify", "--model", "runs/orl", "--bin", folder / "set.bin")
    command("embed", folder / "train.rec", "--model", "runs/orl", "--out", "faces.npy")
    assert np.load("faces.npy").shape == (8, 32)


@pytest.mark.slow
def test_images_that_are_scaled_are_told_once(command, records, tmp_path):
    command(*train(records))
    large = [cv2.imencode(".png", np.full((160, 160, 3), 9 * i, np.uint8))[1] for i in range(8)]
    write_bin(records / "large.bin", [large[i % 8] for i in range(40)], [True, False] * 10)
    error = command("verify", "--model", "runs/orl", "--bin", records / "large.bin").stderr
    assert error.count("40 of 40 images are 160x160, not 112x112") == 1 and "aligned" in error
    assert "160" not in command("verify", "--model", "runs/orl", "--bin", records / "set.bin").stderr
    write_training_set(records, ((image, i // 2) for i, image in enumerate(large)))
    assert "8 of 8 images are 160x160" in command(*train(records)).stderr


@pytest.mark.slow
def test_labels_from_one(command, records, tmp_path):
    write_training_set(records, ((jpeg(i), 1 + i // 2) for i in range(8)))
    (records / "property").write_text("4,112,112\n")
    refused(command, train(records), "property says 4 identities", "labels run from 1 to 4", "data.first_label=1")
    assert "8 images of 4 identities" in command(*train(records, "data.first_label=1")).stdout
    embed = ["embed", records / "train.rec", "--model", "runs/orl", "--out"]
    refused(command, [*embed, "other.npy"], "has label 4, but property allows 0 to 3", "--first-label")
    command(*embed, "faces.npy", "--first-label", "1")
    assert [line.split("\t")[1] for line in (tmp_path / "faces.txt").read_text().splitlines()] == [*"00112233"]
    command("eval", "angles", "runs/orl", "--bin", records / "set.bin")
    overlap = ["overlap", records, "--features", "faces.npy", "--test-features", "faces.npy", "--first-label", "1"]
    command(*overlap)
    assert [line[0] for line in (tmp_path / "overlap.tsv").read_text().splitlines()[1:]] == [*"1234"]
    error = command(*train(records, "data.on_error=skip")).stderr
    assert "warning: " in error and "2 of 8 images have no identity" in error


def test_records_are_no_verification_set(records):
    with pytest.raises(UserError, match="train.rec is a file of training records"):
        read_bin(records / "train.rec")


def test_embed_says_that_the_index_is_cut(command, records):
    (records / "train.idx").write_text("".join((records / "train.idx").read_text().splitlines(True)[1:3]))
    command(*train(records, "data.on_error=skip"))
    out = command("embed", records / "train.rec", "--model", "runs/orl", "--out", "faces.npy").stdout
    assert "train.idx lists 2 images, but train.rec holds 8; delete the .idx" in out
    assert np.load("faces.npy").shape == (2, 32)


def test_nothing_to_resume(command, records):
    refused(command, [*train(records), "--resume"], "runs/orl", "RESUME")


def test_foreign_pickle_is_refused_and_not_run(command, records, tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/attacked",)

    (records / "evil.bin").write_bytes(pickle.dumps(([b""], [Attack()])))
    command(*train(records))
    refused(command, ["verify", "--model", "runs/orl", "--bin", records / "evil.bin"], "evil.bin")
    assert not (tmp_path / "attacked").exists()


def test_damaged_image_of_a_verification_set(command, records):
    command(*train(records))
    write_bin(records / "set.bin", [b"\xff\xd8no image", *[jpeg(i % 8) for i in range(39)]], [True, False] * 10)
    error = command("verify", "--model", "runs/orl", "--bin", records / "set.bin", check=2).stderr
    assert "set: image 1 of pair 0 cannot be decoded" in error and error.rstrip().endswith("replace it")


def test_missing_verification_set(command, records):
    command(*train(records))
    refused(command, ["verify", "--model", "runs/orl", "--bin", "other.bin"], "other.bin", "name one that is there")
    refused(command, train(records, "data.validation=lfw"), "lfw.bin", "data.validation")


@pytest.mark.slow
def test_no_space_left_keeps_what_was_written(records, tmp_path):
    arguments = train(records, "train.checkpoint_every=1")
    small = 64 << 10  # the file size limit fails a write as a full disk does

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (small, small))

    process = start(arguments, tmp_path, preexec_fn=limit, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = process.communicate()[1]
    assert process.returncode == 2, error
    assert "cannot write" in error and "Traceback" not in error
    assert not list((tmp_path / "runs" / "orl" / "checkpoints").glob("[0-9.]*"))


def test_loss_that_diverges_keeps_the_last_good_checkpoint(command, records, tmp_path):
    refused(
        command,
        train(records, "train.lr=1e30", "train.checkpoint_every=1", iterations=200),
        "the last good checkpoint is",
        "train.lr",
    )
    assert list((tmp_path / "runs" / "orl" / "checkpoints").glob("0*"))


def test_missing_index_is_built_again(command, records):
    (records / "train.idx").unlink()
    assert "8 images of 4 identities" in command(*train(records)).stdout


def test_unreadable_model(command, records, tmp_path):
    refused(command, ["verify", "--model", "nowhere", "--bin", records / "set.bin"], "nowhere")
    (tmp_path / "model-symbol.json").write_text("{}")
    shutil.copy(records / "set.bin", tmp_path / "model-0000.params")
    refused(command, ["verify", "--model", "model-symbol.json", "--bin", records / "set.bin"], "model")


def test_overrides_may_stand_before_and_after_options(command, records):
    arguments = train(records)
    command(*arguments[:3], "--quiet", *arguments[3:])
    refused(command, [*arguments, "--quite"], "--quite", "did you mean '--quiet'")


def test_half_precision_needs_a_gpu(command, records):
    refused(command, train(records, "train.dtype=float16"), "train.dtype=float16", "use auto")


def test_network_without_dropout_trains(command, records):
    command(*train(records, "network.name=mobilefacenet", "network.options={}", iterations=1))


def test_a_link_that_leads_back_to_itself(command, records, tmp_path):
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there").symlink_to("here")
    for arguments in (
        ["align", "here", "out"],
        ["align", "data", "here"],
        ["pack", "data", "here"],
        ["split", "data", "here", "--verification", "2"],
        ["data", "orl", "--out", "here"],
    ):
        refused(command, arguments, "here")

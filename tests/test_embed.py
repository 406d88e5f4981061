"""Embedding: the same numbers however images are batched; files that are whole or can be gone on with."""

import json
import os
import signal

import cv2
import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcface_gluon import get_model
from arcface_gluon.data.embeddings.embedding_file import EmbeddingWriter, read_embeddings
from arcface_gluon.data.images.sources import EncodedImages, ImageError
from arcface_gluon.embed import embed_images, embed_to_file, input_size, verify_set
from arcface_gluon.errors import UserError
from arcface_gluon.training.interrupt import Interrupted

SIDE = 16
FOUR = [mx.cpu(i) for i in range(4)]


@pytest.fixture(scope="module")
def net():
    mx.random.seed(1)
    net = get_model("r18", 8, width=0.125, units=[1, 1, 1, 1], input_size=SIDE)
    net.initialize(ctx=FOUR)
    net.hybridize()
    return net


@pytest.fixture(scope="module")
def encoded():
    rng = np.random.default_rng(0)
    return [cv2.imencode(".png", rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8))[1].tobytes() for _ in range(23)]


@pytest.fixture(scope="module")
def reference(net, encoded):
    """Embeddings of image and mirror image, one image at a time and in another way."""
    rows = []
    for data in encoded:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.float32)
        both = [net(mx.nd.array(p.transpose(2, 0, 1)[None])).asnumpy()[0] for p in (pixels, pixels[:, ::-1])]
        rows.append((both[0], both[0] + both[1]))
    plain, summed = map(np.array, zip(*rows))
    return plain, summed


class Counted(EncodedImages):
    """Counts what is decoded; `at` maps an index to what to do when its turn comes."""

    def __init__(self, encoded, at=None):
        count = range(len(encoded))
        super().__init__("list", encoded, [f"p/{i}.png" for i in count], [i // 2 for i in count])
        self.decoded, self.at = [], at or {}

    def decode(self, index, size):
        self.decoded.append(index)
        self.at.get(index, lambda: None)()
        return super().decode(index, size)


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def damaged():
    raise ImageError("p/x.png cannot be decoded (cut off)")


@settings(deadline=None, max_examples=12)
@given(count=st.integers(1, 23), batch_size=st.integers(1, 30), devices=st.integers(1, 4), flip=st.booleans())
def test_same_numbers_in_any_batches_on_any_devices(net, encoded, reference, count, batch_size, devices, flip):
    found = embed_images(net, encoded[:count], FOUR[:devices], batch_size, flip)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference[flip][:count], rtol=1e-4, atol=1e-3)


def test_other_sizes_are_scaled(net, encoded, reference):
    big = cv2.imdecode(np.frombuffer(encoded[0], np.uint8), cv2.IMREAD_COLOR).repeat(2, axis=0).repeat(2, axis=1)
    assert input_size(net) == (SIDE, SIDE)
    found = embed_images(net, [cv2.imencode(".png", big)[1].tobytes()])
    np.testing.assert_allclose(found, reference[1][:1], rtol=1e-4, atol=1e-3)


def test_nothing_and_damaged_images(net, encoded):
    with pytest.raises(UserError, match="lfw: there are no images"):
        embed_images(net, [], what="lfw")
    with pytest.raises(UserError, match="lfw: image 2 cannot be decoded"):
        embed_images(net, [*encoded[:2], encoded[2][:50]], what="lfw")


def test_verification_embeds_each_image_once(net, encoded, monkeypatch):
    seen = []
    embed = "arcface_gluon.embed.embed_images"
    monkeypatch.setattr(embed, lambda net, images, *_: seen.append(list(images.names)) or np.eye(8)[: len(images)])
    pairs = [0, 1, 0, 2, 1, 1] * 4
    result = verify_set(net, [encoded[i] for i in pairs], [False, False, True] * 4)
    assert seen == [["1 of pair 0", "2 of pair 0", "2 of pair 1"]] and result.pairs == 12
    np.testing.assert_allclose(result.distances, [2, 2, 0] * 4)


def test_file_and_index(net, encoded, reference, tmp_path):
    done = embed_to_file(net, Counted(encoded), tmp_path / "f.npy", batch_size=5, facts={"model": "m"})
    assert {key: done[key] for key in ("rows", "size", "skipped")} == {"rows": 23, "size": 8, "skipped": 0}
    found = read_embeddings(tmp_path / "f.npy")
    np.testing.assert_allclose(found.vectors, reference[1], rtol=1e-4, atol=1e-3)
    assert found.names == [f"p/{i}.png" for i in range(23)] and found.labels == [str(i // 2) for i in range(23)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json", "f.npy", "f.txt"]
    again = Counted(encoded)
    assert embed_to_file(net, again, tmp_path / "f.npy")["images_per_second"] is None and again.decoded == []
    # Other settings are other embeddings.
    with pytest.raises(UserError, match=r"f\.npy holds other embeddings, made with m of list; .*--force"):
        embed_to_file(net, again, tmp_path / "f.npy", flip=False)
    np.testing.assert_allclose(read_embeddings(tmp_path / "f.npy").vectors, reference[1], rtol=1e-4, atol=1e-3)
    embed_to_file(net, again, tmp_path / "f.npy", flip=False, force=True)
    np.testing.assert_allclose(read_embeddings(tmp_path / "f.npy").vectors, reference[0], rtol=1e-4, atol=1e-3)


def test_interrupted_extraction_goes_on(net, encoded, reference, tmp_path):
    path = tmp_path / "f.npy"
    with pytest.raises(Interrupted, match="SIGTERM: stopped after 4 of 23 images") as stopped:
        embed_to_file(net, Counted(encoded, {1: stop}), path, batch_size=4)
    assert stopped.value.status == 143
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npy.part", "f.npy.part.json"]
    # A kill leaves more rows than the last save tells of.
    with open(tmp_path / "f.npy.part", "ab") as file:
        file.write(b"rows that were never saved")
    rest = Counted(encoded)
    embed_to_file(net, rest, path, batch_size=5)
    assert sorted(rest.decoded) == list(range(4, 23))
    np.testing.assert_allclose(read_embeddings(path).vectors, reference[1], rtol=1e-4, atol=1e-3)


def test_killed_between_any_two_steps(net, encoded, reference, tmp_path, monkeypatch):
    """Another model's embeddings never stand under a description, and the same call again makes the right ones."""

    class Killed(BaseException):
        pass

    def after(step, function):
        def counted(*arguments):
            steps.append(function.__name__)
            if len(steps) == step:
                raise Killed
            return function(*arguments)

        return counted

    path, step = tmp_path / "f.npy", 0
    while True:
        step += 1
        embed_to_file(net, Counted(encoded), path, batch_size=9, flip=False, force=True)
        steps = []
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "fsync"):
                patch.setattr(os, name, after(step, getattr(os, name)))
            try:
                embed_to_file(net, Counted(encoded), path, batch_size=9, force=True)
                break
            except Killed:
                pass
        try:
            found = read_embeddings(path).vectors
            np.testing.assert_allclose(
                found, reference[json.loads((tmp_path / "f.json").read_text())["flip"]], atol=1e-3
            )
        except UserError as error:
            assert "f.npy is not the file that f.json tells of" in str(error)
        embed_to_file(net, Counted(encoded), path, batch_size=9, force=True)
        np.testing.assert_allclose(read_embeddings(path).vectors, reference[1], rtol=1e-4, atol=1e-3)
        assert sorted(item.name for item in tmp_path.iterdir()) == ["f.json", "f.npy", "f.txt"]
    assert step > 5


def test_changed_files_are_named(net, encoded, tmp_path, capsys):
    path = tmp_path / "f.npy"
    embed_to_file(net, Counted(encoded), path)
    for name in ("f.npy", "f.txt", "f.json"):
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_embeddings(path)
        if name == "f.json":
            with pytest.raises(UserError, match="origin is not noted"):
                embed_to_file(net, Counted(encoded), path)
        embed_to_file(net, Counted(encoded), path, force=True)
        assert (f"{name} is not the file that" in capsys.readouterr().err) == (name != "f.json")
        assert len(read_embeddings(path).names) == 23


def test_images_left_out(net, encoded, reference, tmp_path):
    path = tmp_path / "f.npy"
    with pytest.raises(UserError, match="p/x.png cannot be decoded .*--skip-missing"):
        embed_to_file(net, Counted(encoded, {7: damaged}), path, batch_size=4)
    with pytest.raises(Interrupted):
        embed_to_file(net, Counted(encoded, {3: damaged, 4: stop}), path, batch_size=4, skip_missing=True)
    at = dict.fromkeys((3, 7, 22), damaged)
    assert embed_to_file(net, Counted(encoded, at), path, batch_size=4, skip_missing=True)["skipped"] == 3
    kept = [i for i in range(23) if i not in at]
    found = read_embeddings(path)
    assert found.names == [f"p/{i}.png" for i in kept]
    np.testing.assert_allclose(found.vectors, reference[1][kept], rtol=1e-4, atol=1e-3)
    assert (tmp_path / "f.skipped.txt").read_text().split() == ["p/3.png", "p/7.png", "p/22.png"]
    with pytest.raises(UserError, match="none of its 2 images"):
        embed_to_file(net, Counted(encoded[:2], {0: damaged, 1: damaged}), tmp_path / "g.npy", skip_missing=True)


def test_a_part_of_something_else_is_left_in_a_line(net, encoded, reference, tmp_path, capfd):
    path = tmp_path / "f.npy"
    with pytest.raises(Interrupted):
        embed_to_file(net, Counted(encoded, {1: stop}), path, batch_size=4)
    embed_to_file(net, Counted(encoded[:9]), path)
    told = (
        "f.npy.part was begun with other images, another model or other settings: the 4 images done for those are left"
    )
    assert told in capfd.readouterr().err
    np.testing.assert_allclose(read_embeddings(path).vectors, reference[1][:9], rtol=1e-4, atol=1e-3)
    # Killed as it began anew: nothing of the old description is left, so those settings work too.
    with pytest.raises(Interrupted):
        embed_to_file(net, Counted(encoded, {1: stop}), tmp_path / "g.npy", batch_size=4)
    EmbeddingWriter(tmp_path / "g.npy", "other").__enter__()
    assert not (tmp_path / "g.npy.part.json").exists()


def test_what_is_refused_leaves_no_part(net, encoded, reference, tmp_path):
    """A call that comes to nothing stands in no other's way."""
    path = tmp_path / "f.npy"
    with pytest.raises(UserError, match="leave it out with --skip-missing"):
        embed_to_file(net, Counted(encoded, {1: damaged}), path, batch_size=4)
    assert not list(tmp_path.iterdir())
    embed_to_file(net, Counted(encoded[:9]), path)
    np.testing.assert_allclose(read_embeddings(path).vectors, reference[1][:9], rtol=1e-4, atol=1e-3)


def test_a_damaged_part_is_refused(net, encoded, tmp_path):
    path = tmp_path / "f.npy"
    with pytest.raises(Interrupted):
        embed_to_file(net, Counted(encoded, {1: stop}), path, batch_size=4)
    before = (tmp_path / "f.npy.part").read_bytes()
    (tmp_path / "f.npy.part").write_bytes(before[:-1])
    with pytest.raises(UserError, match=r"f\.npy\.part is shorter than f\.npy\.part\.json says; delete both"):
        embed_to_file(net, Counted(encoded), path)
    (tmp_path / "f.npy.part").write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(UserError, match=r"f\.npy\.part is not as f\.npy\.part\.json says; delete both"):
        embed_to_file(net, Counted(encoded), path)
    state = (tmp_path / "f.npy.part.json").read_text()
    (tmp_path / "f.npy.part.json").write_text(state.replace('"done": 4', '"done": 3'))
    with pytest.raises(UserError, match=r"f\.npy\.part\.json is damaged; delete it"):
        embed_to_file(net, Counted(encoded), path)


def test_two_writers_of_one_file(tmp_path):
    with EmbeddingWriter(tmp_path / "f.npy", "x"), pytest.raises(UserError, match="another process"):
        EmbeddingWriter(tmp_path / "f.npy", "x").__enter__()
    with pytest.raises(UserError, match=r"must be named \*\.npy"):
        EmbeddingWriter(tmp_path / "f.bin", "x")


def test_full_disk_can_be_gone_on_with(tmp_path):
    rows = np.ones((2, 8), np.float32)
    with EmbeddingWriter(tmp_path / "f.npy", "x") as writer:
        writer.append(rows, [], 2)
        writer.save()
        writer._file.close()
        with open("/dev/full", "wb", buffering=0) as writer._file, pytest.raises(UserError, match="No space left"):
            writer.append(rows, [], 2)
    with EmbeddingWriter(tmp_path / "f.npy", "x") as writer:
        assert writer.done == 2
    with EmbeddingWriter(tmp_path / "g.npy", "x") as writer:
        writer._file.close()
        writer._file = open("/dev/full", "wb")  # noqa: SIM115
        writer.append(rows, [], 2)
        with pytest.raises(UserError, match="No space left"):
            writer.save()  # and what is left in the buffer is told no second time


def test_networks_that_give_no_numbers_or_take_other_images(net, encoded, tmp_path):
    broken = get_model("r18", 8, width=0.125, units=[1, 1, 1, 1], input_size=SIDE)
    broken.initialize(mx.init.Constant(float("inf")))
    with pytest.raises(UserError, match="NaN or infinite values for list: image p/0.png"):
        embed_to_file(broken, Counted(encoded), tmp_path / "f.npy")
    with pytest.raises(UserError, match="the network fails on 48 x 48 images.*input size"):
        embed_to_file(net, Counted(encoded), tmp_path / "g.npy", size=(48, 48))


def test_an_index_of_another_length_is_refused(tmp_path):
    np.save(tmp_path / "f.npy", np.ones((3, 2), np.float32))
    with pytest.raises(UserError, match=r"cannot read .*f\.txt"):
        read_embeddings(tmp_path / "f.npy")
    (tmp_path / "f.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="3 rows, but the list names 2"):
        read_embeddings(tmp_path / "f.npy")

"""Sources of images: what each kind names and labels, and what is wrong with a bad one."""

import json

import cv2
import numpy as np
import pytest

from arcface_gluon.data import write_bin, write_training_set
from arcface_gluon.data.images.align import TEMPLATE, align
from arcface_gluon.data.images.sources import EncodedImages, ImageError, ImageFiles, open_images
from arcface_gluon.errors import UserError


def encoded(value, ending=".png", side=16):
    return cv2.imencode(ending, np.full((side, side, 3), value, np.uint8))[1].tobytes()


def grey(images, index, size=(16, 16)):
    pixels = images.decode(index, size)
    assert pixels.shape == (*size, 3) and pixels.dtype == np.uint8
    return round(pixels.mean())


@pytest.fixture
def folder(tmp_path):
    """b/2.png, a/1.png and a/deep/3.JPG with the greys 20, 10 and 30, and a file that is no image."""
    for name, value in (("b/2.png", 20), ("a/1.png", 10), ("a/deep/3.JPG", 30)):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(value, path.suffix))
    (tmp_path / "faces" / "a" / "notes.txt").write_text("no image")
    return tmp_path / "faces"


def test_folder_in_the_order_of_its_paths(folder):
    images = open_images(folder)
    assert (images.names, images.labels) == (["a/1.png", "a/deep/3.JPG", "b/2.png"], ["a", "a/deep", "b"])
    assert [grey(images, i) for i in range(3)] == [10, 30, 20]
    (folder / "4.png").write_bytes(encoded(40))
    assert open_images(folder).labels is None  # not all lie in a folder of their own


def test_text_list_with_and_without_labels_and_root(folder, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("b/2.png\n\na/1.png\n")
    images = open_images(path, root=folder)
    assert (images.names, images.labels) == (["b/2.png", "a/1.png"], None)
    assert [grey(images, i, (8, 4)) for i in range(2)] == [20, 10]
    path.write_text(f"faces/a/1.png\tAnna Maria\n{folder}/b/2.png\tBo\n")
    images = open_images(path)
    assert images.labels == ["Anna Maria", "Bo"] and [grey(images, i) for i in range(2)] == [10, 20]


def test_train_lst(folder, tmp_path):
    path = folder / "train.lst"
    path.write_text("1\ta/1.png\t7\n1\tb/2.png\t8\n")
    images = open_images(path)
    assert (images.names, images.labels) == (["a/1.png", "b/2.png"], ["7", "8"])
    path.write_text("1\ta/1.png\t7\n0\tb/2.png\t8\t1\t1\t9\t9\n")
    with pytest.raises(UserError, match=r"train\.lst line 2: its face is not aligned"):
        open_images(path)


def test_faces_aligned_by_their_points(tmp_path):
    loose = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    (tmp_path / "loose_crop").mkdir()
    (tmp_path / "meta").mkdir()
    cv2.imwrite(str(tmp_path / "loose_crop" / "1.png"), loose[:, :, ::-1])
    points = TEMPLATE * 1.1 + [50, 10]
    row = " ".join(f"{value:.4f}" for value in points.reshape(-1))
    (tmp_path / "meta" / "ijbc_name_5pts_score.txt").write_text(f"1.png {row} 0.99\n")
    listed = "\t".join(f"{value:.4f}" for value in points.T.reshape(-1))
    (tmp_path / "train.lst").write_text(f"0\tloose_crop/1.png\t3\t1\t1\t9\t9\t{listed}\n")
    for path, label in ((tmp_path / "meta" / "ijbc_name_5pts_score.txt", None), (tmp_path / "train.lst", ["3"])):
        images = open_images(path)
        assert images.labels == label
        np.testing.assert_array_equal(images.decode(0, (112, 112)), align(loose, points.astype(np.float32)))
        with pytest.raises(UserError, match="squares only"):
            images.decode(0, (112, 96))
        with pytest.raises(UserError, match="cannot be aligned for this network: size must be a multiple of 56"):
            images.decode(0, (64, 64))


def test_lists_of_the_megaface_devkit(folder):
    path = folder / "megaface_features_list.json_10_1"
    path.write_text(json.dumps({"path": ["b/2.png"]}))
    assert (open_images(path).names, open_images(path).labels) == (["b/2.png"], None)
    path.write_text(json.dumps({"path": ["b/2.png", "a/1.png"], "id": [5, 6]}))
    assert open_images(path).labels == ["5", "6"]
    path.write_text(json.dumps({"path": ["b/2.png", "a/1.png"], "id": [5]}))
    with pytest.raises(UserError, match="same length"):
        open_images(path)


def test_training_records_and_verification_sets(tmp_path):
    write_training_set(tmp_path, ((encoded(10 * i, side=112), i // 2) for i in range(1, 5)))
    images = open_images(tmp_path / "train.rec")
    assert (images.names, images.labels) == ([1, 2, 3, 4], [0, 1, 1, 2])
    assert [grey(images, i) for i in range(4)] == [10, 20, 30, 40]
    write_bin(tmp_path / "set.bin", [encoded(v) for v in (1, 2, 3, 4)], [True, False])
    images = open_images(tmp_path / "set.bin")
    assert (images.names, images.labels) == (["0a", "0b", "1a", "1b"], None)
    assert [grey(images, i) for i in range(4)] == [1, 2, 3, 4]


def test_bad_sources_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere is not there"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match="there are no images"):
        open_images(tmp_path)
    path = tmp_path / "list.txt"
    path.write_text("a.png\tA\n\nb.png\n")
    with pytest.raises(UserError, match=r"list\.txt line 3: it has no label"):
        open_images(path)
    path.write_text("a.png\tA\tB\n")
    with pytest.raises(UserError, match="line 1"):
        open_images(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text list"):
        open_images(path)
    (tmp_path / "bad\tname.png").write_bytes(encoded(1))
    with pytest.raises(UserError, match="rename the file"):
        open_images(tmp_path)


def test_unreadable_images_are_named(folder, tmp_path):
    images = open_images(folder)
    assert images.missing() == []
    (folder / "a" / "1.png").unlink()
    (folder / "b" / "2.png").write_bytes(encoded(20)[:40])
    assert images.missing() == [0]
    with pytest.raises(ImageError, match=r"cannot read .*a/1\.png: No such file"):
        images.decode(0, (16, 16))
    with pytest.raises(ImageError, match=r"b/2\.png cannot be decoded"):
        images.decode(2, (16, 16))


def test_fingerprint_follows_names_labels_and_sizes():
    data = [encoded(1), encoded(2)]
    prints = {
        EncodedImages("x", *arguments).fingerprint()
        for arguments in ((data,), (data, ["a", "b"]), (data, ["a", "b"], [1, 2]), ([*data[:1], data[1] + b"0"],))
    }
    assert len(prints) == 4
    assert EncodedImages("y", list(data)).fingerprint() == EncodedImages("x", data).fingerprint()


def test_im2rec_list(folder, tmp_path):
    path = folder / "set.lst"
    path.write_text("0\t7.000000\ta/1.png\n1\t8.000000\tb/2.png\n")
    images = open_images(path)
    assert (images.names, images.labels) == (["a/1.png", "b/2.png"], ["7", "8"])
    path.write_text("4\t7\t0.5\t1\ta/1.png\n")  # several labels
    images = open_images(path)
    assert (images.names, images.labels) == (["a/1.png"], ["7"])


def test_csv_as_pack_takes_it(folder):
    path = folder / "set.csv"
    path.write_text("identity,path\nBo,b/2.png\nAnna,a/1.png\n")
    images = open_images(path)
    assert (images.names, images.labels) == (["b/2.png", "a/1.png"], ["Bo", "Anna"])
    path.write_text("b/2.png\n")  # no identities
    assert open_images(path).names == ["b/2.png"] and open_images(path).labels is None


@pytest.mark.parametrize("line", ["a/1.png 7", "a/1.png,7", "1 a/1.png 7"])
def test_list_without_tabs_is_told_from_missing_images(folder, line):
    path = folder / "list.txt"
    path.write_text(f"path label\n{line}\n")
    with pytest.raises(UserError, match="write a tab between the columns"):
        open_images(path)


def test_other_sizes_are_told_once(folder):
    (folder / "b" / "3.png").write_bytes(encoded(0, side=250))
    images = open_images(folder)
    note = images.size_note((16, 16))
    assert "1 of 4 images are 250x250, not 16x16 pixels" in note and "aligned" in note
    assert "4 of 4 images are 16x16, 250x250, not 112x112" in images.size_note((112, 112))
    many = EncodedImages("set", [encoded(0)] * 1000)
    assert "sample" in many.size_note((112, 112)) and many.size_note((16, 16)) is None


def test_an_image_under_another_ending_is_read(folder):
    path = folder / "list.txt"
    path.write_text("a/deep/3.jpg\nb/2.jpg\n")
    images = open_images(path)
    assert images.missing() == [] and [grey(images, i) for i in range(2)] == [30, 20]


def test_other_files_under_the_same_names_are_other_images(tmp_path):
    """Embeddings that are there are taken by the fingerprint: images that are aligned anew must not pass for old."""

    def fingerprint(folder, **contents):
        for name, content in contents.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.bmp").write_bytes(content)
        return ImageFiles("list", tmp_path / folder, ["a.bmp", "b.bmp"]).fingerprint()

    one = fingerprint("one", a=b"BM12", b=b"BM3")
    assert one == fingerprint("copied", a=b"BM12", b=b"BM3")
    others = fingerprint("longer", a=b"BM123", b=b"BM3"), fingerprint("same_size", a=b"BM21", b=b"BM3")
    assert len({one, *others, fingerprint("missing", a=b"BM12")}) == 4

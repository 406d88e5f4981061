"""Fuzzing of one reader in a process of its own, with little memory: python fuzzing.py READER EXAMPLES.

Each input is a whole file of its kind with a few bytes changed, put in, taken out or repeated, or cut short; or nothing
but chosen bytes. The reader must read it or refuse it in one line (UserError; ValueError where it takes bytes).
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import arcface_gluon  # noqa: F401 (before MXNet)
from arcface_gluon.errors import UserError

MEMORY = 1 << 30  # bytes, beyond what the process has at its start
TOKENS = [b"\0", b"\xff" * 4, b"\xff" * 8, b"\0\0\0\x40" * 2, b"[" * 3000, b"(" * 300, b"9" * 400, b"-1", b"\n", b"\t"]
TOKENS += [b"1e999", b"nan", b"null", b"{}", b'"', b".", b",", b"\xed\xa0\x80", b"\x86", b"2\x86" * 200, b"h\0" * 300]


@st.composite
def inputs(draw, seeds):
    """Bytes of a file: one of the `seeds`, damaged, or anything."""
    data = bytearray(draw(st.sampled_from(seeds)))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "write", "insert", "delete", "cut", "repeat"]))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=8)))
        length = draw(st.integers(1, 64))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "write":
            data[at : at + len(piece)] = piece
        elif kind == "insert":
            data[at:at] = piece
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "cut":
            del data[at:]
        else:
            data[at:at] = bytes(data[at : at + length]) * draw(st.integers(1, 20))
    return bytes(data)


def text(*lines):
    return "".join(f"{line}\n" for line in lines).encode()


def picture(ending=".jpg", side=32):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.imencode(ending, pixels[..., 0] if ending == ".pgm" else pixels)[1].tobytes()


def images():
    from arcface_gluon.data.images.decode import decode_image

    endings = (".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm", ".pgm", ".jp2")
    return [picture(ending) for ending in endings], lambda folder, data: decode_image(data, (16, 16))


def verification_set():
    from arcface_gluon.data import read_bin

    encoded = [picture() for _ in range(4)]
    arrays = [np.frombuffer(image, np.uint8) for image in encoded]
    seeds = [pickle.dumps((encoded, [True, False]), protocol) for protocol in range(6)]
    seeds += [pickle.dumps((arrays, np.array([True, False])), protocol) for protocol in range(6)]
    return seeds, file_reader("set.bin", read_bin)


def file_reader(name, read):
    def run(folder, data):
        (folder / name).write_bytes(data)
        return read(folder / name)

    return run


def training_records():
    from arcface_gluon.data import FaceRecords, write_training_set

    with tempfile.TemporaryDirectory() as folder:
        write_training_set(folder, [(picture(), label) for label in (0, 0, 1, 1)], (16, 16))
        files = {name: (Path(folder) / name).read_bytes() for name in ("train.rec", "train.idx", "property")}

    def read(folder, data):
        # A first byte of the input says which of the three it stands for; the others are whole.
        name = sorted(files)[data[0] % 3] if data else "train.rec"
        for other, content in files.items():
            (folder / other).write_bytes(data[1:] if other == name else content)
        records = FaceRecords(folder)
        records.labels()
        for index in range(min(len(records), 20)):
            records.read(index)

    return [bytes([number]) + files[name] for number, name in enumerate(sorted(files))], read


def symbols():
    import mxnet as mx

    from arcface_gluon.models.symbol_file import read_symbol

    x = mx.sym.Convolution(mx.sym.var("data"), num_filter=4, kernel=(3, 3), name="c")
    x = mx.sym.FullyConnected(mx.sym.Dropout(mx.sym.BatchNorm(x, name="b")), num_hidden=4, name="fc1")
    return [x.tojson().encode(), json.dumps(json.loads(x.tojson())).encode()], file_reader("m-symbol.json", read_symbol)


def parameters():
    from arcface_gluon.models import read_params, write_params

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.params"
        write_params(path, {"arg:a": np.ones((2, 3), np.float32), "aux:b": np.zeros(4, np.float16)})
        return [path.read_bytes()], file_reader("m.params", read_params)


def arrays():
    from arcface_gluon.data.embeddings.devkit_files import read_npy
    from arcface_gluon.report.verification_store import load_verification

    plain, archive = io.BytesIO(), io.BytesIO()
    np.save(plain, np.ones((3, 4), np.float32))
    measures = np.array(json.dumps({"accuracy": 0.5, "tar_at_far": {"1e-3": 0.5}}))
    bools, floats, ints = np.array([True, False]), np.ones(2, np.float32), np.array([0, 1])
    np.savez(
        archive, name=np.array("lfw"), measures=measures, distances=floats, issame=bools, hardest=ints,
        image_bytes=np.zeros(8, np.uint8), image_ends=np.array([2, 4, 6, 8]),
    )  # fmt: skip

    def read(folder, data):
        for name, reader in (("f.npy", read_npy), ("lfw.npz", load_verification)):
            try:
                file_reader(name, reader)(folder, data)
            except UserError as error:
                check(error)

    return [plain.getvalue(), archive.getvalue()], read


def feature_files():
    from arcface_gluon.data.embeddings.devkit_files import read_feature, read_matrix

    header = struct.pack("<iiii", 4, 1, 4, 5)

    def read(folder, data):
        file_reader("f.bin", read_feature)(folder, data)
        read_matrix(folder / "f.bin")

    return [header + bytes(16), struct.pack("<iiii", 2, 2, 8, 5) + bytes(16)], read


def lists():
    from arcface_gluon.data.benchmarks import ijb, iqiyi, megaface
    from arcface_gluon.data.images.sources import open_images
    from arcface_gluon.data.records import identity_names as identities
    from arcface_gluon.data.verification import pair_lists

    readers = [
        *(pair_lists.read_lfw, pair_lists.read_two_lines, pair_lists.read_ytf, pair_lists._numbered),
        *(ijb.read_media, ijb.read_landmarks, ijb.read_pairs, ijb.read_enrolment, iqiyi.read_video_list),
        *(megaface.read_probe_list, megaface.read_distractor_list, megaface.read_noise_list, open_images),
        *(identities.read_people, lambda path: identities.read_identity_names(path, 2), pair_lists.read_agedb),
    ]
    seeds = [
        text("1\t1", "Anna\t1\t2", "Anna\t1\tBo\t2"), text("a.jpg 1", "b.jpg 1"), text("1 a/b.jpg", "2 a/c.jpg"),
        text("split, pair, a, b, same", "1, 1, a/1, a/2, 1, 1"), text("1.jpg 1 2", "2.jpg 1 3"), text("1 2 1", "3 4 0"),
        text("1.jpg 1 2 3 4 5 6 7 8 9 10 0.5"), text("T,S", "1,2", "3,4"), text("v 1", "w -1"), text("1\ta/1.jpg\t0"),
        b'{"path": ["a/1.jpg", "b/2.jpg"], "id": ["a", "b"]}', text("0\t1.0\ta.jpg", "1\t2.0\tb.jpg"),
        text("0\tA", "1\tB"),
    ]  # fmt: skip

    def read(folder, data):
        for name in ("list.txt", "list.json"):
            for reader in readers:
                try:
                    file_reader(name, reader)(folder, data)
                except UserError as error:
                    check(error)

    return seeds, read


def recipes():
    from arcface_gluon import recipe

    values = json.dumps(recipe.resolve("orl")).encode()
    return [values], file_reader("recipe.json", recipe.resolve)


def overrides():
    from arcface_gluon import recipe

    options = recipe.flatten(recipe.resolve("orl"))
    seeds = [f"{key}={value}".encode() for key, value in options.items()]
    seeds += [
        b"data.augment={'flip': 1}",
        b"network.options={'width': (1, [2])}",
        b"network={}",
        b"train.lr_steps=[1,'a']",
    ]
    return seeds, lambda folder, data: recipe.resolve("orl", [data.decode("utf-8", "replace")])


def run_files():
    from arcface_gluon.files import read_json, write_json
    from arcface_gluon.training.log import read_metrics

    rows = [{"iteration": i, "loss": 2.5, "verification": {"lfw": {"accuracy": 0.5}}} for i in (1, 2)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        write_json(path, {"iteration": 4, "sha256": {"a": "b"}}, sealed=True)
        seeds = [path.read_bytes(), text(*map(json.dumps, rows))]

    def read(folder, data):
        file_reader("metrics.jsonl", read_metrics)(folder, data)
        file_reader("state.json", read_json)(folder, data)

    return seeds, read


READERS = {
    "images": images,
    "verification sets (.bin)": verification_set,
    "training records, index, property": training_records,
    "symbols (.json)": symbols,
    "parameters (.params)": parameters,
    "arrays (.npy, .npz)": arrays,
    "feature files of MegaFace (.bin)": feature_files,
    "lists of data sets": lists,
    "recipes (.json)": recipes,
    "overrides": overrides,
    "metrics and state of runs": run_files,
}


def check(error):
    message = str(error)
    assert "\n" not in message and len(message) <= 2000, message[:500]


def fuzz(name, examples):
    """Give one reader so many inputs; an AssertionError or whatever else it raises is a fault of the reader."""
    seeds, read = READERS[name]()
    refused = ValueError if name == "images" else UserError
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))

    # The same inputs every time, and no search for the smallest one that fails.
    profile = settings(
        deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    with tempfile.TemporaryDirectory() as folder:

        @settings(profile, max_examples=examples)
        @given(inputs(seeds))
        def one(data):
            try:
                read(Path(folder), data)
            except refused as error:
                check(error)

        one()


if __name__ == "__main__":
    fuzz(sys.argv[1], int(sys.argv[2]))

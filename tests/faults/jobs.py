"""The commands that are killed, what is run after a kill, and what must then be there."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
from helpers import load_script

from arcface_gluon.data import write_bin, write_training_set

SIDE = 32
PEOPLE, EACH = 10, 8
NETWORK = ["network.name=r18", f"network.options={{'width': 0.125, 'units': [1, 1, 1, 1], 'input_size': {SIDE}}}"]
TRAIN = [*NETWORK, "network.embedding_size=16", "train.batch_size=8", "train.lr=0.05", "train.lr_steps=[]"]
TRAIN += ["train.log_every=1", "train.checkpoint_every=1", "train.validate_every=2", "train.keep=2", "data.threads=1"]
# What differs between two runs that are the same.
_VOLATILE = {"date", "seconds", "images_per_second", "data_share", "peak_memory_mib", "environment"}
_VOLATILE |= {"checksum", "sha256", "time"}


def make_data(folder):
    """Ten people as train.rec, one .bin, images as files, names, and MegaFace's layout."""
    images = []
    random = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(random.integers(40, 216, (4, 4, 3)).astype(np.float32), (SIDE, SIDE))
        noisy = (pattern + random.normal(0, 20, (SIDE, SIDE, 3)) for _ in range(EACH))
        images += [(cv2.imencode(".jpg", np.clip(one, 0, 255).astype(np.uint8))[1].tobytes(), person) for one in noisy]
    write_training_set(folder, images, (SIDE, SIDE))
    same = [True, False] * 20
    pairs = [(i * EACH // 4, i * EACH // 4 + 1) if one else (i, i + EACH + 3) for i, one in enumerate(same)]
    write_bin(folder / "val.bin", [images[i][0] for pair in pairs for i in pair], same)
    for number, (data, person) in enumerate(images):
        path = folder / "faces" / f"p{person}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "names.txt").write_text("".join(f"Name {person}\n" for person in range(PEOPLE)))
    (folder / "test-names.txt").write_text("Name 3\nNobody\n")
    load_script("datasets/demo.py").megaface(folder / "megaface", ((_pixels(data), who) for data, who in images))


def _pixels(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        name: for the table.
        kills: how often.
        command: function of (data folder, model) to what is run.
        result: function of the folder it ran in to the one whose content must be the same.
        prepare: function of (folder, model), called before.
    """

    name: str
    kills: int
    command: Callable
    result: Callable = lambda folder: folder
    prepare: Callable = lambda folder, model: None

    def again(self, folder, data, model):
        """What a user runs after a kill."""
        resume = ["--resume"] if self.name == "train" and _has_checkpoint(last_run(folder)) else []
        return [*self.command(data, model), *resume]


def train(data, model=None):
    return ["train", "orl", f"data.path={data}", "data.validation=val", "run.name=t", "train.iterations=4", *TRAIN]


def _embed(data, model):
    return ["embed", data / "faces", "--model", model, "--out", "f.npy", "--quiet"]


def _overlap(data, model):
    return ["overlap", data, "--names", data / "names.txt", "--test-names", data / "test-names.txt", "--out", "clean"]


def _pack(data, model):
    return ["pack", data / "faces", "packed", "--processes", "1", "--quiet"]


def _megaface(data, model):
    return ["eval", "megaface", "--model", "model", "--data", data / "megaface", "--sizes", "10", "49", "--quiet"]


def _copy(folder, model):
    shutil.copytree(model, folder / "model")


def last_run(folder):
    """The run that --resume goes on with: t, t-2, t-3 ..."""
    runs = (Path(folder) / "runs").glob("t*")
    return max(runs, key=lambda path: (len(path.name), path.name), default=Path(folder) / "runs")


def _has_checkpoint(run):
    return any((run / "checkpoints").glob("[0-9]*/state.json"))


JOBS = [
    Job("train", 24, train, last_run),
    Job("embed", 14, _embed),
    Job("overlap (packing)", 12, _overlap),
    Job("pack", 8, _pack),
    Job("split", 8, lambda data, model: ["split", data, "parts", "--verification", "4"]),
    Job("data orl (packing)", 10, lambda data, model: ["data", "orl", "--out", "orl"]),
    Job("verify", 8, lambda data, model: ["verify", "--model", "model", "--bin", data / "val.bin"], prepare=_copy),
    Job("eval megaface", 10, _megaface, prepare=_copy),
]


def leftovers(folder) -> list:
    """Names below `folder` that only a writer which was stopped leaves."""
    return [path.name for path in Path(folder).rglob("*") if path.name.startswith(".") or ".part" in path.name]


def outcome(folder) -> dict:
    """{path below `folder`: what must be the same}."""
    return {
        str(path.relative_to(folder)): _content(path) for path in sorted(Path(folder).rglob("*")) if not path.is_dir()
    }


def _content(path):
    if path.suffix == ".json":
        return _without(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        # How long a checkpoint took is told after it; a kill between the two leaves the line out.
        return [_without(line) for line in lines if "checkpoint_seconds" not in line]
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name: hashlib.sha256(archive[name].tobytes()).hexdigest() for name in archive.files}
    if path.suffix == ".html":
        return path.read_text().endswith("</html>\n")
    if path.suffix in (".svg", ".png") and "figures" in path.parts:
        return path.stat().st_size > 0
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without(value):
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in _VOLATILE}
    return [_without(item) for item in value] if isinstance(value, list) else value

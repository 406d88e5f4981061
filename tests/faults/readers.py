"""Every kind of file that is read, and what is read from it: to tell what a changed bit or a cut does."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: for the table.
        file: pattern below the folder of `make_files` that finds one.
        read: function of (that folder, the file) to what is read, JSON-able; raises UserError for what it refuses.
        protected: a checksum covers it, so that no other value may be read; "of each line": whole lines may be missing.
    """

    name: str
    file: str
    read: Callable
    protected: bool | str = False


def make_files(folder, data, model):
    """One of every kind, below `folder`."""
    import mxnet as mx

    from arcface_gluon import load_model
    from arcface_gluon.data.embeddings.devkit_files import write_matrix
    from arcface_gluon.data.images.sources import open_images
    from arcface_gluon.embed import embed_to_file
    from arcface_gluon.models.load import export_model
    from arcface_gluon.report.measurements import Measurement
    from arcface_gluon.report.results import save_results

    shutil.copytree(data, folder / "data", ignore=shutil.ignore_patterns("megaface_images", "facescrub_images"))
    shutil.copytree(model, folder / "runs" / "t")
    net = load_model(model, [mx.cpu()])
    export_model(net, folder / "exported")
    done = embed_to_file(net, open_images(data / "faces"), folder / "f.npy", facts={"model": "m"})
    (folder / "ready").mkdir()
    shutil.copy(folder / "f.npy", folder / "ready" / "r.npy")
    write_matrix(folder / "matrix.bin", np.load(folder / "f.npy"))
    cell = {"table": "table2_losses", "row": "here", "column": "LFW", "data": "d", "model": "m", "date": "2026-01-01"}
    save_results(folder / "runs" / "t", "x", [Measurement(value=97.5, command="c", **cell)])
    _begin_part(folder / "part.npy", done["size"])
    shutil.copy(folder / "part.npy.part", folder / "whole.part")


def _begin_part(path, size):
    from arcface_gluon.data.embeddings.embedding_file import EmbeddingWriter

    with EmbeddingWriter(path, "x") as writer:
        writer.append(np.random.default_rng(0).normal(size=(20, size)).astype(np.float32), [3], 21)


def _records(folder, file):
    from arcface_gluon.data import FaceRecords
    from arcface_gluon.data.records.label_check import check_training_set
    from arcface_gluon.errors import UserError

    records = FaceRecords(folder / "data")
    notes = check_training_set(records)
    if notes:
        raise UserError(notes[0])  # a line that is printed, where training goes on all the same
    return [records.num_identities, records.image_size, records.keys.tolist(), *_images(folder / "data" / "train.rec")]


def _pairs(folder, file):
    from arcface_gluon.data import read_bin

    return [read_bin(file)[1], *_images(file)]


def _images(path):
    from arcface_gluon.data.images.sources import open_images

    images = open_images(path)
    return [images.labels, [_digest(images.decode(index, (32, 32))) for index in range(len(images))]]


def _checkpoint(folder, file):
    import mxnet as mx

    from arcface_gluon import load_model
    from arcface_gluon.training.checkpoint import load_checkpoint

    arrays, state = load_checkpoint(file.parent)
    load_model(file.parent, [mx.cpu()])
    values = {name: {key: _digest(_host(value)) for key, value in part.items()} for name, part in arrays.items()}
    return [values, state]


def _host(value):
    """Of a checkpoint's arrays, those of the class centres are in the file still."""
    return value if isinstance(value, np.ndarray) else value.asnumpy()


def _exported(folder, file):
    import mxnet as mx

    from arcface_gluon import load_model
    from arcface_gluon.embed import embed_images

    net = load_model(folder / "exported", [mx.cpu()])
    faces = sorted((folder / "data" / "faces").rglob("*.jpg"))[:2]
    return embed_images(net, [face.read_bytes() for face in faces]).tolist()


def _embeddings(folder, file):
    from arcface_gluon.data.embeddings.embedding_file import read_embeddings

    found = read_embeddings(folder / "f.npy")
    return [_digest(found.vectors), found.names, found.labels]


def _part(folder, file):
    """Whether what an interrupted extraction goes on from is right, be it nothing."""
    from arcface_gluon.data.embeddings.embedding_file import EmbeddingWriter

    files = [folder / name for name in ("part.npy.part", "part.npy.part.json", "whole.part")]
    kept = [path.read_bytes() for path in files]
    try:
        with EmbeddingWriter(folder / "part.npy", "x") as writer:
            writer._file.flush()
            rows = writer.part.read_bytes()[128:]
            return [kept[2][128:].startswith(rows), len(rows) == 4 * (writer.size or 0) * max(0, writer.done - 1)]
    finally:
        for path, content in zip(files, kept):
            path.write_bytes(content)


def _metrics(folder, file):
    import logging

    from arcface_gluon.errors import UserError
    from arcface_gluon.training.log import read_metrics

    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("arcface_gluon").addHandler(handler)
    try:
        records = read_metrics(file)
    finally:
        logging.getLogger("arcface_gluon").removeHandler(handler)
    if told:
        raise UserError(told[0])
    return records


def _json(folder, file):
    from arcface_gluon.files import read_json

    return read_json(file)


def _recipe(folder, file):
    from arcface_gluon import recipe

    return recipe.resolve(str(file), [])


def _results(folder, file):
    from arcface_gluon.errors import UserError
    from arcface_gluon.report.measurements import collect

    found, problems = collect(folder / "runs")
    if problems:
        raise UserError(problems[0])
    return [vars(one) for one in found]


def _verification(folder, file):
    from arcface_gluon.report.verification_store import load_verification

    found = load_verification(file)
    pictures = {pair: list(map(_digest, images)) for pair, images in found.pictures.items()}
    return [found.name, found.measures, _digest(found.distances), _digest(found.issame), pictures]


def _ready(folder, file):
    from arcface_gluon.data.embeddings.devkit_files import read_npy

    return _digest(read_npy(file))


def _matrix(folder, file):
    from arcface_gluon.data.embeddings.devkit_files import read_matrix

    return _digest(read_matrix(file))


def _probes(folder, file):
    from arcface_gluon.data.benchmarks.megaface import read_probe_list

    found = read_probe_list(file)
    return [found.paths, found.identities]


def _lines(folder, file):
    from arcface_gluon.data.records.identity_names import read_identity_names

    return sorted(read_identity_names(file, 10).items())


def _digest(value):
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    value = np.ascontiguousarray(value)
    return [value.shape, str(value.dtype), hashlib.sha256(value).hexdigest()]


_LAST = "runs/t/checkpoints/00000004"
KINDS = [
    Kind("train.rec", "data/train.rec", _records),
    Kind("train.idx", "data/train.idx", _records),
    Kind("property", "data/property", _records),
    Kind(".bin set", "data/val.bin", _pairs),
    *(Kind(name, f"{_LAST}/{name}", _checkpoint, True) for name in ("backbone.params", "momentum.params")),
    Kind("devices-*.params", f"{_LAST}/devices-*.params", _checkpoint, True),
    Kind("head-*.params", f"{_LAST}/head-*.params", _checkpoint, True),
    *(Kind(name, f"{_LAST}/{name}", _checkpoint, True) for name in ("network.json", "state.json")),
    Kind("recipe.json", "runs/t/recipe.json", _recipe, True),
    Kind("summary.json", "runs/t/summary.json", _json, True),
    Kind("metrics.jsonl", "runs/t/metrics.jsonl", _metrics, "of each line"),
    Kind("results/*.json", "runs/t/results/x.json", _results, True),
    Kind("verification/*.npz", "runs/t/verification/*.npz", _verification),
    Kind("embeddings .npy", "f.npy", _embeddings, True),
    Kind("embeddings .txt", "f.txt", _embeddings, True),
    Kind("embeddings .json", "f.json", _embeddings, True),
    Kind("embeddings .npy.part", "part.npy.part", _part, True),
    Kind("embeddings .npy.part.json", "part.npy.part.json", _part, True),
    Kind("exported -symbol.json", "exported-symbol.json", _exported),
    Kind("exported .params", "exported-0000.params", _exported),
    Kind("features .npy of others", "ready/r.npy", _ready),
    Kind("features .bin", "matrix.bin", _matrix),
    Kind("MegaFace list .json", "data/megaface/templatelists/facescrub_features_list.json", _probes),
    Kind("list of names", "data/names.txt", _lines),
]


def find(folder, kind) -> Path:
    """The file of a kind below the folder."""
    found = sorted(Path(folder).glob(kind.file))
    assert found, f"no {kind.file} in {folder}"
    return found[0]

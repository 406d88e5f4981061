"""What a new run begins with besides noise: the backbone of another model, and class centres from the images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Mapping

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock

from ..data import FaceRecords
from ..data.images.decode import decode_image
from ..errors import UserError
from ..files import sha256
from ..losses.centre_store import INITIAL_SIGMA
from ..models import load_model
from ..models.load import weights_file
from ..models.network_options import PIXELS
from ..parallel.shards import shard_ranges
from ..progress import progress
from ..runtime import physical_cores
from .trainer import Trainer


def begin(trainer: Trainer, settings: Mapping) -> list[str]:
    """Put into a new run's trainer what `train.init` and `train.init_centres` say.

    Returns:
        A line for each thing that the user should know.

    Raises:
        UserError: the model cannot be read or is of another network, or the loss has no such centres.
    """
    lines = []
    if settings["init"]:
        lines += load_backbone(trainer.net, settings["init"])
        trainer.processes.must_agree(sha256(weights_file(settings["init"])), "train.init")
    if settings["init_centres"] == "mean":
        _mean_centres(trainer)
    return lines


def load_backbone(net: HybridBlock, path: str) -> list[str]:
    """Copy the weights of the model at `path` into an initialised network, on all its devices.

    Where the embedding sizes differ, the layers after the last convolution keep their initial values.

    Returns:
        A line that says what was loaded, and one for options in which the two networks differ.

    Raises:
        UserError: it cannot be read, or is of another network.
    """
    try:
        source = load_model(path, "cpu(0)")
    except UserError as error:
        raise UserError(f"train.init={path}: {error}") from error
    notes = [f"{path} does not normalise its input: {_taken(net)}"] if source.found_raw else list(source.notes)
    found = {name: p.data() for name, p in source._collect_params_with_prefix().items()}
    wanted = net._collect_params_with_prefix()
    sizes = [(model.spec or {}).get("embedding_size") for model in (source, net)]
    new = []
    for name, parameter in wanted.items():
        if name not in found:
            raise UserError(f"train.init={path} is of another network: it has no {name}; {_cure(source)}")
        if not np.isfinite(found[name].asnumpy()).all():
            raise UserError(f"train.init={path} is damaged: {name} has NaN or infinite values; copy or train it again")
        shapes = found[name].shape, parameter.shape
        if shapes[0] == shapes[1]:
            parameter.set_data(found[name].astype(parameter.dtype))
        elif sizes[0] != sizes[1] and (shapes[0][0], shapes[1][0]) == tuple(sizes) and shapes[0][1:] == shapes[1][1:]:
            new.append(name)
        else:
            raise UserError(
                f"train.init={path} is of another network: {name} is {shapes[0]}, not {shapes[1]}; {_cure(source)}"
            )
    if len(found) > len(wanted):
        left = next(name for name in found if name not in wanted)
        raise UserError(f"train.init={path} is of another network: it has {left} too; {_cure(source)}")
    layers = ", ".join(sorted({name.partition(".")[0] for name in new}))
    line = f"backbone from {path}"
    if new:
        line += f"; new, since its embeddings have {sizes[0]} values and this network's {sizes[1]}: {layers}"
    return [line, *notes, *_differing_options(source, net)]


def _taken(net):
    """What a network does to pixels, and how to say otherwise."""
    options = net.spec.get("options", {})
    order = "blue, green, red" if options.get("bgr") else "RGB"
    done = f"(x - {options.get('input_mean')}) * {options.get('input_scale')}, {order}"
    return (
        f"this run gives it {done}; where it was trained on other values, set network.options, such as "
        "network.options.input_mean=127.5 network.options.input_scale=0.0078125 network.options.bgr=True"
    )


def _cure(source):
    if not source.spec:
        return "it is a symbol of none of this project's networks, which runs and is exported, but is not trained"
    return f"it was built with network.name={source.spec['name']} network.options={source.spec['options']}"


def _differing_options(source, net):
    """Options that shape no parameter but change what is computed, such as epsilon."""
    ours, theirs = net.spec.get("options", {}), source.spec.get("options", {})
    unknown = {"dropout", *(PIXELS if source.found_raw else ())}
    differing = [
        f"{k}={v} (here {ours[k]})" for k, v in theirs.items() if k in ours and k not in unknown and ours[k] != v
    ]
    if not differing:
        return []
    return [f"it was built with other network.options, set them to compute as it does: {', '.join(differing)}"]


def _mean_centres(trainer):
    head = trainer.head
    layout = head.layout()
    if "weight" not in layout or layout["weight"][0] != head.num_classes:
        raise UserError("train.init_centres=mean needs a loss with one centre an identity; set it to random")
    sums = _sums(trainer, head.num_classes, layout["weight"][1])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    # As long as random centres: how fast a centre turns depends on its length.
    rows = (sums / np.maximum(lengths, 1e-12) * INITIAL_SIGMA * np.sqrt(sums.shape[1])).astype(np.float32)
    seen = np.flatnonzero(lengths[:, 0] > 0)  # an identity without images keeps its random centre
    for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
        if len(run):
            head.load_rows(int(run[0]), {"weight": rows[run[0] : run[-1] + 1]})


def _sums(trainer, classes, size):
    """(classes, size) float64, sums of the unit embeddings of each identity's readable images, over all processes."""
    records, sums = trainer.batches.records, np.zeros((classes, size))
    processes, contexts = trainer.processes, trainer.contexts
    first, last = [len(records) * (processes.rank + i) // processes.size for i in (0, 1)]
    step = len(contexts) * max(1, trainer.batches.batch_size // (processes.size * len(contexts)))
    quiet = trainer.quiet or processes.rank > 0
    bar = progress(total=last - first, desc="class centres", unit=" images", quiet=quiet)
    with ThreadPoolExecutor(physical_cores()) as pool, bar:
        for start in range(first, last, step):
            images = [image for image in pool.map(_Reader(records), range(start, min(start + step, last))) if image]
            if images:
                units = _units(trainer.net, contexts, np.stack([pixels for pixels, _ in images]))
                np.add.at(sums, [label for _, label in images], units)
            bar.update(min(step, last - start))
    if processes.size > 1:
        total = mx.nd.array(sums, dtype="float64")
        processes.allreduce([total], "centres")
        sums = total.asnumpy()
    return sums


class _Reader:
    """Number of an image → (pixels, identity), or None where it cannot be read: training will say so."""

    def __init__(self, records: FaceRecords):
        self._records = records

    def __call__(self, index):
        try:
            data, label = self._records.read(index)
            size = self._records.image_size
            return decode_image(data, size, np.empty((*size, 3), np.uint8), self._records.reduction > 1), label
        except (UserError, ValueError):
            return None


def _units(net, contexts, images):
    """(n, d) float64 unit embeddings of (n, height, width, 3) images, in the order given."""
    planes, rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)), []
    with autograd.predict_mode():
        ranges = shard_ranges(len(planes), min(len(planes), len(contexts)))
        for context, (a, b) in zip(contexts, ranges):
            rows.append(net(mx.nd.array(planes[a:b], context, dtype="uint8")).asnumpy().astype(np.float64))
    embeddings = np.concatenate(rows)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)

"""Model + images → embeddings, on every device: in memory, or into a file that an interrupted run goes on with."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Sequence

import mxnet as mx
import numpy as np

from .data.embeddings.embedding_file import EmbeddingWriter, holds_others, is_complete
from .data.images.sources import EncodedImages, Images
from .embed_batches import embed_in_batches
from .errors import UserError
from .files import read_json
from .models.backbone import input_size
from .models.folded import EvaluationNetwork, evaluation_network
from .progress import progress
from .protocols.verification import VerificationResult, evaluate_pairs
from .training.interrupt import Interrupted, Interrupts


def embed_images(
    net: mx.gluon.Block,
    images: Images | list[bytes],
    contexts: Sequence[mx.Context] | None = None,
    batch_size: int | None = None,
    flip: bool = True,
    quiet: bool = True,
    what: str = "embedding",
) -> np.ndarray:
    """Embeddings of images.

    Args:
        net: network of `get_model` or `load_model`, which runs folded, or an `EvaluationNetwork`.
        images: data.Images, or a list of encoded images (bytes).
        contexts: devices; each batch is divided over them. None: the ones the network lies on.
        batch_size: images a step, over all devices; None: 32 a CPU, 128 a GPU.
        flip: add the embedding of the mirror image (the paper's protocol: summed, not normalised).
        quiet: no progress bar; otherwise one that names `what`.

    Returns:
        (n, d) float32, not normalised.

    Raises:
        UserError: an image is missing or damaged (it is named), there is none, or the network does not take them.
    """
    images = images if isinstance(images, Images) else EncodedImages(what, images)
    embeddings: Any = None
    batches = closing(embed_in_batches(net, images, contexts, batch_size, flip, input_size(net)))
    with batches as stream, progress(total=len(images), desc=what, unit=" images", quiet=quiet) as bar:
        for batch in stream:
            if embeddings is None:
                embeddings = np.empty((len(images), batch.rows.shape[1]), np.float32)
            embeddings[batch.start : batch.start + batch.count] = batch.rows
            bar.update(batch.count)
    return embeddings


def embed_to_file(
    net: mx.gluon.Block,
    images: Images,
    path: str | os.PathLike[str],
    contexts: Sequence[mx.Context] | None = None,
    batch_size: int | None = None,
    flip: bool = True,
    size: tuple[int, int] | None = None,
    skip_missing: bool = False,
    quiet: bool = False,
    facts: dict | None = None,
    force: bool = False,
) -> dict:
    """Write the embeddings of images into a .npy with an index beside it; see `data.embedding_file`.

    If an earlier call with the same images, network and settings was stopped, this one goes on from there; if it was
    finished, nothing is done.

    Args:
        net, images, contexts, batch_size, flip: as for `embed_images`; `images` is data.Images.
        path: the .npy file.
        size: (height, width) of the network's input; None: `input_size(net)`.
        skip_missing: leave missing and damaged images out (counted, and listed in *.skipped.txt) instead of stopping.
        quiet: no progress bar.
        facts: what else to write into the .json, such as the model's path.
        force: replace finished embeddings of other images, another network or other settings.

    Returns:
        {"rows", "size", "skipped", "images_per_second"}; the last of this call, None if all was there.

    Raises:
        UserError: an image is missing or damaged, the files cannot be written, or hold something else.
        Interrupted: after SIGINT or SIGTERM.
    """
    size = size or input_size(net)
    key = fingerprint(net, images, flip, size)
    if is_complete(path, key):
        return {**_summary(path), "images_per_second": None}
    others = None if force else holds_others(path, key)
    if others:
        raise UserError(f"{path} holds other embeddings, {others}; choose another name, or replace them with --force")
    if not skip_missing:
        images.must_be_there()
    net = evaluation_network(net, contexts)
    with EmbeddingWriter(path, key) as writer:
        begun, began = writer.done, time.perf_counter()
        batches = embed_in_batches(net, images, contexts, batch_size, flip, size, writer.done, skip_missing)
        _write(writer, batches, images, quiet)
        rate = (writer.done - begun) / (time.perf_counter() - began)
        made = {"flip": flip, "input": list(size), "dtype": net.precision}
        normalised = getattr(net.net, "normalisation", None)
        facts = {**({"normalisation": normalised.options()} if normalised else {}), **(facts or {})}
        writer.finish(images, {"images": images.source, "network": network_digest(net), **made, **facts})
    return {**_summary(path), "images_per_second": rate}


def _write(writer, batches, images, quiet):
    """Write batches until they end, or until a signal comes."""
    count = len(images)
    bar = progress(total=count, initial=writer.done, desc=writer.path.name, unit=" images", quiet=quiet)
    with Interrupts("stopping after this batch") as interrupts, closing(batches), bar:
        for batch in batches:
            writer.append(batch.rows, batch.skipped, batch.count)
            bar.update(batch.count)
            if interrupts.received and writer.done < count:
                writer.save()
                text = f"stopped after {writer.done:,} of {count:,} images; the same command goes on from there"
                raise Interrupted(interrupts.received, f"{signal.Signals(interrupts.received).name}: {text}")
    if len(writer.skipped) == count:
        raise UserError(f"{images.source}: none of its {count:,} images can be used")


def verify_set(
    net: mx.gluon.Block,
    images: list[bytes],
    issame: np.ndarray | Sequence[bool],
    contexts: Sequence[mx.Context] | None = None,
    batch_size: int | None = None,
    folds: int = 10,
    quiet: bool = True,
    what: str = "verification",
    flip: bool = True,
) -> VerificationResult:
    """10-fold verification of a network on the pairs of a .bin set; see `protocols.verification.evaluate_pairs`.

    Pairs repeat images: each distinct one is embedded once.
    """
    index, first = {}, []
    for position, image in enumerate(images):
        if index.setdefault(image, len(index)) == len(first):
            first.append(position)
    distinct = EncodedImages(what, list(index), [f"{i % 2 + 1} of pair {i // 2}" for i in first])
    embeddings = embed_images(net, distinct, contexts, batch_size, flip, quiet, what)
    return evaluate_pairs(embeddings, issame, folds, [index[image] for image in images])


def fingerprint(net: mx.gluon.Block, images: Images, flip: bool, size: tuple[int, int]) -> str:
    """Tells embeddings from others: SHA-256 of what the images are, the network's parameters and the settings."""
    digest = hashlib.sha256(f"{images.fingerprint()} {flip} {size}".encode())
    _add_network(digest, net)
    return digest.hexdigest()


def network_digest(net: mx.gluon.Block) -> str:
    """Tells networks from others: SHA-256 of the parameters, by their names, and of what is done to the input."""
    digest = hashlib.sha256()
    _add_network(digest, net)
    return digest.hexdigest()


def _add_network(digest, net):
    if isinstance(net, EvaluationNetwork):
        digest.update(net.precision.encode() if net.precision != "float32" else b"")
        net = net.net
    for name, parameter in sorted(net._collect_params_with_prefix().items()):
        digest.update(name.encode())
        digest.update(parameter.list_data()[0].asnumpy().tobytes())
    if getattr(net, "normalisation", None):
        digest.update(repr(net.normalisation).encode())


def _summary(path):
    facts = read_json(Path(path).with_suffix(".json"))
    return {name: facts[name] for name in ("rows", "size", "skipped")}

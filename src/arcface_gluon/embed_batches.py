"""Images → embeddings batch by batch, on every device, and on every process of a team."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Generator, Sequence

import cv2
import mxnet as mx
import numpy as np
from mxnet import autograd

from .data.images.sources import ImageError, Images
from .errors import UserError
from .models.folded import EvaluationNetwork, evaluation_network
from .parallel.shards import shard_ranges
from .runtime import out_of_memory, physical_cores

# Images a step and device: beyond these, larger batches are not faster.
_BATCH = {"cpu": 32, "gpu": 128}
_DECODING, _COMPUTING = 3, 2  # batches ahead


@dataclass
class Batch:
    """Embeddings of `count` images from number `start` on, of which those that are `skipped` have no row (k, d)."""

    start: int
    count: int
    skipped: list  # indices of its images that have no row
    rows: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))


def embed_in_batches(
    net: mx.gluon.Block | EvaluationNetwork,
    images: Images,
    contexts: Sequence[mx.Context] | None,
    batch_size: int | None,
    flip: bool,
    size: tuple[int, int],
    first: int = 0,
    skip: bool | None = None,
) -> Generator[Batch, None, None]:
    """Embed images from number `first` on; gives Batch after Batch, in order, on all processes of the network's team.

    Every batch has the same shape, whoever computes it: embeddings do not depend on how many processes there are.

    Args:
        net, images, contexts, batch_size, flip: as for `embed.embed_images`.
        size: (height, width) that the images are scaled to.
        skip: leave damaged ones out; None: there is no choice.

    Raises:
        UserError: an image is missing or damaged, or the network does not take them; on all processes.
    """
    net = evaluation_network(net, contexts)
    contexts = net.contexts
    batch_size = min(batch_size or sum(_BATCH[context.device_type] for context in contexts), len(images))
    # Every device gets the same shape in every step, since each new shape would be planned anew.
    batch_size = -(-batch_size // len(contexts)) * len(contexts)
    if net.team is None:
        return _batches(net, images, batch_size, flip, size, range(first, len(images), batch_size), skip)
    return _together(net, images, batch_size, flip, size, first, skip)


def _together(net, images, batch_size, flip, size, first, skip):
    """The same with the other processes."""
    team, processes = net.team, net.team.processes
    if team.announce:
        team.announce(images, batch_size, flip, size, first, skip)
    processes.must_agree(str(batch_size), "number of devices")
    starts = range(first + processes.rank * batch_size, len(images), processes.size * batch_size)
    own = _batches(net, images, batch_size, flip, size, starts, skip)
    with closing(team.rounds(((batch.start, batch.count, batch.skipped), batch.rows) for batch in own)) as rounds:
        for (start, count, skipped), rows in rounds:
            yield Batch(start, count, skipped, rows)


def _batches(net, images, batch_size, flip, size, starts, skip):
    """Embed the batches that begin with these images.

    While the devices work on one batch, the next is already queued there and those after it are being decoded.
    """
    contexts = net.contexts
    pool = ThreadPoolExecutor(physical_cores(), thread_name_prefix="decode")
    ahead = (_decode(pool, images, start, batch_size, size, skip) for start in starts)
    # A signal is seen while Python waits for a thread, and not while it waits for MXNet.
    waiting = ThreadPoolExecutor(1, thread_name_prefix="wait")
    decoding, computing = deque(islice(ahead, _DECODING)), deque()
    try:
        while decoding or computing:
            if decoding:
                planes, start, parts = decoding.popleft()
                decoding.extend(islice(ahead, 1))
                skipped = [index for part in parts for index in part.result()]
                batch = Batch(start, min(batch_size, len(images) - start), skipped)
                computing.append((batch, _launch(net, planes, contexts, flip)))
            if len(computing) == _COMPUTING or not decoding:
                batch, outputs = computing.popleft()
                batch.rows = waiting.submit(_finished, batch, outputs, images).result()
                yield batch
    finally:
        for _, _, parts in decoding:
            for part in parts:
                part.cancel()
        pool.shutdown()
        waiting.shutdown(wait=False)


def _decode(pool, images, start, batch_size, size, skip):
    """Begin to decode a batch: (planes (B, 3, H, W) uint8, start, futures of lists of unreadable images)."""
    planes = np.zeros((batch_size, 3, *size), np.uint8)
    stop = min(start + batch_size, len(images))
    step = max(4, batch_size // (4 * physical_cores()))

    def fill(begin):
        skipped = []
        for index in range(begin, min(begin + step, stop)):
            try:
                cv2.split(images.decode(index, size), list(planes[index - start]))
            except ImageError as error:
                if not skip:
                    hint = "" if skip is None else ", or leave it out with --skip-missing"
                    raise UserError(f"{error}; replace it{hint}") from error
                skipped.append(index)
        return skipped

    return planes, start, [pool.submit(fill, begin) for begin in range(start, stop, step)]


def _launch(net, planes, contexts, flip):
    """Queue a batch on the devices; gives their outputs, which are not computed yet."""
    outputs = []
    with autograd.predict_mode(), _model_errors(f"{planes.shape[2]} x {planes.shape[3]} images"):
        for (a, b), context in zip(shard_ranges(len(planes), len(contexts)), contexts):
            x = mx.nd.array(planes[a:b], ctx=context, dtype="uint8")
            outputs.append(net(x) + net(x.flip(axis=3)) if flip else net(x))
    return outputs


def _finished(batch, outputs, images):
    """Wait for a batch: the rows (k, d) of its readable images."""
    with _model_errors(images.source):
        rows = np.concatenate([output.asnumpy() for output in outputs])[: batch.count]
    rows = np.delete(rows, [index - batch.start for index in batch.skipped], axis=0) if batch.skipped else rows
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        kept = np.delete(np.arange(batch.start, batch.start + batch.count), [i - batch.start for i in batch.skipped])
        name = images.describe(kept[np.argmin(finite)])
        raise UserError(f"the network gives NaN or infinite values for {name}; its parameters are damaged, or overflow")
    return rows


@contextmanager
def _model_errors(what):
    """What MXNet says of images that do not fit the network, as one line."""
    try:
        yield
    except mx.MXNetError as error:
        if out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[-1]
        cure = "check the input size"
        raise UserError(f"the network fails on {what}: {reason}; {cure}") from error

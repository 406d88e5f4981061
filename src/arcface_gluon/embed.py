"""Model + images → embeddings, on every device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
from mxnet import autograd
from tqdm import tqdm

from .data import decode_image
from .errors import UserError
from .protocols.verification import evaluate_pairs


def embed_images(net, images, contexts=None, batch_size=32, flip=True, quiet=True, what="embedding") -> np.ndarray:
    """Embeddings of encoded images.

    Args:
        net: network of `get_model` or `load_model`.
        images: encoded images (bytes), decoded here in threads while the devices work.
        contexts: devices; each batch is divided over them. None: the ones the network lies on.
        batch_size: images a step, over all devices.
        flip: add the embedding of the mirror image (the paper's protocol: summed, not normalised).
        quiet: no progress bar; otherwise one that names `what`.

    Returns:
        (n, d) float32, not normalised.

    Raises:
        UserError: an image cannot be decoded (its index is named), or there is none.
    """
    if len(images) == 0:
        raise UserError(f"{what}: there are no images")
    contexts = list(contexts or next(iter(net.collect_params().values())).list_ctx())
    batch_size = max(len(contexts), min(batch_size, len(images)))
    starts = range(0, len(images), batch_size)
    embeddings = None
    with ThreadPoolExecutor(2) as pool, tqdm(
        total=len(images), desc=what, unit=" images", disable=True if quiet else None
    ) as bar:
        # The next batch is decoded while this one is on the devices.
        waiting = pool.submit(_batch, images, 0, batch_size)
        for start in starts:
            pixels = waiting.result()
            if start + batch_size < len(images):
                waiting = pool.submit(_batch, images, start + batch_size, batch_size)
            rows = _forward(net, pixels, contexts, flip)
            if embeddings is None:
                embeddings = np.empty((len(images), rows.shape[1]), np.float32)
            count = min(batch_size, len(images) - start)
            embeddings[start : start + count] = rows[:count]
            bar.update(count)
    return embeddings


def verify_set(net, images, issame, contexts=None, batch_size=32, folds=10, quiet=True, what="verification"):
    """10-fold verification of a network on the pairs of a .bin set; see `protocols.verification.evaluate_pairs`.

    Pairs repeat images: each distinct one is embedded once.
    """
    index = {}
    rows = [index.setdefault(image, len(index)) for image in images]
    embeddings = embed_images(net, list(index), contexts, batch_size, True, quiet, what)
    return evaluate_pairs(embeddings[rows], issame, folds)


def _batch(images, start, batch_size):
    """uint8 NHWC; the last batch is filled up with its last image, since each new shape would be planned anew."""
    pixels = []
    for i in range(start, min(start + batch_size, len(images))):
        try:
            pixels.append(decode_image(images[i]))
        except ValueError as error:
            raise UserError(f"image {i} cannot be decoded ({error}); replace it or leave it out") from error
    pixels += pixels[-1:] * (batch_size - len(pixels))
    return np.stack(pixels)


def _forward(net, pixels, contexts, flip):
    parts = []
    for part, context in zip(np.array_split(pixels, len(contexts)), contexts):
        x = mx.nd.array(part, ctx=context, dtype=np.uint8).transpose((0, 3, 1, 2))
        with autograd.predict_mode():
            parts.append(net(x) + net(x.flip(axis=3)) if flip else net(x))
    return np.concatenate([part.asnumpy() for part in parts])

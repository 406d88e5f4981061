"""Rate of `arcface-gluon embed` beside the backbone's own inference: decoding must cost next to nothing.

Image files (112x112 JPEGs of about 9 KB, in the page cache) to a .npy with its index, image and mirror image, against
the same network on a batch that lies on the devices already. Rounds of both are interleaved, and the best of each
counts, so that other work on the machine burdens both alike. The smallest network is the hardest case.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from arcface_gluon.benchmarks.pipeline import write_images

from arcface_gluon import get_model, runtime
from arcface_gluon.data import FaceRecords
from arcface_gluon.data.images.sources import open_images
from arcface_gluon.embed import embed_to_file

mx = runtime.import_mxnet()

BATCH = 32  # a device
NETWORKS = {"r18, a quarter of the width": ("r18", {"width": 0.25}, 12), "r18": ("r18", {}, 2)}


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; `floor` is the rate of inference alone."""
    devices = runtime.contexts()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        count = BATCH * len(devices) * max(batches for _, _, batches in NETWORKS.values())
        size = _write_files(folder, count)
        for what, (name, options, batches) in NETWORKS.items():
            mx.random.seed(0)
            net = get_model(name, **options)
            net.initialize(ctx=devices)
            net.hybridize()
            images = BATCH * len(devices) * batches
            (folder / "list.txt").write_text("".join(f"{i}.jpg\n" for i in range(images)))
            best = {"embed": 0.0, "floor": 0.0}
            for _ in range(2 if quick else 3):
                best["floor"] = max(best["floor"], _inference(net, devices, batches))
                best["embed"] = max(best["embed"], _extraction(net, devices, folder))
            rows.append(
                {
                    "what": f"embed {what}, mirror image added, {size / 1000:.1f} KB images",
                    "value": best["embed"],
                    "unit": "images/s",
                    "floor": best["floor"],
                    "ratio": best["embed"] / best["floor"],
                }
            )
    return rows


def _write_files(folder, count):
    """Images 0.jpg, 1.jpg …; returns their mean size in bytes."""
    size = write_images(folder, count, 16.0)
    records = FaceRecords(folder)
    for index in range(count):
        (folder / f"{index}.jpg").write_bytes(records.read(index)[0])
    return size


def _inference(net, devices, batches):
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 3, 112, 112), np.uint8)
    inputs = [mx.nd.array(pixels, ctx=device, dtype="uint8") for device in devices]

    def forward():
        with mx.autograd.predict_mode():
            return [net(x) + net(x.flip(axis=3)) for x in inputs]

    forward()
    mx.nd.waitall()
    began = time.perf_counter()
    for _ in range(batches):
        outputs = forward()
        for output in outputs:
            output.wait_to_read()
    return batches * BATCH * len(devices) / (time.perf_counter() - began)


def _extraction(net, devices, folder):
    path = folder / "embeddings.npy"
    path.unlink(missing_ok=True)
    images = open_images(folder / "list.txt")
    return embed_to_file(net, images, path, devices, BATCH * len(devices), quiet=True)["images_per_second"]

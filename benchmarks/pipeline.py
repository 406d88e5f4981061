"""Images a second from train.rec to batches, beside the floors (reading, decoding) and MXNet's ImageRecordIter.

All read the same images, 112x112 JPEGs of about 3 KB and of about 9 KB, from a file in the page cache, with as many
threads as there are physical cores. The rounds of all contenders are interleaved, and the best round of each counts, so
that other work on the machine burdens all of them alike.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Callable, Mapping

import cv2
import numpy as np
import simplejpeg

from arcface_gluon.data import Augment, Batches, FaceRecords, RecordWriter, write_training_set
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.runtime import physical_cores

BATCH = 256
ALL = Augment(shift=4, rotate=10, scale=0.1, light=0.2, erase=0.2)


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; `floor` is the decoding rate of the same images."""
    rows = []
    for noise in (2.0, 16.0):
        with tempfile.TemporaryDirectory() as folder:
            count = 2048 if quick else 8192
            size = write_images(Path(folder), count, noise)
            rates = interleaved(contenders(Path(folder), count), 2 if quick else 5)
        floor = rates["decoding only"]
        for name, rate in rates.items():
            what = f"{name}, {size / 1000:.1f} KB images"
            rows.append({"what": what, "value": rate, "unit": "images/s", "floor": floor, "ratio": rate / floor})
    return rows


def write_images(folder: Path, count: int, noise: float) -> float:
    """A training set, and the same images without headers, as ImageRecordIter needs them; returns their mean bytes.

    `noise` (standard deviation, grey levels) sets how large the JPEGs become.
    """
    rng, images = np.random.default_rng(0), []
    for label in range(count):
        coarse = rng.integers(30, 220, (7, 7, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(smooth + rng.normal(0, noise, smooth.shape), 0, 255).astype(np.uint8)
        images.append((cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes(), label))
    write_training_set(folder, images)
    with RecordWriter(folder / "shuffled.rec") as writer:
        for key, (image, label) in enumerate(images):
            writer.write(key, pack(Header(0, label, key, 0), image))
    return sum(len(image) for image, _ in images) / count


def contenders(folder: Path, count: int) -> dict[str, Callable[[], int]]:
    """Functions that process all images once; each returns how many it did."""
    import mxnet as mx  # after arcface_gluon has prepared for it

    threads, records = physical_cores(), FaceRecords(folder)
    images = [records.read(i)[0] for i in range(count)]
    out = np.empty((threads, 112, 112, 3), np.uint8)
    order = np.random.default_rng(1).permutation(count).tolist()

    def read():
        for index in order:
            records.read(index)
        return count

    def decode_part(part):
        for image in images[part::threads]:
            simplejpeg.decode_jpeg(image, fastdct=False, fastupsample=False, buffer=out[part])

    def decode():
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode_part, range(threads)))
        return count

    def pipeline(augment, split=False):
        stream = Batches(records, BATCH, augment=augment, threads=threads).iterate()
        next(stream)
        for batch in islice(stream, count // BATCH):
            if split:
                mx.nd.waitall()
                batch.split([mx.cpu(0)])
        stream.close()
        return count // BATCH * BATCH

    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(folder / "shuffled.rec"),
        data_shape=(3, 112, 112),
        batch_size=BATCH,
        shuffle=True,
        rand_mirror=True,
        preprocess_threads=threads,
        dtype="uint8",
        seed=0,
    )

    def image_record_iter():
        iterator.reset()
        done = 0
        for batch in iterator:
            batch.data[0].wait_to_read()
            done += BATCH - batch.pad
        return done

    return {
        "reading records": read,
        "decoding only": decode,
        "batches (mirror)": lambda: pipeline(Augment()),
        "batches (mirror), copied to a context": lambda: pipeline(Augment(), split=True),
        "batches (shift, rotation, scale, light, erasing)": lambda: pipeline(ALL),
        "mx.io.ImageRecordIter (mirror)": image_record_iter,
    }


def interleaved(functions: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Best rate of each function over several rounds in turn."""
    best = dict.fromkeys(functions, 0.0)
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            done = function()
            best[name] = max(best[name], done / (time.perf_counter() - start))
    return best

"""Images a second from train.rec to batches on a context, beside bare decoding of the same images: on one core, on all.

All read the same 112x112 JPEGs, of about 3 KB and of about 9 KB, from a file in the page cache, with one thread a core.
The floor is the fastest that the machine has for them: OpenCV or libjpeg-turbo in threads, or MXNet's ImageRecordIter.
Of what works ahead, batches count from the third on, so that neither a start nor a full queue is measured.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Callable, Iterator
from unittest import mock

import cv2
import mxnet as mx
import numpy as np
import simplejpeg

from arcface_gluon.data import Augment, Batches, FaceRecords, RecordWriter, write_training_set
from arcface_gluon.data.batches import stream
from arcface_gluon.data.batches.augment import random_draws
from arcface_gluon.data.images.decode import decode_image
from arcface_gluon.data.records.recordio import Header, pack
from arcface_gluon.runtime import physical_cores

from . import peers
from .floors import fastest

BATCH = 256
ALL = Augment(shift=4, rotate=10, scale=0.1, light=0.2, erase=0.2)
TURBO, OPENCV, ITERATOR = "libjpeg-turbo (simplejpeg)", "OpenCV", "mx.io.ImageRecordIter (mirror)"
ON_CONTEXT = "batches (mirror), on cpu(0)"
# Does all images of a round and gives the seconds that they took.
Round = Callable[[], float]


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "by", "ratio", "spread"}: rates; `floor` is that of decoding alone."""
    rows, count, rounds, everywhere = [], 2048 if quick else 3072, 5, physical_cores()
    for noise in (2.0, 16.0):
        with tempfile.TemporaryDirectory() as folder:
            size = write_images(Path(folder), count, noise)
            records = FaceRecords(folder)
            for cores in sorted({1, everywhere}):
                name = f", {size / 1000:.1f} KB images, {cores} thread(s)"
                with on_cores(cores):
                    works = {**decoders(records, cores), **pipelines(records, cores, brief=cores < everywhere)}
                    if cores == everywhere:
                        works[ITERATOR] = image_record_iter(Path(folder) / "shuffled.rec", cores)
                        loaders = {} if quick else peers.loaders(records, BATCH, cores)
                        works.update({key: steady(make, len(records)) for key, make in loaders.items()})
                    made = compared(in_turns(works, rounds), count, name)
                    profile = made_of(records)
                rows += [{**row, "profile": profile} if row["what"].startswith(ON_CONTEXT) else row for row in made]
            if noise == 2.0:
                rows += waiting_threads(records)
    return rows


def compared(seconds: dict[str, np.ndarray], count: int, name: str) -> list[dict]:
    """Rows of rates, each beside the fastest of the decoders and of MXNet's iterator."""
    by, floor = fastest({key: seconds[key] for key in (TURBO, OPENCV, ITERATOR) if key in seconds})
    return [_row(what + name, taken, floor, by, count) for what, taken in seconds.items()]


def _row(what, seconds, floor, by, count):
    ratios = floor / seconds
    low, high = np.percentile(ratios, [25, 75])
    return {
        "what": what,
        "value": count / float(np.median(seconds)),
        "unit": "images/s",
        "floor": count / float(np.median(floor)),
        "by": by,
        "ratio": float(np.median(ratios)),
        "spread": float(high - low) / 2,
    }


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


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """This thread, and those it starts, keep to so many processors."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count] if count < physical_cores() else before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def decoders(records: FaceRecords, threads: int) -> dict[str, Round]:
    """Bare decoding of all images, which are in memory, in threads."""
    images = [records.read(index)[0] for index in range(len(records))]
    out = np.empty((threads, *records.image_size, 3), np.uint8)

    def turbo(part):
        for image in images[part::threads]:
            turbo_decode(image, out[part])

    def opencv(part):
        for image in images[part::threads]:
            cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)

    def timed(decode):
        def work():
            with ThreadPoolExecutor(threads) as pool:
                began = time.perf_counter()
                list(pool.map(decode, range(threads)))
                return time.perf_counter() - began

        return work

    return {TURBO: timed(turbo), OPENCV: timed(opencv)}


def turbo_decode(data: bytes, out: np.ndarray) -> None:
    """Decode a JPEG into (height, width, 3) as the batches do."""
    simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False, buffer=out)


def steady(make: Callable[[], Iterator], images: int, use: Callable[[object], object] = lambda batch: None) -> Round:
    """Batches of a new endless stream, from the third on, as many as hold so many images."""

    def work():
        with closing(make()) as batches:
            for batch in islice(batches, 2):
                use(batch)
            began = time.perf_counter()
            for batch in islice(batches, images // BATCH):
                use(batch)
            return time.perf_counter() - began

    return work


def pipelines(records: FaceRecords, threads: int, brief: bool) -> dict[str, Round]:
    """This project's batches; `brief`: those on a context alone."""
    images = len(records)

    def on_context(batch):
        batch.split([mx.cpu(0)])
        mx.nd.waitall()

    def of(augment):
        return lambda: Batches(records, BATCH, augment=augment, threads=threads).iterate()

    works = {ON_CONTEXT: steady(of(Augment()), images, on_context)}
    if not brief:
        works["batches (mirror)"] = steady(of(Augment()), images)
        works["batches (shift, rotation, scale, light, erasing)"] = steady(of(ALL), images)
        works["reading records"] = lambda: _seconds(lambda: [records.read(index) for index in range(images)])
    return works


def _seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def image_record_iter(path: Path, threads: int) -> Round:
    """MXNet's own pipeline, whole epochs with their start; it takes half of the processors less one, one at least."""
    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(path),
        data_shape=(3, 112, 112),
        batch_size=BATCH,
        shuffle=True,
        rand_mirror=True,
        preprocess_threads=threads,
        dtype="uint8",
        seed=0,
    )

    def epoch():
        iterator.reset()
        for batch in iterator:
            batch.data[0].wait_to_read()

    return lambda: _seconds(epoch)


def made_of(records: FaceRecords) -> str:
    """What an image costs in one thread, by processor time: the parts alone, and all that is left of the whole."""
    images = [records.read(index)[0] for index in range(len(records))]
    scattered = np.random.default_rng(0).permutation(len(records)).tolist()
    batches = Batches(records, BATCH, threads=1)
    planes, labels = np.empty((BATCH, 3, *records.image_size), np.uint8), np.empty(BATCH, np.int32)
    image, mirrored = np.empty((*records.image_size, 3), np.uint8), planes[0].reshape(-1, records.image_size[1])
    draws = random_draws(0, 0, BATCH)
    works = {
        "decoding": lambda: [turbo_decode(data, image) for data in images],
        "its checks": lambda: [decode_image(data, records.image_size, image) for data in images],
        "reading records": lambda: [records.read(index) for index in scattered],
        "mirror": lambda: [cv2.flip(mirrored, 1, mirrored) for _ in images[::2]],
        "planes and the rest": lambda: [
            batches._fill(planes, labels, draws, first) for first in range(0, len(images), BATCH)
        ],
    }
    taken: dict[str, list] = {name: [] for name in works}
    for _ in range(5):
        for name, work in works.items():
            began = time.thread_time()
            work()
            taken[name].append(1e6 * (time.thread_time() - began) / len(images))
    cost = {name: float(np.median(times)) for name, times in taken.items()}
    cost["its checks"] -= cost["decoding"]
    cost["planes and the rest"] -= sum(cost.values()) - cost["planes and the rest"]
    return "of one thread's time an image, " + ", ".join(f"{name} {value:.1f} µs" for name, value in cost.items())


def waiting_threads(records: FaceRecords, threads: int = 32, batches: int = 32, rounds: int = 5) -> list[dict]:
    """How far threads go on a machine of many cores, where decoding burdens each core but not Python's lock.

    A millisecond of sleep stands for each decoding, since that needs no processor; the floor is sleep alone.
    """

    def asleep(data, size, out, reduced):
        time.sleep(0.001)
        return out

    def sleep(part):
        for _ in range(images // threads):
            time.sleep(0.001)

    def alone():
        with ThreadPoolExecutor(threads) as pool:
            return _seconds(lambda: list(pool.map(sleep, range(threads))))

    images = batches * BATCH
    whole = steady(lambda: Batches(records, BATCH, threads=threads).iterate(), images)
    with mock.patch.object(stream, "decode_image", asleep):
        seconds = in_turns({"sleep": alone, "batches": whole}, rounds)
    what = f"batches (mirror), {threads} threads, 1 ms of sleep in the place of decoding"
    return [_row(what, seconds["batches"], seconds["sleep"], "sleep", images)]


def in_turns(works: dict[str, Round], rounds: int) -> dict[str, np.ndarray]:
    """{name: (rounds,) seconds}, after one round that warms up."""
    taken: dict[str, list] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            taken[name].append(work())
    return {name: np.array(seconds[1:]) for name, seconds in taken.items()}

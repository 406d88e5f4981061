"""Training batches: epochs of random order, decoded and augmented in threads ahead of the trainer."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Generator, Sequence

import cv2
import numpy as np

from ...errors import UserError
from ...parallel.shards import shard_ranges
from ...runtime import physical_cores
from ..images.decode import decode_image
from .augment import Augment, random_draws
from .identity_order import IdentityOrder

if TYPE_CHECKING:
    import mxnet as mx

    from ..records.training_set import FaceRecords

_log = logging.getLogger(__name__)

# A set with so many unreadable records one after the other is not worth going on with.
_MAX_SKIPS = 1000
# Images that are named when they are skipped; `check_training_set` has said what is wrong with many.
_MOST_NAMED = 10
# Images whose colours are taken apart at once: few enough to stay in a core's cache.
_TOGETHER = 8


@dataclass
class Batch:
    """One batch (of this process).

    Attributes:
        images: (B, 3, height, width) uint8, RGB in planes, as the network takes them.
        labels: (B,) int32.
        iteration: number of the batch in the sample stream, from 0.
        epoch: passes over the set before this batch.
        skipped: images that took the place of unreadable ones.
    """

    images: np.ndarray
    labels: np.ndarray
    iteration: int
    epoch: float
    skipped: int = 0

    def split(self, contexts: Sequence[mx.Context]) -> tuple[list[mx.nd.NDArray], list[np.ndarray]]:
        """Divide the batch into near-equal slices, the images on devices.

        Returns:
            (images, labels): lists with one array a context, NDArray uint8 (b, 3, height, width) on it, and NumPy int32
            (b,), since the heads look at labels on the host. On cpu(0) the NDArray is the batch's own memory; elsewhere
            the copy may still be under way.

        Raises:
            ValueError: there are more contexts than images.
        """
        import mxnet as mx  # here, so that preparing data needs no MXNet

        if len(contexts) > len(self.labels):
            raise ValueError(f"a batch of {len(self.labels)} images cannot feed {len(contexts)} contexts")
        ranges = shard_ranges(len(self.labels), len(contexts))
        # MXNet refers to the memory until the last operation on it is done, so that it is not used again before.
        slices = [mx.nd.from_numpy(self.images[a:b], zero_copy=True) for a, b in ranges]
        images = [part.as_in_context(context) for part, context in zip(slices, contexts)]
        return images, [self.labels[a:b] for a, b in ranges]


class Batches:
    """The endless sample stream of a training set, in batches.

    The stream is one permutation of the set after the other, each fixed by (seed, epoch). Batch i holds the stream's
    places i*B … (i+1)*B-1, so a batch may end one epoch and begin the next, no image is left out, and any batch can be
    made without those before it. Mirror and other changes depend on (seed, place). Nothing depends on threads.

    An image that cannot be read or decoded, or whose label is no identity of the set, is named once in the log (the
    first of many, the others are only counted), and the next readable image of the same epoch's order takes its place
    (and is seen twice in that epoch). With on_error="stop" it ends the stream.

    Args:
        records: FaceRecords, or anything with its `read`, `keys`, `image_size`, `reduction` and length.
        batch_size: B, images in a batch over all processes.
        seed: not negative.
        augment: Augment; the paper's mirror by default.
        threads: threads that decode; the number of physical cores by default.
        prefetch: batches that are made ahead.
        on_error: "skip_images", "skip" (here the same; see `check_training_set`) or "stop".
        part: (rank, of): this process makes the slice `rank` of `of` near-equal slices of each batch.
        images_per_identity: K > 0: not all images in random order, but batches of batch_size / K identities with K
            images each; see `IdentityOrder`, whose rounds then take the place of the permutations.

    Attributes:
        skipped: images replaced so far, in the batches handed out.

    Raises:
        UserError: on_error is neither, or batches with K images an identity cannot be made.
        ValueError: another argument is out of range.
    """

    def __init__(
        self,
        records: FaceRecords,
        batch_size: int,
        seed: int = 0,
        augment: Augment | None = None,
        threads: int | None = None,
        prefetch: int = 4,
        on_error: str = "skip_images",
        part: tuple[int, int] = (0, 1),
        images_per_identity: int = 0,
    ):
        if on_error not in ("skip_images", "skip", "stop"):
            raise UserError(f"data.on_error={on_error}: must be skip_images, skip or stop")
        if seed < 0 or prefetch < 1 or not 0 <= part[0] < part[1] <= batch_size:
            raise ValueError(f"out of range: one of {batch_size=}, {seed=}, {prefetch=}, {part=}")
        self.records = records
        self.batch_size = batch_size
        self.skipped = 0
        self._seed = seed
        self._augment = augment or Augment()
        self._threads = threads or physical_cores()
        self._prefetch = prefetch
        self._stop_on_error = on_error == "stop"
        self._start, self._stop = shard_ranges(batch_size, part[1])[part[0]]
        order, self._round = self._make_order, len(records)
        if images_per_identity:
            order = IdentityOrder(records.labels(), batch_size, images_per_identity, seed)
            self._round = len(order)
        self._order = lru_cache(maxsize=2)(order)
        self._scratch = threading.local()
        self._named = set()
        self._lock = threading.Lock()

    def iterate(self, start_iteration: int = 0) -> Generator[Batch, None, None]:
        """Yield batches from number `start_iteration` on, without end.

        Close the generator (or drop it) to stop its threads. A batch's memory is used again only when neither the batch
        nor any view of its arrays is held any more.

        Raises:
            UserError: a record is unreadable and on_error is "stop", or none is readable.
        """
        pending, buffers, iteration = deque(), [], start_iteration
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        try:
            while True:
                while len(pending) < self._prefetch:
                    pending.append(self._submit(pool, iteration, _free_buffer(buffers, self._shape())))
                    iteration += 1
                batch, parts = pending.popleft()
                # The last one first, so that this thread seldom wakes.
                parts[-1].exception()
                batch.skipped = sum(part.result() for part in parts)
                self.skipped += batch.skipped
                parts.clear()
                yield batch
                del batch
        finally:
            for _, parts in pending:
                for part in parts:
                    part.cancel()
            pool.shutdown()

    def _shape(self):
        return self._stop - self._start, 3, *self.records.image_size

    def _submit(self, pool, iteration, planes):
        """Start making a batch; returns it and the futures of its parts."""
        first, count = iteration * self.batch_size + self._start, len(planes)
        draws = random_draws(self._seed, first, count, self._augment.later)
        labels = np.empty(count, np.int32)
        self._order((first + count - 1) // self._round)  # made once, here, before several threads ask for it
        # Parts small enough that all threads work on the batch needed next, large enough that queueing costs little.
        step = max(8, count // (4 * self._threads))
        parts = [
            pool.submit(self._fill, planes[i : i + step], labels[i : i + step], draws[i : i + step], first + i)
            for i in range(0, count, step)
        ]
        epoch = iteration * self.batch_size / len(self.records)
        return Batch(planes, labels, iteration, epoch), parts

    def _fill(self, planes, labels, draws, first):
        """Make some images of a batch; returns how many of them are replacements."""
        own, together, spare = self._memory()
        indices, mirrors, replaced = self._indices(first, len(draws)), self._augment.mirrors(draws).tolist(), 0
        read, size, reduced = self.records.read, self.records.image_size, self.records.reduction > 1
        # As Python's numbers, which are compared in a tenth of the time.
        changes = None if self._augment.only_mirrors else draws.tolist()
        for start in range(0, len(draws), _TOGETHER):
            part = planes[start : start + _TOGETHER]
            for slot, scratch in enumerate(own[: len(part)], start):
                try:
                    data, labels[slot] = read(indices[slot])
                    image = decode_image(data, size, scratch, reduced)
                except (UserError, ValueError):
                    image, labels[slot], skips = self._readable(first + slot, indices[slot], scratch)
                    replaced += skips > 0
                if changes:
                    image = self._augment(image, changes[slot], spare)
                if image is not scratch:
                    scratch[...] = image
            # Images are the rows here, so that one call takes the colours of all apart.
            rows = part.reshape(len(part), 3, -1)
            cv2.split(together[: len(part)], [rows[:, 0], rows[:, 1], rows[:, 2]])
            if not changes:
                # All three planes of an image in one call, as long as they are in the cache.
                for image, mirrored in zip(part.reshape(len(part), -1, size[1]), mirrors[start:]):
                    if mirrored:
                        cv2.flip(image, 1, image)
        return replaced

    def _memory(self):
        """Of this thread: images to decode into, one after the other, the same as one array, and one to work in."""
        if not hasattr(self._scratch, "arrays"):
            memory = np.empty((_TOGETHER, *self.records.image_size, 3), np.uint8)
            self._scratch.arrays = list(memory), memory.reshape(_TOGETHER, -1, 3), np.empty_like(memory[0])
        return self._scratch.arrays

    def _indices(self, place, count):
        """Indices of the images at some places of the stream."""
        indices = []
        while count:
            number, offset = divmod(place, self._round)
            part = self._order(number)[offset : offset + count].tolist()
            indices += part
            place, count = place + len(part), count - len(part)
        return indices

    def _readable(self, place, index, scratch):
        """Image and label at a place of the stream, or of the first readable one after it; and how many were not."""
        skips = 0
        while True:
            try:
                data, label = self.records.read(index)
                size, reduced = self.records.image_size, self.records.reduction > 1
                return decode_image(data, size, scratch, reduced), label, skips
            except UserError as error:
                self._report(index, str(error))
            except ValueError as error:
                key = self.records.keys[index]
                self._report(index, f"{self.records.path}: the image of record {key} is damaged ({error})")
            number, offset = divmod(place, self._round)
            order, skips = self._order(number), skips + 1
            if skips == min(len(order), _MAX_SKIPS):
                raise UserError(f"{self.records.path}: {skips} records in a row cannot be read; fetch it again")
            index = int(order[(offset + skips) % len(order)])

    def _report(self, index, message):
        if self._stop_on_error:
            raise UserError(f"{message} (data.on_error=skip_images would go on without it)")
        with self._lock:
            new = index not in self._named
            self._named.add(index)
            count = len(self._named)
        if new and count <= _MOST_NAMED:
            _log.warning("skipped: %s", message)
        elif new and count == _MOST_NAMED + 1:
            _log.warning("skipped: more than %d images; the others are counted, not named", _MOST_NAMED)

    def _make_order(self, epoch):
        """(n,) uint32, the images of an epoch in the order of the stream."""
        order = np.arange(len(self.records), dtype=np.uint32)
        np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, epoch]))).shuffle(order)
        return order


def _free_buffer(buffers, shape):
    """An array of `buffers` to which nobody refers any more, or a new one."""
    for buffer in buffers:
        # The list, the loop and getrefcount's argument; every view of an array counts as well.
        if sys.getrefcount(buffer) == 3:
            return buffer
    buffers.append(np.empty(shape, np.uint8))
    return buffers[-1]

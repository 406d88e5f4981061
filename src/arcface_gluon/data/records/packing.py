"""Image files to a training set: checked, and where asked scaled or encoded again, over several processes."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from typing import Callable

import cv2

from ...errors import UserError
from ...parallel.workers import ordered_map
from ...progress import progress
from ..images.decode import decode_image, image_size, scaled
from ..images.folder import find_image
from ..images.listing import Listing
from ..images.orientation import is_animated, orientation, upright
from .name_file import NAMES, name_lines
from .rewriting import Written, claimed
from .training_set import SKIPPED, write_training_set

_CHUNK = 32  # images a task of a process
_QUALITY = 95  # of JPEG, as OpenCV has it by default
_EXIF_WITHIN = 1 << 16  # bytes from the start in which a JPEG tells its orientation


@dataclass(frozen=True)
class Encoding:
    """How images are stored.

    Attributes:
        size: (height, width) to scale images of another size to; None: all must have one.
        kind: "jpg" or "png"; None: JPEG and PNG stay what they are, other formats become PNG.
        quality: of JPEG, 1 to 100: all are encoded again; None: as they are, at 95 where they must be.
    """

    size: tuple[int, int] | None = None
    kind: str | None = None
    quality: int | None = None


@dataclass(frozen=True)
class Packed:
    """One image: what is stored, its (height, width), whether the file has it so; or why it cannot be used."""

    data: bytes = b""
    size: tuple[int, int] = (0, 0)
    unchanged: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What was packed: `written`, (height, width), images stored as their files have them, and those left out."""

    written: Written
    size: tuple[int, int]
    unchanged: int
    left_out: list[str]


def encode(data: bytes, encoding: Encoding) -> Packed:
    """An image as it is stored: its own bytes, once it was decoded, where `encoding` asks for nothing else.

    Photographs that EXIF says are to be turned are turned, since readers of records do not.

    Raises:
        ValueError: it is damaged, no image, or animated.
    """
    image_size(data)
    kind = "jpg" if data[:2] == b"\xff\xd8" else "png" if data[:4] == b"\x89PNG" else None
    if kind != "jpg" and is_animated(data):
        raise ValueError("it is animated, or has several pictures")
    image = decode_image(data)
    wanted = "jpg" if encoding.quality else encoding.kind or kind or "png"
    side = orientation(data) if b"Exif" in data[:_EXIF_WITHIN] else 1
    image = image if side == 1 else upright(image, side)
    size = height, width = encoding.size or (image.shape[0], image.shape[1])
    if side == 1 and image.shape[:2] == (height, width) and kind == wanted and not encoding.quality:
        return Packed(data, size)
    image = scaled(image, size)
    options = [cv2.IMWRITE_JPEG_QUALITY, encoding.quality or _QUALITY] if wanted == "jpg" else []
    written = cv2.imencode(f".{wanted}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
    return Packed(written, size, unchanged=False)


def pack_files(
    listing: Listing,
    folder: str | os.PathLike[str],
    encoding: Encoding = Encoding(),
    processes: int = 1,
    skip_missing: bool = False,
    force: bool = False,
    quiet: bool = False,
    stop: Callable[[], object] = lambda: None,
) -> Report:
    """Write a training set of image files; the same bytes whatever the number of processes.

    Beside the records are names.tsv, `label <tab> name`, where the identities have names, and skipped.txt with the
    paths of what was left out.

    Args:
        listing: the files and identities.
        folder: where to.
        encoding: how they are stored.
        processes: how many read, check and encode side by side.
        skip_missing: leave out images that are missing or cannot be used, and identities without images.
        force: replace a set that is there.
        quiet: no progress.
        stop: called for every image; raises to stop. Nothing is left behind then.

    Raises:
        UserError: an image is missing, damaged or of another size than the others (and no size was asked for), an
            identity has none, or the folder is taken or cannot be written.
    """
    largest, tally = max([*listing.labels, *listing.names]), _Tally(list(listing.empty))
    beside = {NAMES: name_lines(listing.names)} if listing.names else {}
    with claimed(folder, force):
        if not skip_missing:
            _must_be_whole(listing)
        packed = _packed(listing, encoding, processes, quiet)
        with closing(_usable(listing, packed, tally, beside, skip_missing, stop)) as stream:
            first = next(stream, None)
            if first is None:
                raise UserError(f"{listing.images.source}: no image is left; nothing was written")
            count, identities = write_training_set(
                folder, chain([first], stream), tally.size, 1 + largest, beside=beside
            )
    return Report(Written(count, identities, len(tally.left_out)), tally.size, tally.unchanged, tally.left_out)


@dataclass
class _Tally:
    """What has come of a listing so far; see `Report`."""

    left_out: list[str]
    size: tuple[int, int] = (0, 0)
    unchanged: int = 0


def _must_be_whole(listing):
    if listing.empty:
        raise UserError(
            f"{listing.images.source}: {len(listing.empty):,} identities have no images, such as "
            f"{listing.empty[0]}; remove their folders, or leave them out with --skip-missing"
        )
    listing.images.must_be_there()


def _usable(listing, packed, tally, beside, skip_missing, stop):
    """(bytes, label) of the images that are stored; `tally` and, in the end, `beside` get what was left out."""
    for index, one in packed:
        stop()
        where = listing.images.describe(index)
        if one.reason:
            if not skip_missing:
                raise UserError(f"{where} cannot be used: {one.reason}; replace it, or --skip-missing leaves it out")
            tally.left_out.append(listing.images.names[index])
            continue
        tally.size = tally.size if any(tally.size) else one.size
        if one.size != tally.size:
            (h, w), (height, width) = one.size, tally.size
            raise UserError(
                f"{where} is {h}x{w}, those before it are {height}x{width}; align all faces (arcface-gluon align), "
                "or scale them as they are with --size 112"
            )
        tally.unchanged += one.unchanged
        yield one.data, listing.labels[index]
    if tally.left_out:
        beside[SKIPPED] = tally.left_out


def _packed(listing, encoding, processes, quiet):
    """(index, Packed) of each image, in order."""
    images = listing.images
    paths = [os.path.join(images.root, name) for name in images.names]
    tasks = [(paths[start : start + _CHUNK], encoding) for start in range(0, len(paths), _CHUNK)]
    with ExitStack() as stack:
        results = stack.enter_context(closing(ordered_map(_encode_files, tasks, min(processes, len(tasks)))))
        bar = None
        for number, chunk in enumerate(results):
            if bar is None:  # not before the processes have started, which its rate would count
                bar = stack.enter_context(progress(total=len(paths), desc="packing", unit=" images", quiet=quiet))
            for place, packed in enumerate(chunk):
                yield number * _CHUNK + place, packed
                bar.update()


def _encode_files(paths, encoding):
    return [_encode_file(path, encoding) for path in paths]


def _encode_file(path, encoding):
    try:
        file = find_image(path)
        if file is None:
            return Packed(reason="there is no such file")
        return encode(file.read_bytes(), encoding)
    except OSError as error:
        return Packed(reason=f"it cannot be read ({error.strerror})")
    except ValueError as error:
        return Packed(reason=str(error))

"""What a training or verification set holds: counts, sizes, encodings, faults, and a sheet of its pictures."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

import cv2
import numpy as np

from ...errors import UserError
from ...files import atomic_write
from ..images.decode import decode_image, image_size
from ..images.encoded import ending
from ..verification.bin_file import read_bin
from ..verification.check import check_pairs
from ..verification.pair_lists import FOLDS, folds_of
from .label_check import describe_faults
from .label_counts import Labels
from .rewriting import names_of
from .training_set import FaceRecords

# Lower ends of the classes in which identities are counted by their images.
_CLASSES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SAMPLE = 1000  # images whose size and encoding is looked at
_ROWS, _COLUMNS, _SIDE, _MARGIN = 20, 10, 112, 150  # of a sheet


def inspect_records(records: FaceRecords) -> dict[str, Any]:
    """Facts of a training set, as JSON has them.

    Returns:
        {"images", "identities": what property says, "with_images", "size", "images_per_identity": {"smallest",
        "median", "mean", "largest", "identities": {class: how many}}, "looked_at", "sizes", "encodings", "named",
        "faults"}; sizes and encodings are of the images looked at, evenly over the set.
    """
    counts = Labels.of(records.survey().labels, records.first_label).counts[: records.num_identities]
    counts = counts[counts > 0]
    spread: dict[str, Any] = {}
    if len(counts):
        place = np.searchsorted(_CLASSES, counts, side="right") - 1
        classes = {_class_name(i): int((place == i).sum()) for i in range(len(_CLASSES)) if (place == i).any()}
        spread = {"smallest": int(counts.min()), "median": float(np.median(counts)), "mean": float(counts.mean())}
        spread.update(largest=int(counts.max()), identities=classes)
    looked_at = np.unique(np.linspace(0, len(records) - 1, _SAMPLE).astype(int))
    images = [_or_empty(records.encoded, int(index)) for index in looked_at]
    return {
        "images": len(records),
        "identities": records.num_identities,
        "with_images": len(counts),
        "size": list(records.image_size),
        "images_per_identity": spread,
        **_kinds(len(images), images),
        "named": len(names_of(records)),
        "faults": [*describe_faults(records), *_damaged([int(records.keys[index]) for index in looked_at], images)],
    }


def inspect_pairs(path: str | os.PathLike[str], size: tuple[int, int] = (112, 112)) -> dict[str, Any]:
    """Facts of a verification set, as JSON has them.

    Returns:
        {"pairs", "genuine", "images": distinct ones, "uneven_folds": numbers of those with other than half of the pairs
        genuine, "looked_at", "sizes", "encodings", "faults"}.

    Raises:
        UserError: the file is none.
    """
    images, issame = read_bin(path)
    distinct = list(dict.fromkeys(images))
    uneven = [i for i, fold in enumerate(_folds(issame), 1) if 2 * sum(fold) != len(fold)]
    try:
        faults = check_pairs(path, images, issame, size)
    except UserError as error:
        faults = [str(error)]
    facts = {"pairs": len(issame), "genuine": sum(issame), "images": len(distinct), "uneven_folds": uneven}
    return {**facts, **_kinds(len(distinct), distinct), "faults": faults}


def sheet_of_records(records: FaceRecords) -> list[tuple[str, list[bytes]]]:
    """Rows of a sheet: up to 20 identities, evenly over the set, each with up to 10 of its images."""
    labels, names = records.labels(), names_of(records)
    present = np.unique(labels[labels >= 0])
    rows = []
    for label in present[np.unique(np.linspace(0, len(present) - 1, _ROWS).astype(int))] if len(present) else ():
        own = np.flatnonzero(labels == label)
        own = own[np.unique(np.linspace(0, len(own) - 1, _COLUMNS).astype(int))]
        title = f"{label} {names.get(int(label), '')}".strip()
        rows.append((title, [_or_empty(records.encoded, int(index)) for index in own]))
    return rows


def sheet_of_pairs(path: str | os.PathLike[str]) -> list[tuple[str, list[bytes]]]:
    """Rows of a sheet: of each fold up to five genuine pairs side by side, and up to five others."""
    images, issame = read_bin(path)
    rows = []
    for number, fold in enumerate(_folds(range(len(issame))), 1):
        for same in (True, False):
            pairs = [pair for pair in fold if issame[pair] == same][: _COLUMNS // 2]
            if pairs:
                title = f"fold {number} {'same' if same else 'others'}"
                rows.append((title, [image for pair in pairs for image in images[2 * pair : 2 * pair + 2]]))
    return rows


def write_sheet(path: str | os.PathLike[str], rows: Sequence[tuple[str, list[bytes]]]) -> None:
    """Write rows of images with their titles as one picture; what cannot be decoded is a dark square.

    Args:
        path: a .jpg or .png.
        rows: (title, encoded images).

    Raises:
        UserError: another kind of file, no images, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UserError(f"{path}: a sheet is a .jpg or a .png")
    if not rows:
        raise UserError(f"{path}: there are no images to draw")
    width = _MARGIN + _SIDE * max(len(images) for _, images in rows)
    sheet = np.full((_SIDE * len(rows), width, 3), 255, np.uint8)
    for number, (title, images) in enumerate(rows):
        top = number * _SIDE
        plain = title.encode("ascii", "replace").decode()
        for line, start in enumerate(range(0, min(len(plain), 48), 16)):
            place = (6, top + 24 + 20 * line)
            cv2.putText(
                sheet, plain[start : start + 16], place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
            )
        for column, image in enumerate(images):
            left = _MARGIN + column * _SIDE
            sheet[top : top + _SIDE, left : left + _SIDE] = _cell(image)
    with atomic_write(path) as file:
        file.write(cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def _folds(pairs):
    return folds_of(pairs) if len(pairs) >= FOLDS else [pairs]


def _cell(image):
    try:
        return decode_image(image, (_SIDE, _SIDE))
    except ValueError:
        return 40


def _damaged(keys, images):
    damaged = [key for key, image in zip(keys, images) if not _decodes(image)]
    if not damaged:
        return []
    return [
        f"{len(damaged):,} of the {len(images):,} images looked at cannot be decoded, the first has the key "
        f"{damaged[0]}; `arcface-gluon clean` with --copies lists and drops all"
    ]


def _decodes(image):
    try:
        return decode_image(image) is not None
    except ValueError:
        return False


def _or_empty(read: Callable[[int], bytes], index: int) -> bytes:
    try:
        return read(index)
    except UserError:
        return b""


def _kinds(count: int, images: Iterable[bytes]) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    encodings: Counter[str] = Counter()
    for image in images:
        try:
            height, width = image_size(image)
            sizes[f"{height}x{width}"] += 1
            encodings["jpg" if image[:2] == b"\xff\xd8" else _other(image)] += 1
        except ValueError:
            sizes["unreadable"] += 1
    return {"looked_at": count, "sizes": dict(sizes.most_common()), "encodings": dict(encodings.most_common())}


def _other(image):
    kind = ending(image)[1:]
    return "other" if kind == "jpg" else kind


def _class_name(i):
    low = _CLASSES[i]
    if i + 1 == len(_CLASSES):
        return f"{low} or more"
    high = _CLASSES[i + 1] - 1
    return str(low) if low == high else f"{low} to {high}"

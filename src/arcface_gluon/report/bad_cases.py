"""Verification pairs that are judged wrongly, as pictures side by side and a table."""

from __future__ import annotations

import csv
import os
from typing import Sequence

import cv2
import numpy as np

from ..data.images.decode import decode_image
from ..errors import UserError
from ..files import new_folder
from ..protocols.verification import VerificationResult, pair_angles

_GAP = 4  # pixels between the two images


def write_bad_cases(folder: str | os.PathLike[str], result: VerificationResult, images: Sequence[bytes]) -> int:
    """Write the pairs on the wrong side of the mean threshold, the furthest from it first.

    A picture each, `0001-rejected-12-93.2.png` or `…-accepted-…`: rank, what was done wrongly, number of the pair and
    angle in degrees. The table bad-cases.csv has a line for each.

    Args:
        folder: which must be new.
        images: 2n encoded images, two a pair.

    Returns:
        How many there are.

    Raises:
        UserError: the folder exists and is not empty, or cannot be written; an image cannot be decoded.
    """
    angles, threshold = pair_angles(result.distances), result.threshold_angle
    accepted = result.distances < result.threshold
    wrong = np.flatnonzero(accepted != result.issame)
    wrong = wrong[np.argsort(-np.abs(angles[wrong] - threshold), kind="stable")]
    with new_folder(folder) as whole:
        whole.mkdir()
        with open(whole / "bad-cases.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["rank", "pair", "same", "judged", "angle", "threshold", "file"])
            for rank, pair in enumerate(wrong, start=1):
                judged = "accepted" if accepted[pair] else "rejected"
                name = f"{rank:04d}-{judged}-{pair}-{angles[pair]:.1f}.png"
                picture = cv2.imencode(".png", _side_by_side(images[2 * pair : 2 * pair + 2], pair))[1]
                (whole / name).write_bytes(picture.tobytes())
                row = [rank, pair, bool(result.issame[pair]), judged, f"{angles[pair]:.2f}", f"{threshold:.2f}", name]
                table.writerow(row)
    return len(wrong)


def _side_by_side(pair, number):
    """Two encoded images as one, blue, green, red; the shorter one is filled up in grey."""
    try:
        first, second = (decode_image(data)[..., ::-1] for data in pair)
    except ValueError as error:
        raise UserError(f"an image of pair {number} cannot be decoded ({error})") from error
    height = max(len(first), len(second))
    width = first.shape[1] + _GAP + second.shape[1]
    whole = np.full((height, width, 3), 128, np.uint8)
    whole[: len(first), : first.shape[1]] = first
    whole[: len(second), first.shape[1] + _GAP :] = second
    return whole

"""What the report needs of a verification: runs/<name>/verification/<set>.npz, a plain NumPy archive.

name           () str, the set's name
measures       () str, `measures_of` as JSON text
distances      (n,) float32 squared L2 distances of the pairs' unit embeddings
issame         (n,) bool
hardest        (k,) int64, pairs shown as pictures: most distant genuine first, then closest impostors
image_bytes    (b,) uint8, their encoded images one after the other, two a pair; empty where none were given
image_ends     (2k,) int64, where each ends in image_bytes
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from ..arrays import load_npz
from ..data.verification.pair_lists import is_whole_set
from ..data.verification.sets import is_of_videos
from ..errors import UserError
from ..files import parse_json, write_npz
from ..protocols.verification import VerificationResult

HARDEST = 8  # pairs of each kind
_ARRAYS = ("name", "measures", "distances", "issame", "hardest", "image_bytes", "image_ends")
_NUMBERS = ("pairs", "folds", "accuracy", "std", "threshold", "threshold_angle", "eer", "auc")


@dataclass(frozen=True)
class StoredVerification:
    """One file, read back. `pictures` is {pair: (first image, second image)}, encoded, hardest first."""

    name: str
    measures: dict
    distances: np.ndarray
    issame: np.ndarray
    pictures: dict[int, tuple[bytes, bytes]]


def measures_of(
    set_name: str,
    result: VerificationResult,
    flip: bool = True,
    whole: bool | None = None,
    precision: str = "float32",
) -> dict:
    """What is kept of a verification: its measures, and what tells whether the paper's numbers may stand beside them.

    Args:
        set_name: such as "lfw".
        flip: whether the embedding of the mirror image was added.
        whole: whether it was the whole set of this name; None: by the order of its genuine and other pairs.
        precision: of the network's products.
    """
    whole = is_whole_set(set_name, result.issame) if whole is None else whole
    return {"set": set_name, **result.to_json(), "flip": flip, "precision": precision, "whole_set": whole}


def save_verification(
    run_dir: str | os.PathLike[str],
    set_name: str,
    result: VerificationResult,
    images: Sequence[bytes] | None = None,
    measures: dict | None = None,
) -> Path:
    """Keep a verification for the report; an earlier one of the same set is replaced.

    Args:
        result: what `protocols.verification.evaluate_pairs` returned.
        measures: of `measures_of`, where they are not the usual ones.
        images: the set's 2n encoded images, of which those of the hardest pairs are kept; None keeps none.

    Raises:
        UserError: the file cannot be written.
    """
    hardest = hardest_pairs(result.distances, result.issame)
    kept = [] if images is None else [images[2 * pair + side] for pair in hardest for side in (0, 1)]
    path = Path(run_dir) / "verification" / (re.sub(r"[^\w.-]+", "_", set_name) + ".npz")
    write_npz(
        path,
        name=np.array(set_name),
        measures=np.array(json.dumps(measures or measures_of(set_name, result))),
        distances=result.distances.astype(np.float32),
        issame=result.issame,
        hardest=hardest,
        image_bytes=np.frombuffer(b"".join(kept), dtype=np.uint8),
        image_ends=np.cumsum([len(image) for image in kept], dtype=np.int64),
    )
    return path


def load_verification(path: str | os.PathLike[str]) -> StoredVerification:
    """Read a file that `save_verification` wrote.

    Raises:
        UserError: it is missing, damaged or something else.
    """
    cure = "verify again to replace it"
    found = load_npz(path, _ARRAYS, cure, "a stored verification")
    try:
        _check(found)
        ends, data = found["image_ends"], found["image_bytes"].tobytes()
        images = [data[start:end] for start, end in zip(np.r_[0, ends[:-1]], ends)]
        name, issame = str(found["name"]), found["issame"]
        # Earlier versions kept neither the mode nor what the set is.
        usual = {
            "set": name,
            "flip": not is_of_videos(name),
            "precision": "float32",
            "whole_set": is_whole_set(name, issame),
        }
        return StoredVerification(
            name=name,
            measures={**usual, **checked_measures(parse_json(str(found["measures"])))},
            distances=found["distances"],
            issame=issame,
            pictures=dict(zip(found["hardest"].tolist(), zip(images[0::2], images[1::2]))),
        )
    except ValueError as error:
        raise UserError(f"{path} is not a stored verification ({error}); {cure}") from error


def _check(found):
    """Arrays of the right types and lengths, so that whatever draws or prints them can."""
    distances, issame, hardest, ends = (found[name] for name in ("distances", "issame", "hardest", "image_ends"))
    if distances.ndim != 1 or distances.dtype.kind != "f" or not np.isfinite(distances).all():
        raise ValueError("its distances are no numbers")
    if issame.shape != distances.shape or issame.dtype != bool:
        raise ValueError("its truth values are not one a distance")
    if (
        hardest.ndim != 1
        or hardest.dtype.kind != "i"
        or ends.dtype.kind != "i"
        or ends.shape not in ((0,), (2 * len(hardest),))
    ):
        raise ValueError("its pictures are not two a pair")
    if len(hardest) and not (hardest.min() >= 0 and hardest.max() < len(distances)):
        raise ValueError("its pictures are of pairs that it has not")
    if found["image_bytes"].dtype != np.uint8 or found["name"].dtype.kind != "U" or found["measures"].dtype.kind != "U":
        raise ValueError("its parts are of other types")


def checked_measures(values: object) -> dict:
    """Measures of a verification as JSON has them, without those that are not what they are named.

    Raises:
        ValueError: it is no dictionary of measures.
    """
    if not isinstance(values, dict):
        raise ValueError("its measures are no dictionary")
    rates = values.get("tar_at_far")
    known = {key: value for key, value in values.items() if key not in _NUMBERS or value is None or _is_number(value)}
    if rates is not None:
        known["tar_at_far"] = dict(item for item in rates.items() if _is_rate(*item)) if isinstance(rates, dict) else {}
    return known


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_rate(far, rate):
    try:
        return 0 <= float(far) <= 1 and (rate is None or _is_number(rate))
    except ValueError:
        return False


def hardest_pairs(distances: np.ndarray, issame: np.ndarray, count: int = HARDEST) -> np.ndarray:
    """Pairs that the embedding gets most wrong: the `count` most distant genuine ones, then the closest impostors."""
    order = np.argsort(distances, kind="stable")
    genuine, impostors = order[issame[order]], order[~issame[order]]
    return np.r_[genuine[::-1][:count], impostors[:count]].astype(np.int64)

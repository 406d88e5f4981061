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
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.pair_lists import is_whole_set
from ..errors import UserError
from ..files import write_npz
from ..protocols.verification import VerificationResult

HARDEST = 8  # pairs of each kind


@dataclass(frozen=True)
class StoredVerification:
    """One file, read back. `pictures` is {pair: (first image, second image)}, encoded, hardest first."""

    name: str
    measures: dict
    distances: np.ndarray
    issame: np.ndarray
    pictures: dict[int, tuple[bytes, bytes]]


def measures_of(set_name: str, result: VerificationResult, flip: bool = True, whole: bool | None = None) -> dict:
    """What is kept of a verification: its measures, and what tells whether the paper's numbers may stand beside them.

    Args:
        set_name: such as "lfw".
        flip: whether the embedding of the mirror image was added.
        whole: whether it was the whole set of this name; None: by the order of its genuine and other pairs.
    """
    whole = is_whole_set(set_name, result.issame) if whole is None else whole
    return {"set": set_name, **result.to_json(), "flip": flip, "whole_set": whole}


def save_verification(run_dir, set_name, result, images=None, measures: dict | None = None) -> Path:
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


def load_verification(path) -> StoredVerification:
    """Read a file that `save_verification` wrote.

    Raises:
        UserError: it is missing, damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            ends = archive["image_ends"]
            data = archive["image_bytes"].tobytes()
            images = [data[start:end] for start, end in zip(np.r_[0, ends[:-1]], ends)]
            name, issame = str(archive["name"]), archive["issame"]
            # Earlier versions kept neither the mode nor what the set is.
            usual = {"set": name, "flip": name != "ytf", "whole_set": is_whole_set(name, issame)}
            measures = {**usual, **json.loads(str(archive["measures"]))}
            return StoredVerification(
                name=name,
                measures=measures,
                distances=archive["distances"],
                issame=issame,
                pictures=dict(zip(archive["hardest"].tolist(), zip(images[0::2], images[1::2]))),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a stored verification ({error}); verify again to replace it") from error


def hardest_pairs(distances, issame, count=HARDEST) -> np.ndarray:
    """Pairs that the embedding gets most wrong: the `count` most distant genuine ones, then the closest impostors."""
    order = np.argsort(distances, kind="stable")
    genuine, impostors = order[issame[order]], order[~issame[order]]
    return np.r_[genuine[::-1][:count], impostors[:count]].astype(np.int64)

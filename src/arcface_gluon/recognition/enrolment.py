"""A folder of photographs to a gallery; what a gallery has already is not looked at again."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Iterable

import numpy as np

from ..data.images.folder import find_images, left_out_line
from ..errors import UserError
from ..progress import progress
from ..training.interrupt import Interrupted, Interrupts
from .gallery import ENDING, Entry, Gallery
from .recogniser import FoundFace, PhotographError, Recogniser

_STOPPING = "stopping after this photograph"


@dataclass
class Enrolment:
    """What became of a folder.

    Attributes:
        gallery: the faces.
        crops: the aligned crop of each; empty for those that came from an earlier gallery.
        left_out: (photograph, why) of those without a face that was taken.
        several: photographs in which several faces were found and one was taken.
        before: faces that an earlier gallery had.
        notes: lines about the folder.
    """

    gallery: Gallery
    crops: list[np.ndarray] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    before: int = 0
    notes: list[str] = field(default_factory=list)


def enroll(
    recogniser: Recogniser,
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    every: bool = False,
    aligned: bool = False,
    quiet: bool = True,
) -> Enrolment:
    """Embed the faces of a folder: of people's folders, whose names they get, or of photographs named after people.

    Args:
        recogniser: the model and the detector.
        folder: of photographs.
        out: file of the gallery, written when all is done. Where one of this model and these settings is there, or a
            part of one (OUT.part, which an interrupted call leaves), photographs with the same bytes are taken from it.
        every: all faces of a photograph; else the largest.
        aligned: the images are aligned crops; no face is looked for.
        quiet: no progress.

    Raises:
        UserError: there is no photograph with a face, or `out` cannot be written, or has another model's faces.
        Interrupted: SIGINT or SIGTERM; what is done is in OUT.part, or lost without `out`.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} is no folder; give one of people's folders, or of photographs named after people")
    names, left_out = find_images(root)
    if not names:
        raise UserError(f"{root}: there are no photographs")
    settings = {"every": every, "aligned": aligned}
    known = _known(recogniser, out, settings) if out is not None else {}
    note = left_out_line(root, len(names), left_out)
    done = Enrolment(Gallery(recogniser.digest, recogniser.model, np.empty((0, 0)), [], settings))
    done.notes += [note] if note else []
    rows: list[np.ndarray] = []
    bar = progress(total=len(names), desc="enroll", unit=" photographs", quiet=quiet)
    with Interrupts(_STOPPING) as interrupts, bar:
        for count, name in enumerate(names, 1):
            _one(recogniser, root, name, known, done, rows)
            bar.update()
            if interrupts.received and count < len(names):
                kept = out is not None and bool(rows)
                if kept:
                    _whole(done.gallery, rows).write(_part(out))
                rest = "the same command again does the rest" if kept else "nothing was written"
                text = f"{count:,} of {len(names):,} photographs are done; {rest}"
                raise Interrupted(interrupts.received, text)
    if not rows:
        raise UserError(
            f"{root}: no face was found in its {len(names):,} photographs; the first: {done.left_out[0][1]}"
        )
    done.notes += _twice(done.gallery.entries)
    gallery = _whole(done.gallery, rows)
    if out is not None:
        gallery.write(out)
        _part(out).unlink(missing_ok=True)
    return done


def person_of(photo: str) -> str:
    """Whose a photograph is: the first folder of its path, or its own name without the ending."""
    path = PurePosixPath(photo)
    return path.parts[0] if len(path.parts) > 1 else path.stem


def _one(recogniser, root, name, known, done, rows):
    """Add the faces of one photograph."""
    try:
        try:
            data = (root / name).read_bytes()
        except OSError as error:
            raise PhotographError(f"{root / name} cannot be read: {error.strerror}") from None
        digest = hashlib.sha256(data).hexdigest()
        if digest in known:
            faces = known[digest]
            done.before += len(faces)
            boxes, embeddings, crops = [box for box, _ in faces], [row for _, row in faces], []
        else:
            found = _faces(recogniser, data, str(root / name), done, name)
            boxes, embeddings = [face.box for face in found], [face.embedding for face in found]
            crops = [face.crop for face in found]
    except PhotographError as error:
        done.left_out.append((name, str(error)))
        return
    for box, row in zip(boxes, embeddings):
        left, top, right, bottom = (float(side) for side in box)
        done.gallery.entries.append(Entry(person_of(name), name, digest, (left, top, right, bottom)))
        rows.append(row)
    done.crops += crops or [np.empty(0, np.uint8)] * len(boxes)


def _faces(recogniser, data, path, done, name) -> list[FoundFace]:
    settings = done.gallery.settings
    if settings["aligned"]:
        return [recogniser.aligned(data, path)]
    found = recogniser.faces(data, path, embedded=False)
    if not found:
        raise PhotographError(f"no face was found in {path}")
    if len(found) > 1 and not settings["every"]:
        done.several.append(name)
        found = found[:1]  # the largest
    return recogniser.embedded(found)


def _whole(gallery, rows):
    gallery.embeddings = np.stack(rows)
    return gallery


def _part(out):
    return Path(f"{os.fspath(out)}.part")


def _known(recogniser, out, settings):
    """{digest of a photograph: [(box, embedding)]} of what is there."""
    if Path(out).suffix != ENDING:
        raise UserError(f"{out}: the file of a gallery must be named *{ENDING}")
    known = defaultdict(list)
    for path in (_part(out), Path(out)):
        if not path.exists():
            continue
        gallery = Gallery.read(path)
        gallery.require(recogniser.digest, path)
        if gallery.settings != settings:
            raise UserError(f"{path} was enrolled with other options (--every, --aligned); name another file")
        fresh = defaultdict(list)
        for entry, row in zip(gallery.entries, gallery.embeddings):
            if entry.digest not in known:
                fresh[entry.digest, entry.photo].append((entry.box, row))
        for (digest, _), faces in fresh.items():
            known[digest] = faces
    return known


def _twice(entries: Iterable[Entry]) -> list[str]:
    """Lines about photographs that are two people's."""
    owners = defaultdict(dict)
    for entry in entries:
        owners[entry.digest].setdefault(entry.person, entry.photo)
    return [f"the same photograph is of several people: {', '.join(photos.values())}" for photos in owners.values()
            if len(photos) > 1]  # fmt: skip

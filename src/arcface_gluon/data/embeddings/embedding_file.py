"""Embeddings on disk: features.npy and, beside it, features.txt that says which image each row is.

While an extraction is under way, features.npy.part holds the rows so far and features.npy.part.json how far it got;
whatever stops it, the next one with the same images and model goes on from there; one with others begins anew, and says
what it leaves. Rows are written, not mapped: a full disk is then an error to report, not a crash.

features.npy          (n, d) float32
features.txt          n lines: name of the image, and its label after a tab where it has one
features.skipped.txt  names of images that were left out, where there are any
features.json         what was embedded, with which model, and the SHA-256 of the other files, by their endings

The description is written before features.npy gets its name: embeddings count only where all is as it says, so that
whatever stops the writer, those of one model never stand under the description of another.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UserError
from ...files import atomic_write, cannot_write, read_json, sha256, sync_folder, write_json
from ...progress import write_line
from .devkit_files import read_npy

if TYPE_CHECKING:
    from ..images.sources import Images

_HEADER_BYTES = 128  # room for any shape, so that the number of rows can be written when it is known
_SAVE_SECONDS = 10


class EmbeddingWriter:
    """Writes the embeddings of n images in their order, and goes on where an earlier one stopped.

    Use it as a context manager; leave it after `finish`, or at any other time to keep what is there.

    Args:
        path: the .npy file.
        fingerprint: tells images, model and settings from others (a str).

    Attributes:
        done: images that are written or left out.
        skipped: indices of those that were left out.

    Raises:
        UserError: the path does not end in .npy, cannot be written to, is in use by another process, or its part is
            damaged.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: str):
        self.path = Path(path)
        if self.path.suffix != ".npy":
            raise UserError(f"{path}: the file of the embeddings must be named *.npy")
        self.part = self.path.with_name(self.path.name + ".part")
        self.state = self.path.with_name(self.path.name + ".part.json")
        self.fingerprint = fingerprint
        self.done = 0
        self.size: int | None = None
        self.skipped: list[int] = []
        self._digest = hashlib.sha256()  # of the rows

    def __enter__(self) -> EmbeddingWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.part, "ab")  # noqa: SIM115
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have given it its final name between these two lines.
            if not os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.part)):
                raise BlockingIOError
        except BlockingIOError as error:
            raise UserError(f"{self.part} is being written by another process; wait for it or stop it") from error
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            self._recall()
        except BaseException:
            self._file.close()
            raise
        self._saved = time.monotonic()
        return self

    def _recall(self):
        state = self._state() if os.path.getsize(self.part) else None  # else what is left of one that was finished
        if state is not None and state["fingerprint"] != self.fingerprint:
            if state["done"]:
                write_line(f"{self.part} was begun with other images, another model or other settings: the "
                           f"{state['done']:,} images done for those are left, and this begins anew")  # fmt: skip
            state = None
            self.state.unlink()  # before the rows: it would tell of rows that are not there
        if state is not None:
            self.done, self.size, self.skipped = state["done"], state["size"], state["skipped"]
        rows = self.done - len(self.skipped)
        wanted = _HEADER_BYTES + 4 * rows * (self.size or 0)
        if rows and state is not None:
            self._verify(wanted, state["sha256"])
        # What was written after the last save is embedded again.
        self._file.truncate(wanted if rows else 0)
        self._file.seek(0, os.SEEK_END)
        if not rows:
            self._file.write(bytes(_HEADER_BYTES))

    def _state(self):
        """What the last `save` wrote; None if there was none."""
        if not self.state.exists():
            return None
        try:
            state = read_json(self.state)
            return {name: state[name] for name in ("fingerprint", "done", "size", "skipped", "sha256")}
        except (UserError, KeyError, TypeError):
            raise UserError(f"{self.state} is damaged; delete it and {self.part.name} to begin again") from None

    def _verify(self, size, digest):
        with open(self.part, "rb") as file:
            file.seek(_HEADER_BYTES)
            while file.tell() < size and (block := file.read(min(1 << 20, size - file.tell()))):
                self._digest.update(block)
            if file.tell() < size or self._digest.hexdigest() != digest:
                reason = "shorter than" if file.tell() < size else "not as"
                raise UserError(f"{self.part} is {reason} {self.state.name} says; delete both to begin again")

    def __exit__(self, *exception: object) -> None:
        if not self._file.closed:
            if self.done > len(self.skipped):
                with suppress(UserError):
                    self.save()
            else:  # nothing to go on with
                self.part.unlink(missing_ok=True)
                self.state.unlink(missing_ok=True)
            with suppress(OSError):  # rows that a full disk did not take: `append` or `save` has told of them
                self._file.close()

    def append(self, rows: np.ndarray, skipped: list[int], count: int) -> None:
        """Add the rows of the next `count` images, of which those with the indices `skipped` have no row."""
        data = np.ascontiguousarray(rows, "<f4").data
        try:
            self._file.write(data)
        except OSError as error:
            raise self._full(error) from error
        self._digest.update(data)
        self.size = rows.shape[1]
        self.skipped += skipped
        self.done += count
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Make sure that an extraction which is killed now goes on from here."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error
        state = {"fingerprint": self.fingerprint, "done": self.done, "size": self.size, "skipped": self.skipped}
        write_json(self.state, {**state, "sha256": self._digest.hexdigest()}, sealed=True)
        self._saved = time.monotonic()

    def _full(self, error):
        return UserError(
            f"cannot write {self.part}: {error.strerror or error}; free some space and run the same command again: "
            "it goes on from there"
        )

    def finish(self, images: Images, facts: dict) -> None:
        """Give all files their names.

        Args:
            images: the data.Images.
            facts: what else to write into the .json.
        """
        skipped = set(self.skipped)
        kept = [index for index in range(len(images)) if index not in skipped]
        self.save()
        with open(self.part, "r+b") as part:
            part.write(_header(len(kept), self.size))
            part.flush()
            os.fsync(part.fileno())
        with atomic_write(self.path.with_suffix(".txt"), "w") as file:
            for index in kept:
                label = f"\t{images.labels[index]}" if images.labels is not None else ""
                file.write(f"{images.names[index]}{label}\n")
        skipped_path = self.path.with_suffix(".skipped.txt")
        if skipped:
            with atomic_write(skipped_path, "w") as file:
                file.writelines(f"{images.names[index]}\n" for index in sorted(skipped))
        else:
            skipped_path.unlink(missing_ok=True)
        digests = {".npy": sha256(self.part), ".txt": sha256(self.path.with_suffix(".txt"))}
        if skipped:
            digests[".skipped.txt"] = sha256(skipped_path)
        counts = {"rows": len(kept), "size": self.size, "skipped": len(skipped)}
        description = {**counts, **facts, "fingerprint": self.fingerprint, "sha256": digests}
        write_json(self.path.with_suffix(".json"), description, sealed=True)
        os.replace(self.part, self.path)
        sync_folder(self.path.parent)
        self.state.unlink()
        self._file.close()


def is_complete(path: str | os.PathLike[str], fingerprint: str) -> bool:
    """Whether the embeddings with this fingerprint are there already, whole (told by checksums)."""
    path = Path(path)
    if not path.exists() or holds_others(path, fingerprint):
        return False
    changed = _changed(path, _description(path))
    if changed:
        write_line(f"{changed}: the images are embedded again")
        return False
    # A kill after the last step but one leaves this.
    path.with_name(path.name + ".part.json").unlink(missing_ok=True)
    return True


def holds_others(path: str | os.PathLike[str], fingerprint: str) -> str | None:
    """Whose embeddings a file holds, where they are finished and not those with this fingerprint; else None."""
    path = Path(path)
    if not path.exists():
        return None
    try:
        facts = _description(path)
    except UserError:
        facts = None
    if facts is None:
        return "whose origin is not noted"
    if facts["fingerprint"] != fingerprint:
        return f"made with {facts.get('model')} of {facts.get('images')}"
    return None


def _description(path):
    """The content of features.json; None where there is none of `EmbeddingWriter`."""
    description = Path(path).with_suffix(".json")
    facts = read_json(description) if description.exists() else None
    return facts if isinstance(facts, dict) and "fingerprint" in facts else None


def _changed(path, facts):
    """What is wrong with embeddings and their description: a file is missing or changed; None if nothing is."""
    description = path.with_suffix(".json")
    digests = facts.get("sha256")
    if not isinstance(digests, dict) or ".npy" not in digests:
        return f"{description} has no checksums"
    for ending, digest in digests.items():
        file = path.with_suffix(ending)
        if not file.is_file() or sha256(file) != digest:
            return f"{file} is not the file that {description.name} tells of"
    return None


@dataclass
class Embeddings:
    """vectors: (n, d) float32, a read-only memory map. names: n str. labels: n str, or None."""

    vectors: np.ndarray
    names: list
    labels: list | None


def read_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Read what `EmbeddingWriter` wrote, or any .npy of vectors with such an index beside it.

    Raises:
        UserError: a file is missing or damaged, is not the one that the description tells of, or their numbers of rows
            differ.
    """
    facts = _description(path)
    changed = facts is not None and "sha256" in facts and _changed(Path(path), facts)  # earlier versions wrote none
    if changed:
        raise UserError(f"{changed}; embed the images again")
    index = Path(path).with_suffix(".txt")
    try:
        lines = index.read_text(encoding="utf-8").rstrip("\n").split("\n")  # names may have other line separators
    except OSError as error:
        raise UserError(f"cannot read {index}: {error.strerror}; it names the image of each row of {path}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{index} is not a text file ({error.reason}); extract the embeddings again") from error
    rows = [line.split("\t", 1) for line in lines]
    labels = [row[1] for row in rows] if all(len(row) == 2 for row in rows) else None
    return Embeddings(read_npy(path, len(rows)), [row[0] for row in rows], labels)


def _header(rows, size):
    """The .npy header (version 1.0) of a (rows, size) float32 array, filled up to a fixed length."""
    text = repr({"descr": "<f4", "fortran_order": False, "shape": (rows, size)})
    length = _HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"

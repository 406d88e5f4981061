"""Embeddings on disk: features.npy and, beside it, features.txt that says which image each row is.

While an extraction is under way, features.npy.part holds the rows so far and features.npy.part.json how far it got;
whatever stops it, the next one with the same images and model goes on from there. Rows are written, not mapped: a full
disk is then an error to report, not a crash.

features.npy          (n, d) float32
features.txt          n lines: name of the image, and its label after a tab where it has one
features.json         what was embedded, and with which model
features.skipped.txt  names of images that were left out, where there are any
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import atomic_write, cannot_write, read_json, write_json
from .features import read_npy

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
        UserError: the path does not end in .npy, cannot be written to, is in use by another process, or has a part of
            something else.
    """

    def __init__(self, path, fingerprint):
        self.path = Path(path)
        if self.path.suffix != ".npy":
            raise UserError(f"{path}: the file of the embeddings must be named *.npy")
        self.part = self.path.with_name(self.path.name + ".part")
        self.state = self.path.with_name(self.path.name + ".part.json")
        self.fingerprint = fingerprint
        self.done, self.size, self.skipped = 0, None, []

    def __enter__(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.part, "ab")  # noqa: SIM115
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        rows = 0
        if self.state.exists():
            state = read_json(self.state)
            if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint:
                raise UserError(
                    f"{self.part} was begun with other images, another model or other settings; "
                    "finish it with those, delete it, or choose another name"
                )
            self.done, self.size, self.skipped = state["done"], state["size"], state["skipped"]
            rows = self.done - len(self.skipped)
        wanted = _HEADER_BYTES + 4 * rows * (self.size or 0)
        if rows and os.path.getsize(self.part) < wanted:
            raise UserError(f"{self.part} is shorter than {self.state.name} says; delete both to begin again")
        # What was written after the last save is embedded again.
        self._file.truncate(wanted if rows else 0)
        self._file.seek(0, os.SEEK_END)
        if not rows:
            self._file.write(bytes(_HEADER_BYTES))

    def __exit__(self, *exception):
        if not self._file.closed:
            with suppress(UserError):
                self.save()
            self._file.close()

    def append(self, rows, skipped, count):
        """Add the rows of the next `count` images, of which those with the indices `skipped` have no row."""
        try:
            self._file.write(np.ascontiguousarray(rows, "<f4").data)
        except OSError as error:
            raise self._full(error) from error
        self.size = rows.shape[1]
        self.skipped += skipped
        self.done += count
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self):
        """Make sure that an extraction which is killed now goes on from here."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error
        state = {"fingerprint": self.fingerprint, "done": self.done, "size": self.size, "skipped": self.skipped}
        write_json(self.state, state)
        self._saved = time.monotonic()

    def _full(self, error):
        return UserError(
            f"cannot write {self.part}: {error.strerror or error}; free some space and run the same command again: "
            "it goes on from there"
        )

    def finish(self, images, facts):
        """Give all files their names.

        Args:
            images: the data.Images.
            facts: what else to write into the .json.
        """
        skipped = set(self.skipped)
        kept = [index for index in range(len(images)) if index not in skipped]
        self.save()
        with open(self.part, "r+b") as file:
            file.write(_header(len(kept), self.size))
            file.flush()
            os.fsync(file.fileno())
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
        counts = {"rows": len(kept), "size": self.size, "skipped": len(skipped)}
        write_json(self.path.with_suffix(".json"), {**counts, **facts, "fingerprint": self.fingerprint})
        os.replace(self.part, self.path)
        self.state.unlink()
        self._file.close()


def is_complete(path, fingerprint) -> bool:
    """Whether the embeddings with this fingerprint are there already, whole."""
    path = Path(path)
    try:
        facts = read_json(path.with_suffix(".json"))
        complete = isinstance(facts, dict) and facts.get("fingerprint") == fingerprint
        return complete and path.stat().st_size == _HEADER_BYTES + 4 * facts["rows"] * facts["size"]
    except (UserError, OSError, KeyError):
        return False


@dataclass
class Embeddings:
    """vectors: (n, d) float32, a read-only memory map. names: n str. labels: n str, or None."""

    vectors: np.ndarray
    names: list
    labels: list | None


def read_embeddings(path) -> Embeddings:
    """Read what `EmbeddingWriter` wrote, or any .npy of vectors with such an index beside it.

    Raises:
        UserError: a file is missing or damaged, or their numbers of rows differ.
    """
    index = Path(path).with_suffix(".txt")
    try:
        lines = index.read_text(encoding="utf-8").splitlines()
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

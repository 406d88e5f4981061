"""Files: nothing half-written ever stands under its final name, and what cannot be read is told in one line."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UserError


@contextmanager
def atomic_write(path, mode="wb"):
    """Open a temporary file beside `path`; on success flush it to disk and rename it to `path`.

    On any error, also an interrupt, the temporary file is removed and `path` is as it was.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def cannot_write(path, error: OSError) -> UserError:
    """The one line for a failed write: what could not be written, why, and what to do."""
    return UserError(f"cannot write {path}: {error.strerror or error}; free some space or choose another folder")


def _umask():
    # The only portable way to read the mask is to set it; mkstemp's 0600 would hide results from colleagues.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path, value):
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def read_json(path):
    """Read a JSON file.

    Raises:
        UserError: the file is missing, unreadable or not JSON.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); it may be damaged, write it again") from error


def read_lines(path, hint="check the path"):
    """Yield (number, line) of a text list: numbers from 1, no white space around a line, blank lines left out.

    A byte order mark, as editors on Windows write, is not part of the first line.

    Raises:
        UserError: the file is missing, unreadable or not text; `hint` says what to do.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text list ({error.reason}); {hint}") from error


def sha256(path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

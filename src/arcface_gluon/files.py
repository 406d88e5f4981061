"""Files: nothing half-written ever stands under its final name, and what cannot be read is told in one line."""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Iterator

import numpy as np

from .errors import UserError

_LONGEST = 255  # bytes of a file's name, on all usual file systems
_PATIENCE = 10  # seconds to wait for another writer of the same file
_CURES = {  # of a failed write
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EACCES: "ask for the right to write there, or choose another folder",
    errno.EROFS: "choose another folder",
    errno.ENOTDIR: "choose another folder",
    errno.EEXIST: "choose another folder",
    errno.EISDIR: "choose another name",
}
_SEAL = "checksum"
_MAX_DEPTH = 50  # of lists and dictionaries in JSON


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open `.NAME.tmp` beside `path`; on success flush it to disk and rename it to `path`.

    On any error, also an interrupt, the temporary file is removed and `path` is as it was. Its writer has a lock on it:
    what a killed one left is taken over by the next writer of `path`, what a live one writes is waited for.

    Raises:
        UserError: the folder cannot be written to, the disk is full, or another process goes on writing `path`.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a device, which a file would take the place of
            raise UserError(f"cannot write {path}: it is no ordinary file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = _open_temporary(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                check_sizes(file)
                os.replace(name, path)
            except BaseException:
                # Still locked, so that nobody else's file is removed.
                with suppress(FileNotFoundError):
                    os.unlink(name)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _open_temporary(path):
    """(descriptor, name) of a new file beside `path`, locked."""
    name = f".{path.name}.tmp"
    if len(os.fsencode(name)) > _LONGEST:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.tmp"
    name = str(path.with_name(name))
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:
            return _open_unlocked(path)  # what another user's killed writer left
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its writer may have given it its final name, or removed it, before the lock was free.
            if os.path.exists(name) and os.path.samestat(os.fstat(descriptor), os.stat(name)):
                os.ftruncate(descriptor, 0)
                return descriptor, name
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > until:
                raise UserError(f"{path} is being written by another process; wait for it or stop it") from None
            time.sleep(0.02)
        except OSError:
            # A file system without locks, where nobody writes under this name.
            os.close(descriptor)
            os.unlink(name)
            return _open_unlocked(path)


def _open_unlocked(path):
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    # The only portable way to read the mask is to set it; mkstemp's 0600 would hide results from colleagues.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(name, 0o666 & ~mask)
    return descriptor, name


@contextmanager
def only_writer(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make a folder, and keep other processes that ask the same from writing into it, where the file system has locks.

    A folder that was not there, and in which nothing was written, is removed in the end.

    Raises:
        UserError: another process is writing into it, or it cannot be made.
    """
    made = not os.path.lexists(folder)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"another process is writing into {folder}; wait for it or stop it") from None
        yield
    finally:
        if made:
            with suppress(OSError):  # something was written
                os.rmdir(folder)
        os.close(descriptor)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which gets its name once it is whole; made by whoever writes into it.

    Raises:
        UserError: `path` is there already, another process is writing into it, or it cannot be written.
    """
    folder = Path(path)
    taken = UserError(f"{folder} is there already; name another folder, or delete it")
    if folder.exists() and not folder.is_dir():
        raise taken
    with only_writer(folder):
        if any(folder.iterdir()):
            raise taken
        try:
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
                yield (whole := Path(temporary) / folder.name)
                os.replace(whole, folder)  # which is empty
        except OSError as error:
            raise cannot_write(folder, error) from error


def remove_leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove temporary files that killed writers left in a folder and below it; gives their paths.

    Those of live writers, who have a lock on them, stay.
    """
    removed = []
    for path in sorted(Path(folder).rglob(".*.tmp")):
        with suppress(OSError), open(path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            removed.append(path)
    return removed


def check_sizes(file: IO[Any]) -> None:
    """Refuse a file whose bytes on disk are fewer than were written: not every file system reports a short write.

    Raises:
        OSError: it is shorter.
    """
    raw = getattr(file, "buffer", file)
    if os.fstat(raw.fileno()).st_size < raw.tell():
        raise OSError(f"only {os.fstat(raw.fileno()).st_size:,} of {raw.tell():,} bytes were written")


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush the names in a folder to disk, so that a file renamed into it is there after a power cut, too."""
    with suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cannot_write(path: str | os.PathLike[str], error: OSError) -> UserError:
    """The one line for a failed write: what could not be written, why, and what to do."""
    cure = _CURES.get(error.errno or 0, "free some space or choose another folder")
    return UserError(f"cannot write {path}: {error.strerror or error}; {cure}")


def write_json(path: str | os.PathLike[str], value: Any, sealed: bool = False) -> None:
    """Write `value` as indented JSON, atomically.

    Args:
        sealed: `value` is a dict; add a checksum of it, which `read_json` compares, to tell what was changed later.
    """
    if sealed:
        value = seal(value)
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def write_npz(path: str | os.PathLike[str], /, **arrays: Any) -> None:
    """Write arrays, or what NumPy makes arrays of, as an .npz archive, atomically."""
    # In memory first: on a full disk, NumPy's archive would go on writing to a file that is closed.
    content = io.BytesIO()
    np.savez(content, **arrays)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; the checksum of a sealed one is compared and left out, and so is a byte order mark.

    Raises:
        UserError: the file is missing, unreadable, not JSON, or was changed since it was sealed.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            value = parse_json(file.read())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); it may be damaged, write it again") from error
    return unseal(value, path) if isinstance(value, dict) else value


def seal(value: dict) -> dict:
    """`value` with a checksum of itself, which `unseal` compares."""
    return {**value, _SEAL: _checksum(value)}


def unseal(value: dict, where: str | os.PathLike[str]) -> dict:
    """`value` without its checksum, if it has one.

    Raises:
        UserError: it was changed since it was sealed; `where` names it.
    """
    rest = {name: item for name, item in value.items() if name != _SEAL}
    if _SEAL in value and value[_SEAL] != _checksum(rest):
        raise UserError(
            f"{where} was changed since it was written: it has not its checksum; write it again, "
            f'or delete the entry "{_SEAL}" if you changed it'
        )
    return rest


def parse_json(text: str) -> Any:
    """The value of a JSON text, of ordinary depth and numbers.

    Raises:
        ValueError: it is not JSON, or is nested so deeply, or has numbers so long, that no file here has them.
    """
    try:
        value = json.loads(text, parse_int=_short_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [value]
    for _ in range(_MAX_DEPTH):
        inside = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level = [item for items in inside for item in items]
        if not level:
            return value
    raise ValueError("it is nested too deeply")


def _short_integer(digits):
    # Python's time for one is the square of its length.
    if len(digits) > 30:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _checksum(value):
    """SHA-256 of a value as any JSON reader gets it, whatever the spaces and the order of keys."""
    text = json.dumps(json.loads(json.dumps(value)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_lines(path: str | os.PathLike[str], hint: str = "check the path") -> Iterator[tuple[int, str]]:
    """Yield (number, line) of a text list: numbers from 1, no ASCII white space around a line, blank lines left out.

    A byte order mark, as editors on Windows write, is not part of the first line.

    Raises:
        UserError: the file is missing, unreadable or not text; `hint` says what to do.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                line = line.strip(" \t\r\n\f\v")  # a wide space may be part of a name
                if "\0" in line:
                    raise UserError(f"{path} is not a text list (line {number} has a zero byte); {hint}")
                if line:
                    yield number, line
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text list ({error.reason}); {hint}") from error


def csv_fields(line: str, path: str | os.PathLike[str], number: int) -> list[str]:
    """The fields of line `number` of a .csv file, without white space around them.

    Raises:
        UserError: the line cannot be one; the file is named.
    """
    try:
        return [field.strip() for field in next(csv.reader([line]))]
    except csv.Error as error:
        raise UserError(f"{path} line {number} is no line of a .csv ({error}); correct it") from None


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

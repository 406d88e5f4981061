"""The folder of a run, and who may write to it: one training at a time. Evaluations beside it need no leave."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from .. import recipe
from ..errors import UserError
from ..files import cannot_write, read_json, remove_leftovers, write_json
from ..run_layout import partial_folders

if TYPE_CHECKING:  # it needs MXNet, which whoever looks for a folder may not have
    from ..parallel.processes import Processes

LOCK = "training.lock"
MUST, AUTO = "must", "auto"  # there must be a run to resume; or a new one is made where there is none
_NEWS = 15.0  # seconds that a network file system may take to show what another host has written


def run_to_resume(root: Path, name: str) -> Path:
    """Folder of the last run of a name.

    Raises:
        UserError: there is none.
    """
    number = _last(root, name)
    if number == 0:
        raise UserError(f"no run {root / name} to resume; run without RESUME (--resume) to start it")
    return _numbered(root, name, number)


def last_run(name: str) -> Path:
    """Folder of the last run of a recipe.

    Raises:
        UserError: there is no such recipe, or no run of it.
    """
    values = recipe.resolve(name)
    root, number = Path(values.run.folder), _last(Path(values.run.folder), values.run.name)
    if not number:
        raise UserError(f"no run {root / values.run.name} of recipe {name}; train it first, or name another model")
    return _numbered(root, values.run.name, number)


@contextmanager
def owned_run(root: Path, name: str, resume: str | None, processes: Processes) -> Iterator[Path]:
    """The folder of a run; within it, no other training can write there.

    What killed writers left there is removed. A new folder in which nothing was written is removed in the end.

    Args:
        root, name: folder of the runs, and what they are called: name, then name-2, name-3 …
        resume: None makes the next one's folder; MUST takes the last one's, and AUTO does where there is one.
        processes: those that train together.

    Raises:
        UserError: there is no run to resume, another training is writing to it (named), or it is not on a file system
            that all processes share.
    """
    number, failure, token = 0, None, ""
    if processes.rank == 0:
        try:
            number, token = _take(root, name, resume)
        except UserError as error:
            failure = error
    processes.must_succeed(failure, "run folder")
    number = processes.any(number)
    folder = _numbered(root, name, number)
    try:
        _must_be_shared(folder, token, processes)
        yield folder
    finally:
        if processes.rank == 0:
            with suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()  # which fails unless it is empty


def _must_be_shared(folder, token, processes):
    """Every process must read in the folder what process 0 has written there just now."""
    if processes.size == 1:
        return
    token = processes.texts(token, "token")[0]
    until = time.monotonic() + _NEWS
    while not (seen := _token(folder) == token) and time.monotonic() < until:
        time.sleep(0.1)
        with suppress(OSError):
            os.listdir(folder.parent)  # network file systems look again, then
    blind = [rank for rank, one in enumerate(processes.texts(str(seen), "shared")) if one != "True"]
    if blind:
        raise UserError(
            f"{processes.named(blind)} cannot see in {folder.resolve()} what process 0 on {processes.hosts[0]} writes "
            "there; put run.folder on a file system that all hosts share, under the same path on each"
        )


def _token(folder):
    with suppress(UserError, TypeError, AttributeError):
        return read_json(folder / LOCK).get("token")
    return None


def _take(root, name, resume):
    """(number, token) of the run whose folder is now ours."""
    number = _last(root, name)
    if resume == MUST or (resume == AUTO and number):
        folder = run_to_resume(root, name)
    else:
        folder, number = _make_next(root, name, number + 1)
    token = _lock(folder)
    remove_leftovers(folder)
    for path in partial_folders(folder):
        shutil.rmtree(path, ignore_errors=True)
    return number, token


def _make_next(root, name, number):
    """Make the folder of the first free number; a run that starts at the same moment gets another."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError):
                folder = _numbered(root, name, number)
                folder.mkdir()
                return folder, number
            number += 1
    except OSError as error:
        raise cannot_write(root / name, error) from error


def _last(root, name):
    pattern = re.compile(re.escape(name) + r"(?:-(\d+))?$")
    return max((int(m.group(1) or 1) for p in root.glob("*") if p.is_dir() and (m := pattern.match(p.name))), default=0)


def _numbered(root, name, number):
    return root / (name if number == 1 else f"{name}-{number}")


def _lock(folder):
    """Write the lock of this process, or refuse where another holds it; gives what is in this lock alone."""
    path = folder / LOCK
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with suppress(OSError):  # a file system without locks: two that start in the same millisecond are not told
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            _refuse_live(path)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        owner = {"host": socket.gethostname(), "boot": _boot(), **_process(os.getpid()), "since": since}
        write_json(path, {**owner, "token": (token := secrets.token_hex(8))})
        return token
    finally:
        os.close(descriptor)


def _refuse_live(path):
    try:
        owner = read_json(path)
        where = f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        here = owner["host"] == socket.gethostname()
        stale = here and (owner["boot"] != _boot() or _process(owner["pid"]) != {k: owner[k] for k in ("pid", "start")})
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read; delete it if no training runs in {path.parent}") from error
    if stale:
        return
    cure = "" if here else f" If that machine has failed, delete {path}."
    raise UserError(
        f"another training is writing to {path.parent}: {where}. Wait for it or stop it, or start a new run: leave out "
        f"--resume (RESUME).{cure}"
    )


def _boot():
    """What tells one start of this machine from another; None where nothing does."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _process(pid):
    """{"pid", "start"} of a process, the pid None where it has ended; start: in ticks after the machine's own."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
        return {"pid": None if fields[0] in "ZX" else pid, "start": int(fields[19])}
    except OSError:
        pass
    try:  # no such process, or a system without /proc
        os.kill(pid, 0)
    except PermissionError:
        pass
    except OSError:
        return {"pid": None, "start": None}
    return {"pid": pid, "start": None}

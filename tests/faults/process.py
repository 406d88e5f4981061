"""A command in a process of its own, which is killed before a chosen file operation, or may write only so much.

The processes are forked from one that has imported MXNet and computed nothing: a start takes milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["arcface_gluon", "mxnet", "cv2", "matplotlib.pyplot", "arcface_gluon.cli.train", "arcface_gluon.cli.evaluation"]
    + ["arcface_gluon.training.trainer", "arcface_gluon.report.results", "arcface_gluon.embed", "process"]
)
# What Python tells an audit hook of operations on files.
_OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock")


@dataclass(frozen=True)
class Done:
    """Exit status (negative: the signal that killed it), what it printed, and how many file operations there were."""

    status: int
    output: str
    operations: int


def run(command, folder, kill_at=None, delay=0.0, file_limit=None, timeout=120) -> Done:
    """Run a command in `folder`.

    Args:
        command: what `arcface-gluon` is given.
        kill_at: number of the file operation below `folder` (from 1) before which it is killed; None: never.
        delay: seconds by which the kill is later.
        file_limit: largest size of a file in bytes; what goes beyond fails like on a full disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    process = SERVER.Process(target=_work, args=(list(map(str, command)), folder, log, kill_at, delay, file_limit))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{command} still runs after {timeout} s: {log.read_text()}")
    count, status, operations = log.with_suffix(".count"), process.exitcode, 0
    if count.exists():
        status, operations = map(int, count.read_text().split())
    elif status == 255:  # the fork server lost the status of a process that did not come to its end
        status = -signal.SIGKILL
    return Done(status, log.read_text(errors="replace"), operations)


def _work(command, folder, log, kill_at, delay, file_limit):
    os.chdir(folder)
    log.with_suffix(".count").unlink(missing_ok=True)
    with open(log, "w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if file_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    random.seed(0)
    count = _watch(str(folder), kill_at, delay)
    status = _main(command)
    sys.stdout.flush()
    sys.stderr.flush()
    counted = count[0]  # what follows is not the command's
    log.with_suffix(".count").write_text(f"{status} {counted}")
    os._exit(status)


def _main(command):
    from arcface_gluon.cli import main

    try:
        return main(command)
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1


def _watch(folder, kill_at, delay):
    """Count the operations that change files below `folder`; at number `kill_at`, kill this process."""
    count, lock = [0], threading.Lock()

    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            if not isinstance(path, (str, bytes)) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _OPERATIONS:
            path = arguments[0]
        else:
            return
        if not isinstance(path, int) and not os.path.abspath(os.fsdecode(path)).startswith(folder):
            return
        with lock:
            count[0] += 1
            if count[0] != kill_at:
                return
        if delay:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count

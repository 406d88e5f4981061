"""Starts the processes of a run through horovodrun, passes signals on to them, and says how they ended.

horovodrun 0.28 freezes its processes as soon as it gets a signal, or one of them ends, and kills them 5 s later. So it
gets no signal here: the processes on this host do, tell the others, save and end. It is ended itself only where they do
not within the grace.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Sequence

from ..errors import GO_ON, UserError
from .interface import address_towards, interface_of

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_LINE = re.compile(r"\[(\d+)\]<(?:stdout|stderr)>:(.*)", re.DOTALL)
_ENDED = re.compile(r"Process (\d+) exit with status code (\d+)")
_HOROVODRUN = "import arcface_gluon; from horovod.runner.launch import run_commandline; run_commandline()"
_ONE = 0.5  # seconds within which signals are one
# Statuses of a process that was lost, not one that refused: gone on with, killed, crashed, its ssh broken.
LOST = {GO_ON, 128 + signal.SIGKILL, 128 + signal.SIGABRT, 128 + signal.SIGSEGV, 128 + signal.SIGBUS, 255}


@dataclass
class Ending:
    """How a run ended.

    Attributes:
        status: exit status of the first process that failed, or 0.
        rank: its number, or None.
        signalled: whether the launcher was told to stop.
        said: what horovodrun said itself, where no process failed.
    """

    status: int = 0
    rank: int | None = None
    signalled: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        """Whether a process was lost, so that it is worth a restart."""
        return self.status in LOST and not self.signalled


def parse_hosts(text: str) -> list[tuple[str, int]]:
    """[(name, processes)] of "host1:4,host2:4"; a name alone is one process.

    Raises:
        UserError: it is written otherwise, or a host is named twice.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([^\s:,]+)(?::([1-9]\d{0,3}))?\s*", part)
        if not match:
            raise UserError(f"--hosts={text}: {part!r} is not host:processes; write host1:4,host2:4")
        found.append((match.group(1), int(match.group(2) or 1)))
    if len({name for name, _ in found}) < len(found):
        raise UserError(f"--hosts={text} names a host twice; give its processes in one, as host1:4")
    return found


def is_here(host: str) -> bool:
    """Whether a host is this machine.

    Raises:
        UserError: nobody knows its address.
    """
    try:
        address = socket.gethostbyname(host)
    except OSError as error:
        raise UserError(
            f"--hosts: {host} has no address ({error.strerror}); give its name in DNS, or its IP"
        ) from error
    return address.startswith("127.") or address_towards(address) == address


def reachable(hosts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those hosts that are this one, or that ssh gets to within 10 seconds without a password."""
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=10"]
    return [
        (host, count)
        for host, count in hosts
        if is_here(host) or subprocess.run([*ssh, host, "true"], capture_output=True, timeout=60).returncode == 0
    ]


def horovodrun(
    processes: int, hosts: Sequence[tuple[str, int]], logs: Path | None, command: Sequence[str]
) -> list[str]:
    """The words that start a command on the first `processes` places of the hosts (none: this one)."""
    words = [sys.executable, "-c", _HOROVODRUN, "-np", str(processes), "--gloo"]
    if hosts:
        words += ["-H", ",".join(f"{host}:{count}" for host, count in hosts)]
        others = [socket.gethostbyname(host) for host, _ in hosts if not is_here(host)]
        # Found by horovodrun itself only where all hosts name it alike; each process takes its own then.
        towards = address_towards(others[0]) if others else None
        if towards and (interface := interface_of(towards)):
            words += ["--network-interfaces", interface]
    if logs:
        words += ["--output-filename", str(logs)]
    return [*words, *command]


def launch(words: Sequence[str], grace: float) -> Ending:
    """Run horovodrun to its end.

    The lines of process 0 are printed as they are, those of others with their number. The first signal goes to the
    processes on this host; after `grace` seconds, or at a second one, horovodrun ends them all.

    Args:
        words: of `horovodrun`.
    """
    ending, received = Ending(), []

    def handle(number, frame):
        now = time.monotonic()
        if not received or now - received[-1][1] > _ONE:
            received.append((number, now))

    previous = {number: signal.signal(number, handle) for number in _SIGNALS}
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True, errors="replace"
    )
    readers = [
        threading.Thread(target=_pass_on, args=(source, target, ending))
        for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    ]
    try:
        for reader in readers:
            reader.start()
        passed = ended = False
        while process.poll() is None:
            time.sleep(0.1)
            if received and not passed:
                passed = ending.signalled = True
                ended = not _signal_processes(process.pid, received[0][0])
                if ended:
                    process.terminate()
            if passed and not ended and (len(received) > 1 or time.monotonic() - received[0][1] > grace):
                ended = True
                process.terminate()
    finally:
        process.kill()
        for reader in readers:
            reader.join()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if not ending.status and process.returncode:
        ending.status = 128 + received[0][0] if received else 1
    return ending


def _pass_on(source: IO[str], target: IO[str], ending: Ending) -> None:
    for line in source:
        if match := _LINE.fullmatch(line):
            rank, rest = int(match.group(1)), match.group(2)
            target.write(rest if rank == 0 else f"[{rank}] {rest}")
            target.flush()
        elif match := _ENDED.match(line):
            # Those that horovodrun ends for the first one's sake come after it.
            if ending.rank is None:
                ending.rank, ending.status = int(match.group(1)), int(match.group(2))
        elif line.strip():
            ending.said.append(line.strip())


def _signal_processes(launcher, number):
    """Pass a signal on to the processes of the run that are on this host; whether there are any."""
    import psutil  # which Horovod needs

    found = False
    todo = psutil.Process(launcher).children()
    while todo:
        child = todo.pop()
        try:
            if "HOROVOD_RANK" in child.environ():
                child.send_signal(number)
                found = True
            else:
                todo += child.children()
        except psutil.Error:
            continue
    return found


def installed() -> bool:
    """Whether horovodrun is there, in this environment."""
    return (Path(sys.executable).parent / "horovodrun").exists() or shutil.which("horovodrun") is not None

"""`arcface-gluon train … --np P`: the same command as several processes, started again where one of them is lost."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Sequence

from easydict import EasyDict

from ..errors import GO_ON, UserError
from ..parallel.launcher import Ending, horovodrun, installed, launch, parse_hosts, reachable
from ..progress import write_line
from ..run_layout import checkpoint_folders, last_good
from ..training.run_folder import AUTO, LOCK, MUST, run_to_resume
from .options import overrides

# How others tell a process how many they have started, and its number. In the shell of an allocation there is neither.
_LAUNCHERS = (
    ("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpiexec", "PMI_SIZE", "PMI_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("torchrun", "WORLD_SIZE", "LOCAL_RANK"),
)
_RESUME = {MUST: "--resume", AUTO: "--auto-resume"}
SAVED = {GO_ON, 128 + signal.SIGINT, 128 + signal.SIGTERM}  # statuses of a process that a signal has ended


def add_hosts_options(parser: ArgumentParser) -> None:
    """--np and --hosts."""
    parser.add_argument("--np", type=int, metavar="P", help="as P processes (needs make setup HOROVOD=1)")
    parser.add_argument("--hosts", metavar="H", help="where: host1:4,host2:4, this one among them (default: here)")


def add_launch_options(parser: ArgumentParser) -> None:
    """--np, --hosts, --restarts, --grace and --logs."""
    add_hosts_options(parser)
    parser.add_argument(
        "--restarts", type=int, default=0, metavar="N", help="go on up to N times with the hosts left after a loss"
    )
    parser.add_argument(
        "--grace", type=float, default=300.0, metavar="S", help="seconds to save in after a signal (default 300)"
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="a folder to write each process's output to")


def run_processes(args: Namespace, place: EasyDict) -> int:
    """Start the processes and wait for them; gives the exit status.

    Args:
        args: of `train`.
        place: the `run` group of its recipe.

    Raises:
        UserError: options that do not go together, or Horovod is missing.
    """
    if args.restarts < 0 or not args.grace > 0:
        raise UserError("--restarts must not be negative, --grace above 0")
    hosts = checked_hosts(args)
    resume, processes = args.resume, args.np
    earlier = None if resume else _last_run(place)  # another training's, which is left alone
    for restart in range(args.restarts + 1):
        began = time.monotonic()
        logs = args.logs / f"restart-{restart}" if args.logs and restart else args.logs  # those of the loss stay
        ending = launch(horovodrun(processes, hosts, logs, _command(args, resume)), args.grace)
        if not ending.status:
            return 0
        folder = _last_run(place)
        folder = None if folder == earlier else folder
        if ending.signalled and ending.status in SAVED:
            return ending.status  # the processes have said it themselves
        write_line(f"arcface-gluon: {_account(ending, hosts, time.monotonic() - began, folder)}")
        if not ending.lost or restart == args.restarts:
            break
        if hosts:
            hosts = reachable(hosts)
            processes = min(processes, sum(count for _, count in hosts))
        if not processes:
            write_line("arcface-gluon: no host is left")
            break
        if folder:
            resume = AUTO
            (folder / LOCK).unlink(missing_ok=True)  # of the training that has just ended
        where = f" on {', '.join(host for host, _ in hosts)}" if hosts else ""
        write_line(f"restart {restart + 1} of {args.restarts}: {processes} processes{where}")
    return GO_ON if ending.lost else ending.status


def several(args: Namespace) -> bool:
    """Whether --np asks for processes to be started.

    Raises:
        UserError: --hosts without it, or this is one of several that another launcher has started.
    """
    _refuse_strangers()
    if args.hosts and args.np is None:
        raise UserError(f"--hosts={args.hosts} says where processes are started; say how many with --np")
    return args.np is not None


def _refuse_strangers():
    """Refuse to be one of several processes that know nothing of each other: each would do the whole work."""
    if "HOROVOD_RANK" in os.environ:
        return
    for launcher, count, rank in _LAUNCHERS:
        size = os.environ.get(count, "")
        if size.isdecimal() and int(size) > 1 and rank in os.environ:
            raise UserError(
                f"{launcher} started {size} processes, each of which would do all of the work by itself; start one, "
                f"with --np {size} (NP={size}), or unset {count} where that is meant"
            )


def checked_hosts(args: Namespace) -> list[tuple[str, int]]:
    """[(host, processes)] of --hosts; none for this one alone.

    Raises:
        UserError: --np and --hosts do not go together, or Horovod is missing.
    """
    if args.np < 1:
        raise UserError("--np must be at least 1")
    hosts = parse_hosts(args.hosts) if args.hosts else []
    if hosts and sum(count for _, count in hosts) < args.np:
        raise UserError(f"--hosts={args.hosts} has fewer places than --np={args.np}")
    if not installed():
        raise UserError("--np needs Horovod; run: make setup HOROVOD=1")
    return hosts


def _command(args, resume):
    """The words of one process."""
    options = [*([_RESUME[resume]] if resume else []), *(["--quiet"] if args.quiet else [])]
    options += ["--json", args.json] if args.json else []
    return [sys.executable, "-m", "arcface_gluon", "train", args.recipe, *overrides(args), *options]


def _last_run(place: EasyDict) -> Path | None:
    """The folder of the recipe's last run, if there is one."""
    try:
        return run_to_resume(Path(place.folder), place.name)
    except UserError:
        return None


def _account(ending: Ending, hosts, seconds, folder):
    """One line: who ended, how, after how long, and where to go on."""
    resumable = folder is not None and checkpoint_folders(folder)
    last = f"{last_good(folder)}; --resume goes on" if resumable else "there is no checkpoint"
    told = who_ended(ending, hosts, seconds)
    return told if ending.rank is None else f"{told}; {last}"


def who_ended(ending: Ending, hosts: Sequence[tuple[str, int]], seconds: float) -> str:
    """Which process ended, how, and after how long; or what horovodrun said."""
    if ending.rank is None:
        said = next(
            (line for line in reversed(ending.said) if not line.startswith("warnings.warn")), "nothing was said"
        )
        return f"horovodrun ended with status {ending.status}: {said}"
    places = [host for host, count in hosts for _ in range(count)]
    who = f"process {ending.rank} on {places[ending.rank] if places else socket.gethostname()}"
    if ending.status > 128 and ending.status - 128 in set(signal.Signals):
        name = signal.Signals(ending.status - 128).name
        late = ", before it had saved" if ending.signalled else ""
        return f"{who} was ended by {name}{late} after {seconds:.0f} s"
    return f"{who} ended with status {ending.status} after {seconds:.0f} s"

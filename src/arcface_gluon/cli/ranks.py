"""Commands that embed as several processes: the first runs the command, the others embed with it what it asks for."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

from ..errors import GO_ON, UserError
from ..parallel.failures import drain_failures, transfer_failed
from ..parallel.launcher import horovodrun, launch
from .launch import add_hosts_options, checked_hosts, several, who_ended
from .options import model_path, open_model

if TYPE_CHECKING:
    import mxnet as mx

    from ..data.images.sources import Images
    from ..models.folded import EvaluationNetwork
    from ..parallel.processes import Processes

_GRACE = 60.0  # seconds to keep what is embedded, after a signal
# What a description of images is made of.
_CLASSES = {
    "arcface_gluon.data.images.sources": {"EncodedImages", "ImageFiles", "RecordImages", "UnalignedFiles"},
    "builtins": {"range"},
    "pathlib": {"PosixPath"},
    **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), {"_reconstruct", "scalar"}),
    "numpy": {"dtype", "ndarray"},
}


def run(command: Sequence[str], work: Callable[[], int | None]) -> int | None:
    """`work`, or the same command as the processes of its --np; gives the exit status.

    Args:
        command: the words of the command.
        work: what the command does in one process.

    Raises:
        UserError: --np and --hosts do not go together, or Horovod is missing.
        LostProcess: another process has ended, or no longer answers.
    """
    if "HOROVOD_RANK" in os.environ:
        return _take_part(work)
    parser = ArgumentParser(allow_abbrev=False, add_help=False)
    add_hosts_options(parser)
    options = parser.parse_known_args(command)[0]
    return _start(command, options) if several(options) else work()


def _start(command, options):
    """Run a command as several processes; gives the exit status."""
    hosts, began = checked_hosts(options), time.monotonic()
    words = [sys.executable, "-m", "arcface_gluon", *command]
    ending = launch(horovodrun(options.np, hosts, None, words), _GRACE)
    if ending.lost or ending.rank is None and ending.status:
        told = who_ended(ending, hosts, time.monotonic() - began)
        print(f"arcface-gluon: {told}; the same command goes on from what is embedded", file=sys.stderr)
    return GO_ON if ending.lost else ending.status


def _take_part(work):
    """What one of the processes does: the first `work`, the others embed with it until it ends."""
    from ..parallel.processes import LostProcess

    processes = _joined()
    try:
        return work() if processes.rank == 0 else _serve(processes)
    except Exception as error:
        if not transfer_failed(error):
            raise
        if processes.rank:  # the first has ended, or ends now: its status counts
            drain_failures()
            return 0
        raise LostProcess(f"{processes.lost()}; the same command goes on from what is embedded") from error


def share(net: EvaluationNetwork, args: Namespace) -> None:
    """Let the other processes, where there are any, embed with a network.

    Args:
        net: what `open_model` gave.
        args: the options that it was opened by.
    """
    if "HOROVOD_RANK" not in os.environ:
        return
    from ..parallel.team import Team

    processes = _joined()
    model = {"model": str(model_path(args)), "contexts": args.contexts, "dtype": net.precision}
    model.update(mean=args.mean, std=args.std, bgr=args.bgr)

    def announce(images: Images, *options: object) -> None:
        processes.texts(json.dumps([model, options]), "request")
        processes.parts(np.frombuffer(pickle.dumps(images, protocol=4), np.uint8), "images")
        processes.must_succeed(None, "request")

    if processes.rank == 0:
        net.team = Team(processes, announce=announce)


def open_checkpoint(path: str | os.PathLike[str], contexts: Any = None) -> tuple[EvaluationNetwork, list[mx.Context]]:
    """(network ready for evaluation, devices) of a checkpoint of this project's own, shared.

    Args:
        contexts: as `runtime.contexts` takes them.

    Raises:
        UserError: no such checkpoint or device.
    """
    plain = {"contexts": contexts, "dtype": "float32", "mean": None, "std": None, "bgr": False}
    args = Namespace(model=str(path), recipe=None, **plain)
    net, devices = open_model(args)
    share(net, args)
    return net, devices


@lru_cache(maxsize=None)
def _joined() -> Processes:
    from ..runtime import import_mxnet

    import_mxnet()
    from ..parallel.processes import join

    return join()


def _serve(processes):
    """Embed what the first process asks for, until it ends: then the next exchange fails."""
    from ..embed_batches import embed_in_batches
    from ..parallel.team import Team

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the first one's to obey
    opened: dict[str, EvaluationNetwork] = {}
    while True:
        model, options = json.loads(processes.texts("", "request")[0])
        encoded = processes.parts(np.zeros(0, np.uint8), "images")[0]
        images, failure, key = _Images(io.BytesIO(encoded.tobytes())).load(), None, json.dumps(model)
        try:
            if key not in opened:
                with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
                    opened[key] = open_model(Namespace(**model))[0]
                opened[key].team = Team(processes)
        except UserError as error:
            failure = error
        with contextlib.suppress(UserError):  # which the first raises too, and tells
            processes.must_succeed(failure, "request")
            batch_size, flip, size, first, skip = options
            for _ in embed_in_batches(opened[key], images, None, batch_size, flip, tuple(size), first, skip):
                pass


class _Images(pickle.Unpickler):
    """Reads a description of images, and no other object."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _CLASSES.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} is no description of images")
        return super().find_class(module, name)

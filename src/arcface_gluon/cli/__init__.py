"""The command line: the only place that wires the layers together."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from typing import Callable, Iterable, NoReturn, Sequence

from .. import __version__
from ..errors import UserError, did_you_mean
from ..runtime import out_of_memory
from ..training.interrupt import Interrupted

# command → one line; each is a module of this package with add_arguments(parser) and run(args).
__all__ = ["COMMANDS", "entry", "main", "run_safely"]

COMMANDS = {
    "train": "train a recipe, evaluate it and write its report",
    "align": "faces found in photographs, turned and cropped as the networks take them",
    "embed": "embeddings of a folder, a list, a .rec or a .bin of images",
    "from-photos": "photographs of people to a trained, verified model: align, pack, split, train, verify",
    "compare": "how alike the faces of two photographs are, and a verdict at a measured threshold",
    "enroll": "the faces of known people as one file, a gallery",
    "identify": "who is in a photograph, of the people of a gallery, or unknown",
    "search": "the most alike faces of a gallery or of embeddings",
    "cluster": "which faces are of one person, where nobody says who",
    "demo": "a web page on this machine that compares and identifies faces, and a JSON service",
    "threshold": "thresholds of a model for chosen false accept rates, with confidence intervals",
    "verify": "10-fold verification of a model on .bin sets (LFW, CFP-FP, AgeDB-30 …)",
    "export": "a model for other tools: ONNX, MXNet, PyTorch, NumPy; compared on real faces",
    "overlap": "training identities that are in a test set too, and the training set without them",
    "eval": "the evaluations of the paper's tables: verification, megaface, ijb, ytf …",
    "data": "prepare data sets: orl, synthetic, and the .bin of lfw, cfp, agedb, calfw, cplfw",
    "pack": "a training set (train.rec) of a folder or a list of aligned images",
    "pack-pairs": "a verification set (.bin) of own pairs, or of pairs drawn from a folder or a train.rec",
    "unpack": "images of a .bin set pair by pair, or of a train.rec by identity, to look at",
    "inspect": "what a training or verification set holds, what is wrong with it, and a sheet of its pictures",
    "merge": "several training sets as one",
    "split": "a training set without some of its people, and those for verification",
    "shuffle": "a training set in random order",
    "clean": "mislabelled and duplicate images of a training set, and the set without them",
    "plan": "memory, traffic and time of a training step on machines that are not at hand",
    "report": "write a run's report.html again",
    "figures": "draw the paper's figures",
    "tables": "the paper's tables with what is measured under runs/, and what is missing",
    "bench": "measure speed and memory beside their floors",
    "recipes": "list the recipes",
    "losses": "list the losses with equation and source",
    "completion": "completion of commands and options for bash, zsh or tcsh",
    "doctor": "say what is installed, which devices there are, and what is wrong",
}

_IN_PROCESSES = ("embed", "verify", "eval")  # where --np is given; `train` starts its own


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status.

    0; 2 for bad input (one line on stderr); 130 or 143 when interrupted; 75 when a training is to be gone on with.
    """
    _prepare_stdout()
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser(argv[:1])
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        parser.error(f"unknown command {argv[0]!r}{did_you_mean(argv[0], COMMANDS)}")
    args, rest = parser.parse_known_args(argv)
    if hasattr(args, "arguments"):  # of a module that has its own options
        args.arguments, rest = [*rest, *args.arguments], []
    unknown = [word for word in rest if word.startswith("-") or not hasattr(args, "overrides")]
    if unknown:
        command, option = args.parser, next((w for w in unknown if w.startswith("-")), None)
        if option is None:
            command.error(f"unexpected argument {unknown[0]!r}")
        command.error(f"unknown option {option!r}{did_you_mean(option, command._option_string_actions)}")
    if rest:  # argparse takes overrides before the options only
        args.overrides = [*args.overrides, *rest]
    if argv[0] in _IN_PROCESSES:
        from . import ranks

        return run_safely(lambda: ranks.run(argv, lambda: args.work(args)))
    return run_safely(lambda: args.work(args))


def entry() -> NoReturn:
    """The program: `main`, and the end of the process.

    After an interrupt, what MXNet has queued is not waited for: all that is to be kept is on disk by then, and a batch
    of a large network takes seconds. Several processes end the usual way, which tells the others.
    """
    _open_closed_streams()
    status = main()
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM) and "horovod" not in sys.modules:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def build_parser(names: Iterable[str]) -> argparse.ArgumentParser:
    """The parser of the command line, with the arguments of these commands only: others may need MXNet."""
    parser = argparse.ArgumentParser(prog="arcface-gluon", description="ArcFace on MXNet/Gluon")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        layout = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=line, description=line, formatter_class=layout)
        if name in names:
            module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
            module.add_arguments(command)
            command.epilog = f"{command.epilog or ''}\n\nexample:\n  {module.EXAMPLE}".lstrip()
            command.set_defaults(work=module.run, parser=command)
    return parser


def run_safely(work: Callable[[], int | None]) -> int:
    """Call `work`; gives the exit status, its own or that of what went wrong, told in one line. For scripts too."""
    _prepare_stdout()
    try:
        return work() or 0
    except UserError as error:
        return _fail(error, error.status)
    except Interrupted as stop:
        return _fail(stop, stop.status)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader (head, less) has closed; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and not error.strerror:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}; nothing that was written before is lost", 2)
    except Exception as error:
        line = _known(error)
        if line is None:
            raise
        return _fail(line, 2)


def _open_closed_streams():
    """Put /dev/null where the caller has closed stdin, stdout or stderr: else the next file opened takes its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _prepare_stdout():
    """In a log file too, a line is there once it is printed; what a terminal's encoding lacks becomes a ?."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True, errors="replace")


_LOOP = "Symlink loop from "


def _known(error):
    """One line for failures that are the machine's, or None for those that are ours and deserve a traceback."""
    if out_of_memory(error):
        return (
            "this machine, or a device, is out of memory; lower --batch-size. In a training, train.accumulate, "
            "head.block_rows and head.sample_rate help; `arcface-gluon plan` says how much"
        )
    # What Path.resolve raises before Python 3.13.
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):
        return f"{str(error)[len(_LOOP) :]} is a link that leads back to itself; name another file or folder"
    return None


def _fail(message, status):
    print(f"arcface-gluon: {message}", file=sys.stderr)
    return status

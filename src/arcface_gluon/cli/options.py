"""Options that several commands share: which model, on which devices."""

from __future__ import annotations

import os
import sys
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace, _MutuallyExclusiveGroup
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import recipe
from ..blas import allow_amx
from ..errors import UserError
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet
from ..training.run_folder import last_run

if TYPE_CHECKING:
    import mxnet as mx

    from ..models.folded import EvaluationNetwork
    from ..models.normalisation import Normalisation


class Several(Action):
    """An action of argparse: each value is one path or, where nothing has that name, several separated by spaces.

    make hands over `BIN='a.bin b.bin'` as one value, and a name may have spaces itself.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        given = getattr(namespace, self.dest)
        kind: Any = self.type or str
        values = values if isinstance(values, list) else [values]
        parts = [part for value in values for part in ([value] if Path(value).exists() else str(value).split())]
        setattr(namespace, self.dest, [*(given or []), *map(kind, parts)])


def add_overrides(parser: ArgumentParser) -> None:
    """Values of the recipe, as name=value or all in one text; `overrides` gives them."""
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="name=value", help="such as train.batch_size=256 loss=cosface"
    )
    parser.add_argument("--set", default="", metavar="TEXT", help="several name=value in one text (make … SET=TEXT)")


def overrides(args: Namespace) -> list[str]:
    """What `add_overrides` was given, in order, one name=value each."""
    return [*args.overrides, *recipe.split_overrides(args.set)]


def add_model_options(parser: ArgumentParser, several: bool = False) -> _MutuallyExclusiveGroup:
    """--model (may be repeated if `several`) or --recipe, --contexts and --batch-size; gives the first two's group."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--model",
        action=Several if several else "store",
        metavar="M",
        help="a run's folder, a checkpoint, or an exported model (model-symbol.json or model,0000)"
        + several * "; may be repeated",
    )
    model.add_argument("--recipe", metavar="R", help="the last run of this recipe")
    parser.add_argument("--contexts", help="a count, or a list such as cpu(0),cpu(1); default: every GPU, else cpu(0)")
    parser.add_argument(
        "--batch-size", type=count, help="images a step, over all devices (default: 32 a CPU, 128 a GPU)"
    )
    add_normalisation_options(parser)
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "auto"],
        default="float32",
        help="of the network's products (default: float32); bfloat16 is several times faster and needs a CPU with AMX; "
        "auto: bfloat16 in embed where it is faster, float32 for what is measured beside the paper",
    )
    return model


def add_normalisation_options(parser: ArgumentParser) -> None:
    """--mean, --std and --bgr; `normalisation_of` gives them."""
    group = parser.add_argument_group("models of other tools (-symbol.json) that do not normalise by themselves")
    group.add_argument(
        "--mean",
        type=_numbers,
        metavar="M",
        help="what is taken off RGB 0..255, such as 127.5, or one a channel: 1,2,3",
    )
    group.add_argument("--std", type=_numbers, metavar="S", help="what that is divided by, such as 128")
    group.add_argument("--bgr", action="store_true", help="the network takes blue, green, red; --mean and --std too")


def normalisation_of(args: Namespace) -> Normalisation | None:
    """The models.Normalisation of --mean, --std and --bgr; None without them. MXNet must be imported before."""
    if args.mean is None and args.std is None and not args.bgr:
        return None
    from ..models.normalisation import Normalisation

    return Normalisation(args.mean or (0.0,), args.std or (1.0,), args.bgr)


def add_flip_option(parser: ArgumentParser, default: bool | None, usual: str) -> None:
    """--flip and --no-flip; `usual` says in the help what is done without either."""
    flip = parser.add_mutually_exclusive_group()
    flip.add_argument(
        "--flip", dest="flip", action="store_true", default=default, help=f"add the mirror image (default: {usual})"
    )
    flip.add_argument("--no-flip", dest="flip", action="store_false", help="the image alone, a single crop")


def add_first_label_option(parser: ArgumentParser) -> None:
    """--first-label, what data.first_label is in a recipe."""
    parser.add_argument(
        "--first-label",
        type=_number,
        default=0,
        metavar="N",
        help="label of the first identity of a train.rec, as the recipe's data.first_label (default 0)",
    )


def add_processes_option(parser: ArgumentParser) -> None:
    """--processes, one a core by default."""
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=count, default=cores, metavar="N", help="side by side (one a core)")


def add_seed_option(parser: ArgumentParser) -> None:
    """--seed, 0 by default."""
    parser.add_argument(
        "--seed", type=_number, default=0, metavar="N", help="of the choice; the same, the same files (0)"
    )


def add_pair_options(parser: ArgumentParser) -> None:
    """--genuine, --impostor, --folds and --seed, of pairs that are drawn."""
    usual = "a multiple of the folds (default: as many as of the other kind, up to 3000)"
    parser.add_argument("--genuine", type=count, metavar="N", help=f"pairs of one person, {usual}")
    parser.add_argument("--impostor", type=count, metavar="N", help=f"pairs of two people, {usual}")
    parser.add_argument(
        "--folds", type=count, metavar="N", help="that share nobody (10, as is usual, or as many as there are people)"
    )
    add_seed_option(parser)


def add_rewriting_options(parser: ArgumentParser, skip_help: str) -> None:
    """--skip-missing and --force, of commands that write a training set."""
    parser.add_argument("--skip-missing", action="store_true", help=skip_help)
    parser.add_argument("--force", action="store_true", help="replace a set that is there")


def model_path(args: Namespace) -> Path:
    """Where the model lies: what --model says, or the last run of --recipe."""
    if args.model:
        prefix, _, epoch = args.model.rpartition(",")  # model,0 for model-0000.params, as MXNet's tools have it
        if prefix and epoch.isdecimal() and not Path(args.model).exists():
            return Path(f"{prefix}-{int(epoch):04d}.params")
        return Path(args.model)
    return last_run(args.recipe)


def open_model(args: Namespace, auto: str = "float32") -> tuple[EvaluationNetwork, list[mx.Context]]:
    """(network ready for evaluation, devices) of the options of `add_model_options`; prints what there is to
    say of the model's files.

    Args:
        args: the options.
        auto: what --dtype auto takes where the processor has AMX.

    Raises:
        UserError: no such model or device, or no bfloat16 here.
    """
    import_mxnet()
    from .. import load_model
    from ..models.folded import evaluation_network

    devices = devices_of(args.contexts)
    precision = auto if args.dtype == "auto" else args.dtype
    # Asked before the first operator, which settles what oneDNN uses.
    low = precision == "bfloat16" and allow_amx() and all(device.device_type == "cpu" for device in devices)
    net = load_model(model_path(args), devices, normalisation_of(args))
    print_notes(net)
    if args.dtype == "auto":
        return automatic_network(net, devices) if low else evaluation_network(net, devices), devices
    return evaluation_network(net, devices, precision), devices


def automatic_network(net: mx.gluon.Block, devices: list[mx.Context]) -> EvaluationNetwork:
    """The network in bfloat16, or in float32 where that is no slower or not the same; prints which of the two it is."""
    from ..models.folded import evaluation_network
    from ..models.precision import why_float32

    reason = why_float32(net, training=False)
    if reason is None:
        try:
            return evaluation_network(net, devices, "bfloat16")
        except UserError as error:
            reason = str(error)
    print(f"note: --dtype auto is float32: {reason}", file=sys.stderr)
    return evaluation_network(net, devices)


def print_notes(net: mx.gluon.Block) -> None:
    """Print what `load_model` has to say of a network's files."""
    for note in getattr(net, "notes", ()):
        print(f"note: {note}", file=sys.stderr)


def image_size(text: str) -> tuple:
    """(height, width) of "112" or "112x96", as a type of argparse."""
    sides = str(text).lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise ArgumentTypeError(f"{text!r} is no size in pixels, such as 112 or 112x96")
    return int(sides[0]), int(sides[-1])


def _numbers(text):
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number, nor three with commas") from None


def _number(text):
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return int(text)


def count(text: str) -> int:
    """A number above 0, as a type of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)

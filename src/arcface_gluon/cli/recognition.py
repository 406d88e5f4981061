"""Options that the commands about people share: which model, which detector, which threshold."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Sequence, TypeVar

from ..errors import UserError
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet
from .options import add_flip_option, add_normalisation_options, model_path, normalisation_of, print_notes

if TYPE_CHECKING:
    from ..protocols.thresholds import OperatingPoint
    from ..recognition.recogniser import Recogniser
    from ..recognition.thresholds import Thresholds

T = TypeVar("T")

# Weights that `eval interop` keeps there: of a mobile app, learnt from many people.
FETCHED = Path("runs/interop/MobileFaceNet.tflite")
# What is said where nothing better is there.
SMALL = (
    "the model is the ORL run, which learnt from 30 people and is wrong for one pair in ten; give --model, "
    "or fetch better weights with `arcface-gluon eval interop` (make interop)"
)


def add_recogniser_options(parser: ArgumentParser, aligned: bool = True) -> None:
    """--model or --recipe, --detector, --min-face, --aligned, --contexts, --flip; `open_recogniser` takes them."""
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        metavar="M",
        help="a run, a checkpoint, an exported model or another tool's (default: what `make interop` fetched, else the "
        "last run of the recipe orl)",
    )
    model.add_argument("--recipe", metavar="R", help="the last run of this recipe")
    parser.add_argument(
        "--detector",
        default="mtcnn",
        metavar="D",
        help="mtcnn, a folder with its weights, or FILE.onnx: YuNet, or a detector of insightface",
    )
    parser.add_argument("--min-face", type=side, default=40, metavar="N", help="smallest face, in pixels (40)")
    parser.add_argument("--contexts", help="a device or several, such as gpu(0); default: every GPU, else cpu(0)")
    if aligned:
        parser.add_argument("--aligned", action="store_true", help="the images are aligned crops: look for no faces")
    add_flip_option(parser, True, "it is added")
    add_normalisation_options(parser)


def add_threshold_options(parser: ArgumentParser) -> None:
    """--threshold and --far; `open_threshold` takes them."""
    parser.add_argument("--threshold", metavar="FILE", help="what `arcface-gluon threshold` measured with this model")
    parser.add_argument(
        "--far", type=rate, metavar="RATE", help="of its false accept rates (1e-3, or the lowest there)"
    )


def open_recogniser(args: Namespace, detects: bool = True) -> Recogniser:
    """The Recogniser of the options; prints what there is to say of the model's and the detector's weights.

    Args:
        detects: faces will be looked for in photographs, unless the options say that they are aligned.

    Raises:
        UserError: no such model, device or detector.
    """
    import_mxnet()
    from ..recognition.recogniser import Recogniser

    if not args.model and not args.recipe:
        if FETCHED.is_file():
            args.model = str(FETCHED)
        else:
            args.recipe = "orl"
            try:
                model_path(args)
            except UserError:
                raise UserError(
                    "there is no model: give --model, fetch one with `arcface-gluon eval interop` (make interop), or "
                    "train one with `arcface-gluon train orl` (make train)"
                ) from None
            print(f"warning: {SMALL}", file=sys.stderr)
    path = model_path(args)
    recogniser = Recogniser(
        str(path),
        args.detector,
        devices_of(args.contexts),
        args.flip,
        args.min_face,
        normalisation=normalisation_of(args),
    )
    print_notes(recogniser.net.net)
    if detects and not getattr(args, "aligned", False):
        _ = recogniser.detector  # what is wrong with it is told before the first photograph
        if not args.detector.endswith(".onnx"):
            from ..models.formats.mtcnn_weights import LICENCE

            print(f"note: {LICENCE}", file=sys.stderr)
    return recogniser


def open_threshold(args: Namespace, recogniser: Recogniser) -> tuple[Thresholds, OperatingPoint] | None:
    """What was measured, and the point that is taken of it; None without --threshold.

    Raises:
        UserError: it is another model's, or has no such rate.
    """
    from ..recognition.thresholds import Thresholds

    if args.threshold is None:
        if args.far is not None:
            raise UserError("--far chooses among the thresholds of a file; give it with --threshold")
        return None
    measured = Thresholds.read(args.threshold)
    measured.require(recogniser.digest, args.threshold)
    return measured, measured.at(args.far)


def describe_threshold(found: tuple[Thresholds, OperatingPoint] | None) -> str:
    """The threshold and its source, or how to get one, in a line."""
    from ..recognition.thresholds import HOW_TO

    if found is None:
        return f"no verdict: {HOW_TO}"
    measured, point = found
    return f"threshold: {point.angle:.2f}° (cosine {point.cosine:.4f}), {measured.source(point)}"


def usable(paths: Sequence[str], look: Callable[[str], T], left_out: list[str]) -> Iterator[tuple[str, T]]:
    """Yield (path, what `look` gives) of each photograph that can be used; why others cannot is told."""
    from ..recognition.recogniser import PhotographError

    for path in paths:
        try:
            found = look(path)
        except PhotographError as error:
            if len(paths) > 1:
                print(error)
            left_out.append(str(error))
        else:
            yield path, found


def refuse_left_out(left_out: Sequence[str], count: int) -> None:
    """End with status 2 where some of `count` photographs could not be used, after all the others.

    Raises:
        UserError: some could not.
    """
    if left_out and count == 1:
        raise UserError(left_out[0])
    if left_out:
        raise UserError(f"{len(left_out):,} of {count:,} photographs could not be used; the first: {left_out[0]}")


def rate(text: str) -> float:
    """A rate between 0 and 1, as a type of argparse."""
    return _between_0_and(1, text, "rate between 0 and 1, such as 1e-3")


def angle(text: str) -> float:
    """An angle in degrees, as a type of argparse."""
    return _between_0_and(180, text, "angle in degrees between 0 and 180")


def _between_0_and(limit, text, what):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < limit:
        raise ArgumentTypeError(f"{text!r} is no {what}")
    return value


def side(text: str) -> int:
    """The side of a face in pixels, as a type of argparse."""
    if not text.isdecimal() or not 12 <= int(text) <= 10_000:
        raise ArgumentTypeError(f"{text!r} is no side in pixels of at least 12")
    return int(text)

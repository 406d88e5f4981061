"""Options that the evaluations share: a model or ready features, as an `evaluation.Source`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..data.benchmarks.megaface import algorithm
from ..data.demos import is_demo
from ..errors import UserError
from ..evaluation import Extraction, Source
from ..report.mode import papers_mode
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet
from .launch import add_hosts_options
from .options import Several, add_flip_option, add_model_options, model_path, open_model
from .ranks import share


def add_source_options(parser: ArgumentParser, features_help: str, table: str, several: bool = False) -> None:
    """--model, --recipe or --features, with --ending and --name for the latter; --flip, --skip-missing, --row, --json,
    --quiet.

    Args:
        table: key of the paper's table, whose mode is the default.
        several: whether --model may be repeated, for `open_sources`.
    """
    usual = papers_mode(table).flip
    source = add_model_options(parser, several)
    add_hosts_options(parser)
    source.add_argument("--features", nargs="+", action=Several, type=Path, metavar="F", help=features_help)
    parser.add_argument("--ending", help="what the names of feature files end in, such as _r100.bin")
    parser.add_argument("--name", help="what to call the model of --features (default: from the ending or the file)")
    add_flip_option(parser, None, "as noted beside --features, else it is" + ("" if usual else " not") + " added")
    parser.set_defaults(usual_flip=usual)
    parser.add_argument("--skip-missing", action="store_true", help="leave out what is missing, counted and listed")
    parser.add_argument(
        "--row", help="row of the paper's table that the model reproduces, such as MS1MV2, R100, ArcFace"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON here too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar of the extraction")


def _extraction(args):
    return Extraction(
        args.flip,
        args.usual_flip,
        args.features,
        args.ending,
        getattr(args, "skip_missing", False),
        args.batch_size,
        args.quiet,
    )


def open_source(args: Namespace, demo: bool | None = None) -> Source:
    """The Source of the options.

    Args:
        demo: whether its results are those of a demo set, with a folder of their own; None: where --data is one.

    Raises:
        UserError: no such model, device or features.
    """
    import_mxnet()
    from ..report.results import Subject, subject_of, subject_of_features

    if args.features is None:
        net, devices = open_model(args)
        share(net, args)
        return Source(_placed(subject_of(model_path(args)), args, demo), net, devices, _extraction(args))
    first = args.features[0] if isinstance(args.features, list) else args.features
    if not first.exists():
        raise UserError(f"{first} is not there; give a folder of feature files or a .npy")
    name = args.name or (algorithm(args.ending) if first.is_dir() and args.ending else None)
    subject = Subject(first, Path("runs") / name, name) if name else subject_of_features(first)
    return Source(_placed(subject, args, demo), None, devices_of(args.contexts), _extraction(args))


def _placed(subject, args, demo):
    return subject.on_demo() if (is_demo(args.data) if demo is None else demo) else subject


def open_sources(args: Namespace) -> list:
    """A Source for each --model or each --features, or the one of --recipe."""
    which = "model" if args.model else "features"
    if args.recipe:
        return [open_source(args)]
    return [open_source(Namespace(**{**vars(args), which: one})) for one in getattr(args, which)]

"""What the evaluations of the large benchmarks share: features of a model or ready ones, and what is missing."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from ..data.embedding_file import holds_others
from ..data.megaface import algorithm
from ..data.ready_features import find_features
from ..errors import UserError
from ..files import atomic_write
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet
from .options import Several, add_model_options, model_path, open_model


def add_source_options(parser, features_help, several=False):
    """--model, --recipe or --features, with --ending and --name for the latter; --skip-missing, --row, --json, --quiet.

    Args:
        several: whether --model may be repeated, for `open_sources`.
    """
    source = add_model_options(parser, several)
    source.add_argument("--features", nargs="+", action=Several, type=Path, metavar="F", help=features_help)
    parser.add_argument("--ending", help="what the names of feature files end in, such as _r100.bin")
    parser.add_argument("--name", help="what to call the model of --features (default: from the ending or the file)")
    parser.add_argument("--skip-missing", action="store_true", help="leave out what is missing, counted and listed")
    parser.add_argument(
        "--row", help="row of the paper's table that the model reproduces, such as MS1MV2, R100, ArcFace"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON here too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar of the extraction")


@dataclass
class Source:
    """Where features come from: a network, or files.

    Attributes:
        subject: report.results.Subject, whose folder the results go to.
        net: the network; None with --features.
        devices: list of mx.Context.
        options: the parsed options of `add_source_options`.
        images_per_second: of the latest extraction; None if there was none.
    """

    subject: object
    net: object
    devices: list
    options: object
    images_per_second: float | None = None

    def features(self, images, file, ready=None):
        """Features of data.Images (`data.features.Features`), the sum of image and mirror where they are extracted.

        Args:
            file: name of the .npy under <run>/embeddings; where those of another checkpoint or list have it, the
                beginning of a fingerprint is added. An interrupted extraction goes on from there.
            ready: the folder or .npy that has them, with --features.

        Raises:
            UserError: images or features are missing (without --skip-missing), damaged or of different sizes.
        """
        skip = self.options.skip_missing
        if self.net is None:
            return find_features(ready, images.names, self.options.ending, skip)
        from ..embed import embed_to_file, fingerprint, input_size

        key = fingerprint(self.net, images, True, input_size(self.net))
        path = self.subject.folder / "embeddings" / file
        if holds_others(path, key):
            path = path.with_name(f"{path.stem}-{key[:8]}.npy")
        options, facts = self.options, {"model": str(self.subject.path), "date": time.strftime("%Y-%m-%d")}
        done = embed_to_file(
            self.net, images, path, self.devices, options.batch_size, True, None, skip, options.quiet, facts
        )
        self.images_per_second = done["images_per_second"]
        return find_features(path, images.names, skip_missing=skip)


def open_source(args) -> Source:
    """The Source of the options.

    Raises:
        UserError: no such model, device or features.
    """
    import_mxnet()
    from ..report.results import Subject, subject_of, subject_of_features

    if args.features is None:
        net, devices = open_model(args)
        return Source(subject_of(model_path(args)), net, devices, args)
    first = args.features[0] if isinstance(args.features, list) else args.features
    if not first.exists():
        raise UserError(f"{first} is not there; give a folder of feature files or a .npy")
    name = args.name or (algorithm(args.ending) if first.is_dir() and args.ending else None)
    subject = Subject(first, Path("runs") / name, name) if name else subject_of_features(first)
    return Source(subject, None, devices_of(args.contexts), args)


def open_sources(args) -> list:
    """A Source for each --model or each --features, or the one of --recipe."""
    which = "model" if args.model else "features"
    if args.recipe:
        return [open_source(args)]
    return [open_source(Namespace(**{**vars(args), which: one})) for one in getattr(args, which)]


def list_missing(path, names, what="left out as missing") -> list:
    """Write what was left out, a line each, and give the line that says so; nothing where nothing is missing."""
    path = Path(path)
    if not names:
        path.unlink(missing_ok=True)
        return []
    with atomic_write(path, "w") as file:
        file.writelines(f"{name}\n" for name in names)
    return [f"{len(names):,} {what}: {path}"]

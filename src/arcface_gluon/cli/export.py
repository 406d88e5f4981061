"""`arcface-gluon export RUN --to onnx`: a network for the tools of those who deploy it, compared on real faces."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..runtime import import_mxnet
from .options import add_normalisation_options, model_path, normalisation_of, print_notes

EXAMPLE = "arcface-gluon export runs/orl --to onnx --out face.onnx"

_FACES = 30  # how many are compared, over the whole set


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="RUN", nargs="?", help="a run, a checkpoint, or any model that `verify --model` takes"
    )
    parser.add_argument("--recipe", metavar="R", help="the last run of this recipe instead")
    parser.add_argument("--to", help="onnx, mxnet, torch or npz (default: what FILE ends in, else onnx)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: in the folder export of the run")
    parser.add_argument(
        "--faces",
        metavar="IMAGES",
        help="to compare on: a folder, .bin, .rec or list (default: the run's sets, or ORL)",
    )
    add_normalisation_options(parser)
    onnx = parser.add_argument_group("ONNX")
    onnx.add_argument("--raw", action="store_true", help="take (x - 127.5) / 127.5 instead of RGB 0..255")
    onnx.add_argument("--normalise", action="store_true", help="embeddings of length 1")
    onnx.add_argument("--float16", action="store_true", help="weights in float16: half the size, float32 arithmetic")
    onnx.add_argument("--opset", type=int, default=13, help="version of ONNX's operators (default 13)")


def run(args: Namespace) -> None:
    import_mxnet()
    from .. import load_model
    from ..models.backbone import input_size
    from ..models.formats.exporting import FORMATS, export, format_of
    from ..models.formats.metadata import metadata_of
    from ..report.results import subject_of

    if bool(args.model) == bool(args.recipe):
        raise UserError("which model? give a run or a file, or --recipe")
    to = format_of(args.out, args.to)
    path = model_path(args)
    subject = subject_of(path)
    name = subject.folder.resolve().name
    out = args.out or subject.folder / "export" / f"{name}{FORMATS[to]}"
    net = load_model(path, [import_mxnet().cpu()], normalisation_of(args))
    print_notes(net)
    what, images = _faces(args.faces, subject.recipe, input_size(net))
    done = export(
        net, out, to, images=images, raw=args.raw, normalise=args.normalise, float16=args.float16,
        opset=args.opset, metadata=metadata_of(path),
    )  # fmt: skip
    print(f"{done.path}: {done.size / 2**20:,.1f} MiB")
    print(
        f"{done.by}, on {len(images)} {what}: largest difference {done.difference:.1e} of the largest value, "
        f"cosine at least {done.cosine:.7f}"
    )


def _faces(given, recipe, size):
    """(what they are, RGB (B, 3, H, W) uint8): of `given`, else of a set of the recipe's, else of ORL, else noise."""
    from ..data.images.sources import open_images

    data = recipe.get("data") or {}
    folders = [Path("datasets") / str(data.get("path")), Path(str(data.get("path")))]
    sets = [folder / f"{Path(name).stem}.bin" for folder in folders for name in data.get("validation") or ()]
    source = given or next((file for file in [*sets, Path("datasets/orl/orl.bin")] if file.is_file()), None)
    if source is None:
        noise = np.random.default_rng(0).integers(0, 256, (_FACES, 3, *size), dtype=np.uint8)
        return "pictures of noise (name faces with --faces)", noise
    faces = open_images(source)
    chosen = np.unique(np.linspace(0, len(faces) - 1, _FACES).astype(int))
    return f"faces of {source}", np.stack([faces.decode(index, size).transpose(2, 0, 1) for index in chosen])

"""`arcface-gluon align PHOTOGRAPHS FOLDER`: faces of photographs, turned and cropped as the networks take them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError
from .options import add_processes_option, image_size
from .recognition import side

EXAMPLE = "arcface-gluon align /data/photographs /data/aligned"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "photographs",
        help="a folder, or a list: a path a line, path,identity as .csv, insightface's train.lst, or CelebA's "
        "list of landmarks (where a list has landmarks, nothing is searched for)",
    )
    parser.add_argument("out", metavar="FOLDER", help="where the crops go, under the photographs' paths; and faces.csv")
    parser.add_argument("--root", help="folder that the paths of a list start from (default: the list's own)")
    parser.add_argument("--size", type=image_size, default=(112, 112), help="of a crop: 112, 128, 112x96, … (112)")
    parser.add_argument(
        "--faces",
        choices=("largest", "central", "all"),
        default="largest",
        help="which are taken of a photograph with several (largest)",
    )
    parser.add_argument("--min-face", type=side, default=40, metavar="N", help="smallest face, in pixels (40)")
    parser.add_argument(
        "--detector",
        default="mtcnn",
        metavar="D",
        help="mtcnn (needs the package mtcnn), a folder with its pnet.lz4, rnet.lz4, onet.lz4, or a FILE.onnx: "
        "YuNet, or a detector of insightface",
    )
    parser.add_argument("--png", action="store_true", help="write PNG, which loses nothing, instead of JPEG")
    parser.add_argument("--draw", metavar="FOLDER", help="write the photographs with boxes and points there")
    add_processes_option(parser)
    parser.add_argument("--context", default="cpu(0)", help="the device of the networks (cpu(0))")
    parser.add_argument("--force", action="store_true", help="replace crops that were made with other settings")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    from ..data.images.align import template
    from ..detect.crops import Cropper, Settings
    from ..detect.job import TABLE, align_photographs
    from ..detect.photographs import existing, open_photographs

    try:
        template(args.size)
    except ValueError as error:
        raise UserError(f"--size: {error}") from None
    _check_apart(args)
    photographs, notes = open_photographs(args.photographs, args.root)
    settings = Settings(
        str(args.out), tuple(args.size), args.faces, args.detector, args.min_face, args.context,
        ".png" if args.png else ".jpg", args.draw,
    )  # fmt: skip
    if any(photograph.landmarks is None for photograph in photographs):
        Cropper(settings).detector()  # what is wrong with it is told once, before the first photograph
        if not args.detector.endswith(".onnx"):
            from ..models.formats.mtcnn_weights import LICENCE

            notes.append(LICENCE)
    for note in notes:
        print(note)
    processes = min(args.processes, len(photographs))
    counts = align_photographs(photographs, settings, processes, args.force, args.quiet)
    print(f"{args.out}: {counts['faces']:,} faces of {counts['photographs']:,} photographs; {TABLE} has what was found")
    told = {
        "none": "without a face", "several": "with several faces", "unusable": "that could not be used",
        "done before": "done before",
    }  # fmt: skip
    left = [f"{counts[key]:,} {words}" for key, words in told.items() if counts[key]]
    if left:
        print("of the photographs " + ", ".join(left))
    if counts["missing"]:
        gone = next(photograph.path for photograph in photographs if existing(photograph) is None)
        raise UserError(
            f"{args.photographs}: {counts['missing']:,} of its photographs are not there, such as {gone}; correct the "
            "list, or give the folder that its paths start from with --root"
        )
    if not counts["faces"]:
        raise UserError(f"{args.photographs}: there is no face in any of its photographs; {TABLE} says why")


def _check_apart(args):
    """Results inside the folder of the photographs would be photographs the next time."""
    source = Path(args.photographs).resolve()
    for folder in (args.out, args.draw):
        if folder and source.is_dir() and source in (Path(folder).resolve(), *Path(folder).resolve().parents):
            raise UserError(f"{folder} lies in {args.photographs}; choose a folder outside of it")
    if args.draw and Path(args.draw).resolve() == Path(args.out).resolve():
        raise UserError(f"--draw {args.draw} is the folder of the crops; choose another")

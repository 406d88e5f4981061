"""Table 4: YouTube Faces. A video is the centre of its frames' embeddings; 10-fold verification of 5,000 pairs.

    arcface-gluon eval ytf (--recipe R | --model M) --data FOLDER [--flip] [--skip-missing] [--row ROW]

FOLDER has splits.txt and the frames, aligned to 112x112, as aligned_images_DB/<name>/<video>/*.jpg (--list and --images
name them elsewhere); `--data demo` makes a small one of the held-out ORL faces. Embeddings of frames are without the
mirror image (unless --flip), of length 1, averaged, and the average has length 1 again. They are kept in
<run>/embeddings/ytf-single.npy (-mirror with --flip): an interrupted evaluation goes on from there.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from arcface_gluon.datasets import demo_pairs

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.options import add_flip_option, add_model_options, model_path, open_model
from arcface_gluon.cli.verify import check_row, describe
from arcface_gluon.data.demos import demo_name, is_demo
from arcface_gluon.data.images.folder import find_images
from arcface_gluon.data.images.sources import ImageFiles
from arcface_gluon.data.verification.pair_lists import differences, read_ytf
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import embeddings_path
from arcface_gluon.files import atomic_write

if TYPE_CHECKING:
    from arcface_gluon.data.verification.pair_lists import Pair


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="arcface-gluon eval ytf", description=__doc__.splitlines()[0])
    add_model_options(parser)
    parser.add_argument("--data", required=True, help="folder of YouTube Faces, or demo")
    add_flip_option(parser, False, "a single crop")
    parser.add_argument("--list", type=Path, help="splits.txt (default: the folder's)")
    parser.add_argument("--images", type=Path, help="folder of the frames (default: aligned_images_DB of the folder)")
    parser.add_argument("--skip-missing", action="store_true", help="leave out missing videos and frames, listed")
    parser.add_argument("--row", help="row of Table 4 that the model reproduces, such as 'MS1MV2, R100, ArcFace'")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(arguments)
    return run_safely(lambda: evaluate(args))


def evaluate(args: argparse.Namespace) -> None:
    check_row(args.row)
    data = demo() if args.data == "demo" else Path(args.data)
    pairs = read_ytf(args.list or data / "splits.txt")
    frames = find_frames(pairs, args.images or data / "aligned_images_DB")
    net, devices = open_model(args)
    from arcface_gluon.data.embeddings.embedding_file import read_embeddings
    from arcface_gluon.embed import embed_to_file
    from arcface_gluon.protocols.ijb_verification import pool
    from arcface_gluon.protocols.verification import evaluate_pairs
    from arcface_gluon.report.results import keep_verification, subject_of

    subject, name = subject_of(model_path(args)), "ytf"
    if is_demo(args.data):
        subject, name = subject.on_demo(), demo_name(name)
    path = embeddings_path(subject.folder, "ytf.npy", net, frames, args.flip)
    missing = [video for video in dict.fromkeys(v for pair in pairs for v in pair[:2]) if video not in frames.labels]
    if missing and not args.skip_missing:
        raise UserError(f"{len(missing)} videos have no frames in {frames.root}, the first is {missing[0]}; get them, "
                        "or leave them out with --skip-missing")  # fmt: skip
    embed_to_file(net, frames, path, devices, args.batch_size, args.flip, None, args.skip_missing, args.quiet)
    embeddings = read_embeddings(path)
    videos = list(dict.fromkeys(embeddings.labels))
    number = {video: row for row, video in enumerate(videos)}
    centres = pool(embeddings.vectors, [number[v] for v in embeddings.labels], names=embeddings.names, contexts=devices)
    kept = [pair for pair in pairs if pair.first in number and pair.second in number]
    rows = [number[video] for pair in kept for video in pair[:2]]
    result = evaluate_pairs(centres.vectors[rows], [pair.same for pair in kept])
    print(describe(name, {**result.to_json(), "precision": net.precision}, args.flip))
    for line in differences("ytf", kept):
        print(f"     {line}")
    if missing:
        listed = subject.folder / "verification" / "ytf.missing.txt"
        with atomic_write(listed, "w") as file:
            file.writelines(f"{video}\n" for video in missing)
        print(f"     {len(missing)} videos are missing: {listed}")
    command = (
        f"make eval-ytf MODEL={shlex.quote(str(subject.path))} DATA={shlex.quote(args.data)}{' FLIP=1' * args.flip}"
    )
    for line in keep_verification(
        subject, name, result, row=args.row, command=command, flip=args.flip, precision=net.precision
    ):
        print(f"     {line}")
    print(f"report: {subject.folder / 'report.html'}")


def find_frames(pairs: Sequence[Pair], root: Path) -> ImageFiles:
    """The frames of all videos of the pairs, labelled with their video."""
    names, labels = [], []
    for video in dict.fromkeys(video for pair in pairs for video in pair[:2]):
        found = find_images(root / video)[0] if (root / video).is_dir() else []
        names += [f"{video}/{name}" for name in found]
        labels += [video] * len(found)
    return ImageFiles(root, root, names, labels)


def demo() -> Path:
    """The ORL faces as videos of two pictures."""
    return demo_pairs.prepare("ytf")

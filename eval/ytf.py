"""Table 4: YouTube Faces. A video is the centre of its frames' embeddings; 10-fold verification of 5,000 pairs.

    arcface-gluon eval ytf (--recipe R | --model M | --features F) --data FOLDER [--flip] [--skip-missing] [--row ROW]

FOLDER has splits.txt and the frames, aligned to 112x112, as aligned_images_DB/<name>/<video>/*.jpg (--list and --images
name them elsewhere); `--data demo` makes a small one of the held-out ORL faces. Embeddings of frames are without the
mirror image (unless --flip), of length 1, averaged, and the average has length 1 again. They are kept in
<run>/embeddings/ytf-single.npy (-mirror with --flip): an interrupted evaluation goes on from there.

Ready features are a .npy with a row for each frame and the index that `arcface-gluon embed FOLDER/aligned_images_DB`
writes; the frames themselves need not be there then. Without an index, the rows are those of the frames that are there,
video by video as splits.txt first names them.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from arcface_gluon.datasets import demo_pairs

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.evaluation import add_source_options, open_source
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.verify import check_row, describe
from arcface_gluon.data.demos import demo_name, is_demo
from arcface_gluon.data.images.folder import find_images
from arcface_gluon.data.images.sources import ImageFiles
from arcface_gluon.data.verification.pair_lists import differences, is_whole_set, read_ytf
from arcface_gluon.data.verification.sets import other_name
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import list_missing
from arcface_gluon.files import write_json

if TYPE_CHECKING:
    from arcface_gluon.data.verification.pair_lists import Pair

TABLE = "table4_lfw_ytf"

EXAMPLE = "arcface-gluon eval ytf --recipe orl --data demo"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval ytf", __doc__, EXAMPLE)
    add_source_options(parser, "features of the frames: a .npy, best with the index of `embed` beside it", TABLE)
    parser.set_defaults(usual_flip=False)  # of the table's other column, LFW, it is not
    parser.add_argument("--data", required=True, help="folder of YouTube Faces, or demo")
    parser.add_argument("--list", type=Path, help="splits.txt (default: the folder's)")
    parser.add_argument("--images", type=Path, help="folder of the frames (default: aligned_images_DB of the folder)")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "ytf", *map(str, arguments or [])])
    return run_safely(lambda: evaluate(args, command))


def evaluate(args: argparse.Namespace, command: str) -> None:
    check_row(args.row)
    if args.features is not None and len(args.features) != 1:
        raise UserError(f"--features takes one .npy, of all frames, not {len(args.features)}")
    data = demo() if args.data == "demo" else Path(args.data)
    pairs, root = read_ytf(args.list or data / "splits.txt"), args.images or data / "aligned_images_DB"
    ready = args.features[0] if args.features else None
    frames = find_frames(pairs, root) if ready is None or not ready.with_suffix(".txt").exists() else indexed(ready)
    source = open_source(args)
    from arcface_gluon.protocols.ijb_templates import pool
    from arcface_gluon.protocols.verification import evaluate_pairs
    from arcface_gluon.report.results import keep_verification

    there, videos = set(frames.labels), list(dict.fromkeys(video for pair in pairs for video in pair[:2]))
    missing = [video for video in videos if video not in there]
    if missing and not args.skip_missing:
        raise UserError(f"{len(missing)} videos have no frames in {frames.root}, the first is {missing[0]}; get them, "
                        "or leave them out with --skip-missing")  # fmt: skip
    found = source.features(frames, "ytf.npy", ready)
    labels = [frames.labels[index] for index in found.kept]
    number = {video: row for row, video in enumerate(dict.fromkeys(labels))}
    names = [frames.names[index] for index in found.kept]
    centres = pool(found.vectors, [number[video] for video in labels], names=names, contexts=source.devices)
    kept = [pair for pair in pairs if pair.first in number and pair.second in number]
    if not kept:
        raise UserError(f"no pair of {args.list or data / 'splits.txt'} has frames of both its videos in {frames.root}")
    rows = [number[video] for pair in kept for video in pair[:2]]
    result = evaluate_pairs(centres.vectors, [pair.same for pair in kept], rows=rows)
    subject, name = source.subject, name_of(kept, is_demo(args.data))
    facts = {**result.to_json(), "flip": source.flip, "precision": source.precision}
    print(describe(name, facts, source.flip))
    lines = [*differences("ytf", kept), *list_missing(subject.folder / "verification" / "ytf.missing.txt", missing)]
    lines += keep_verification(
        subject, name, result, row=args.row, command=command, flip=source.flip, precision=source.precision
    )
    print(*(f"     {line}" for line in lines), f"report: {subject.folder / 'report.html'}", sep="\n")
    if args.json:
        write_json(args.json, {"model": str(subject.path), "missing": missing, "verification": {name: facts}})


def name_of(pairs: Sequence[Pair], demo: bool) -> str:
    """What the result is called: that of other pairs than the whole set's replaces none of the whole set."""
    if demo:
        return demo_name("ytf")
    if is_whole_set("ytf", [pair.same for pair in pairs]):
        return "ytf"
    return other_name("ytf", hashlib.sha256(repr([tuple(pair) for pair in pairs]).encode()).hexdigest())


def indexed(path: Path) -> ImageFiles:
    """The frames that the index beside ready features names, labelled with their video."""
    from arcface_gluon.data.embeddings.embedding_file import read_embeddings

    names = read_embeddings(path).names
    return ImageFiles(path, path, names, [name.rpartition("/")[0] for name in names])


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

"""`arcface-gluon embed IMAGES --model M --out features.npy`: embeddings of a folder, a list, a .rec or a .bin."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError
from ..files import write_json
from .launch import add_hosts_options
from .options import add_first_label_option, add_flip_option, add_model_options, image_size, model_path, open_model
from .ranks import share

EXAMPLE = "arcface-gluon embed /data/aligned --model runs/casia_r50 --out faces.npy"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "images",
        help="a folder, train.rec, lfw.bin, a text list of paths (a label may follow after a tab), path,identity as "
        ".csv, train.lst, or a JSON list of the MegaFace devkit",
    )
    add_model_options(parser)
    add_hosts_options(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE.npy", help="float32 (n, d); FILE.txt names the rows"
    )
    parser.add_argument("--root", help="folder that the paths of a list start from (default: the list's own)")
    add_first_label_option(parser)
    add_flip_option(parser, True, "it is added")
    parser.add_argument(
        "--size",
        type=image_size,
        help="input of the network, 112 or 112x96; other images are scaled to it, EXIF rotation is ignored "
        "(default: what the network was built for)",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave missing and damaged images out, listed in FILE.skipped.txt"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace FILE.npy where it holds embeddings of other images or another model",
    )
    parser.add_argument("--json", metavar="FILE", help="write rows, size, what was left out and images/s as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    from ..data.images.sources import open_images

    if args.json and Path(args.json) == args.out.with_suffix(".json"):
        raise UserError(f"--json {args.json} is the name of the facts beside {args.out}; choose another")
    images = open_images(args.images, args.root, args.first_label)
    net, devices = open_model(args, auto="bfloat16")
    share(net, args)
    from ..embed import embed_to_file
    from ..models.backbone import input_size

    for line in (*images.notes, images.size_note(args.size or input_size(net))):
        if line:
            print(line)
    done = embed_to_file(
        net,
        images,
        args.out,
        devices,
        args.batch_size,
        args.flip,
        args.size,
        args.skip_missing,
        args.quiet,
        {"model": str(model_path(args)), "date": time.strftime("%Y-%m-%d")},
        args.force,
    )
    if args.json:
        write_json(args.json, done)
    print(f"{args.out}: {done['rows']:,} embeddings of {done['size']} values, {net.precision}, {_how(done)}")
    if done["skipped"]:
        print(f"{done['skipped']:,} images were left out: {args.out.with_suffix('.skipped.txt')}")


def _how(done):
    rate = done["images_per_second"]
    return "already there" if rate is None else f"{rate:,.1f} images/s"

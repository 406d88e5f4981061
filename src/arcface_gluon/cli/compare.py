"""`arcface-gluon compare A B`: how alike the faces of two photographs are, and a verdict at a measured threshold."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..files import write_json
from .recognition import (
    add_recogniser_options,
    add_threshold_options,
    describe_threshold,
    open_recogniser,
    open_threshold,
)

EXAMPLE = "arcface-gluon compare a.jpg b.jpg --threshold threshold.json"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a photograph; of several faces the largest is taken")
    parser.add_argument("second", metavar="B", help="the other")
    add_recogniser_options(parser)
    add_threshold_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON too")


def run(args: Namespace) -> None:
    recogniser = open_recogniser(args)
    threshold = open_threshold(args, recogniser)
    from ..recognition.thresholds import compare

    faces = []
    for path in (args.first, args.second):
        if args.aligned:
            faces.append(recogniser.aligned(path, path))
            continue
        faces.append(recogniser.largest(path, path))
        left, top, right, bottom = faces[-1].box
        print(f"{path}: face at {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}, score {faces[-1].score:.3f}")
    point = threshold[1] if threshold else None
    like = compare(faces[0].embedding, faces[1].embedding, point)
    verdict = "" if like.same is None else f": {'the same person' if like.same else 'different people'}"
    print(f"angle {like.angle:.2f}°, cosine {like.cosine:.4f}{verdict}")
    print(describe_threshold(threshold))
    if args.json:
        boxes = [[float(value) for value in face.box] for face in faces]
        point_facts = {"far": point.far, "angle": point.angle, "set": threshold[0].set} if threshold and point else None
        write_json(
            args.json,
            {
                "a": args.first, "b": args.second, "boxes": boxes, "angle": like.angle, "cosine": like.cosine,
                "same": like.same, "threshold": point_facts, "model": recogniser.model,
            },
        )  # fmt: skip

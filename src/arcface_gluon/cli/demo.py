"""`arcface-gluon demo`: a web page on this machine that compares and identifies faces, and a JSON service."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from ..runtime import import_optional
from .options import count
from .recognition import (
    SMALL,
    add_recogniser_options,
    add_threshold_options,
    describe_threshold,
    open_recogniser,
    open_threshold,
)

EXAMPLE = "arcface-gluon demo --gallery gallery.npz --threshold threshold.json"


def add_arguments(parser: ArgumentParser) -> None:
    add_recogniser_options(parser, aligned=False)
    parser.add_argument("--gallery", metavar="FILE", help="of `enroll`, for who is it")
    add_threshold_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="0: any that is free (8000)")
    parser.add_argument("--megabytes", type=count, default=12, metavar="N", help="most of a photograph (12)")
    parser.add_argument("--megapixels", type=count, default=50, metavar="N", help="most of a photograph (50)")
    parser.add_argument("--waiting", type=count, default=8, metavar="N", help="requests that may wait (8)")


def run(args: Namespace) -> None:
    import_optional("flask")
    import_optional("waitress")
    recogniser = open_recogniser(args)
    from ..recognition.gallery import Gallery
    from ..server.answers import Answers, Limits
    from ..server.app import LOCAL, create_app
    from ..server.serving import serve

    gallery = None
    if args.gallery:
        gallery = Gallery.read(args.gallery)
        gallery.require(recogniser.digest, args.gallery)
    threshold = open_threshold(args, recogniser)
    limits = Limits(args.megabytes * 1_000_000, args.megapixels * 1_000_000, args.waiting)
    answers = Answers(recogniser, gallery, threshold, limits, SMALL if _is_orl(args) else None)
    print(describe_threshold(threshold))
    local = args.host in LOCAL
    if not local:
        print(
            f"warning: everyone who reaches {args.host} can use this server; it has no password and no encryption",
            file=sys.stderr,
        )
    app = create_app(answers, LOCAL if local else None)
    serve(app, args.host, args.port, limits, lambda address: print(f"open {address} (Ctrl-C ends it)"))
    print("stopped")


def _is_orl(args):
    return args.recipe == "orl" or (args.model is not None and Path(args.model).parts[:2] == ("runs", "orl"))


def _port(text):
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is no port, 0 to 65535")
    return int(text)

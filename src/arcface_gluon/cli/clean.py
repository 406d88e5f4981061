"""`arcface-gluon clean SET --model M`: mislabelled and duplicate images of a training set, and the set without them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UserError
from .options import add_first_label_option, add_model_options, model_path, open_model
from .recognition import angle
from .stopping import unless_stopped

if TYPE_CHECKING:
    from ..data import FaceRecords
    from ..data.records.cleaning import Finding

EXAMPLE = "arcface-gluon clean datasets/mine --model runs/casia_r50 --list mine.csv --drop datasets/mine_clean"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("set", help="folder with train.rec")
    which = add_model_options(parser)
    which.add_argument("--features", metavar="FILE.npy", help="its embeddings: arcface-gluon embed SET/train.rec …")
    which.add_argument("--copies", action="store_true", help="look for copies of images only; needs no model")
    which.add_argument("--listed", metavar="LIST.csv", help="look for nothing: --drop what a list has, once edited")
    parser.add_argument(
        "--angle",
        type=angle,
        default=75.0,
        metavar="DEG",
        help="images farther than this from their identity's centre are listed (75, as in Sub-center ArcFace)",
    )
    parser.add_argument(
        "--centres",
        choices=("mean", "trained"),
        help="mean: of the other images of the identity; trained: of the run in --model, of several an identity the "
        "dominant one (default: trained where there are several, else mean)",
    )
    parser.add_argument(
        "--list", type=Path, default=Path("clean.csv"), metavar="FILE", help="what was found (default clean.csv)"
    )
    parser.add_argument("--drop", type=Path, metavar="FOLDER", help="write the set without the images listed")
    parser.add_argument("--force", action="store_true", help="replace a set that is there")
    add_first_label_option(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    from ..data import FaceRecords
    from ..data.records.cleaning import find_copies, read_list, write_cleaned, write_list
    from ..data.records.rewriting import check_apart, check_free

    if args.listed and not args.drop:
        raise UserError("--listed says what to leave out; give --drop FOLDER for the set without it")
    records = FaceRecords(args.set, args.first_label)
    if args.drop:
        check_free(args.drop, args.force)
        check_apart(args.drop, [records])
    if args.listed:
        dropped = read_list(args.listed, records)
    else:
        looked = None if args.copies else _embedded(args, records)
        with unless_stopped(args.list) as stop:
            findings = find_copies(records, looked.angles if looked else None, stop)
        if looked:
            findings += _far(args, records, looked, {one.row for one in findings})
        findings.sort(key=lambda one: one.row)
        write_list(args.list, records, findings)
        _tell(args, records, findings)
        dropped = np.array([one.row for one in findings], np.int64)
    if args.drop:
        with unless_stopped(args.drop) as stop:
            written = write_cleaned(records, args.drop, dropped, args.force, stop)
        images = f"{written.images:,} images of {written.identities:,} identities"
        print(f"{args.drop}: {images}, without {written.skipped:,} images (skipped.txt)")


class _Embedded(NamedTuple):
    """The images of a set as the model sees them.

    Attributes:
        angles: (n,) degrees of each image to its centre, NaN where there is none.
        vectors, rows, labels: of the k images with an embedding and an identity: (k, d), (k,) their places in the set,
            (k,).
    """

    angles: np.ndarray
    vectors: np.ndarray
    rows: np.ndarray
    labels: np.ndarray


def _embedded(args: Namespace, records: FaceRecords) -> _Embedded:
    from ..data.embeddings.embedding_file import read_embeddings
    from ..protocols.cleaning import angles_to_centres, angles_to_mean

    trained, centres = _centres(args, records)
    path = args.features or _embed(args, records)
    found = read_embeddings(path)
    place = {str(key): index for index, key in enumerate(records.keys)}
    if not set(found.names) <= set(place):
        raise UserError(f"{path} has embeddings of other images than {records.path}; embed that file")
    rows = np.array([place[name] for name in found.names], np.int64)
    labels = records.labels()[rows].astype(np.int64)
    usable = labels >= 0
    vectors = found.vectors if usable.all() else found.vectors[usable]
    angles = np.full(len(records), np.nan, np.float32)
    if centres is None:
        angles[rows[usable]] = angles_to_mean(vectors, labels[usable])
    else:
        numbers = np.full(len(records), -1, np.int64)  # the run's number of each image's identity
        numbers[np.isin(records.keys, trained.keys)] = trained.labels()
        own = numbers[rows[usable]]
        known = own >= 0
        angles[rows[usable][known]] = angles_to_centres(vectors[known], own[known], centres, trained.num_identities)
        if not known.all():
            print(
                f"note: {np.sum(~known):,} images have no trained centre, since data.min_images left their identities "
                "out of training; --centres mean compares them too",
                file=sys.stderr,
            )
    return _Embedded(angles, vectors, rows[usable], labels[usable])


def _embed(args, records):
    from ..data.images.sources import RecordImages
    from ..embed import embed_to_file

    net, devices = open_model(args, auto="bfloat16")
    path = args.list.with_suffix(".npy")
    images = RecordImages(records.path, args.first_label)
    embed_to_file(net, images, path, devices, args.batch_size, True, None, True, args.quiet, force=True)
    return path


def _centres(args: Namespace, records: FaceRecords) -> tuple[FaceRecords, np.ndarray | None]:
    """The part of the set that the run in --model was trained on, numbered as its centres are, and these; the set and
    None for means."""
    from ..losses.centres import read_centres
    from ..report.results import subject_of
    from ..run_layout import checkpoint_folders

    if args.centres == "mean" or args.features:
        if args.centres == "trained":
            raise UserError("--centres trained needs the run in --model, not --features")
        return records, None
    path = model_path(args)
    checkpoints = checkpoint_folders(path) or ([path] if path.is_dir() else [])
    centres = read_centres(checkpoints[-1]) if checkpoints else None
    if centres is None:
        if args.centres == "trained":
            raise UserError(f"{path} has no trained centres; compare with mean embeddings: --centres mean")
        return records, None
    recipe = subject_of(path).recipe
    each = recipe.get("head", {}).get("sub_centres") or max(1, len(centres) // records.num_identities)
    if not args.centres and each == 1:
        return records, None
    least = recipe.get("data", {}).get("min_images")
    try:
        trained = records.of_identities_with(least) if least else records
        if len(centres) == each * trained.num_identities:
            return trained, centres
    except UserError:
        pass  # no identity of this set has so many images: it is another one
    if not args.centres:
        return records, None
    raise UserError(
        f"{path} has centres of {len(centres) // each:,} identities that are not those of {records.path}: it was "
        "trained on another set; compare with --centres mean"
    )


def _far(args: Namespace, records: FaceRecords, looked: _Embedded, found: set[int]) -> list[Finding]:
    """Images far from their centre, with the identity whose centre is nearest."""
    from ..data.records.cleaning import FAR, Finding
    from ..protocols.overlap import identity_centres, nearest
    from ..protocols.scores.blocks import unit

    with np.errstate(invalid="ignore"):
        far = np.flatnonzero(looked.angles > args.angle)
    far = far[~np.isin(far, list(found))]
    if not len(far):
        return []
    row_of = np.full(len(records), -1, np.int64)
    row_of[looked.rows] = np.arange(len(looked.rows))
    labels_there, centres = identity_centres(looked.vectors, looked.labels)
    cosines, which = nearest(unit(looked.vectors[row_of[far]]), centres, args.contexts)
    others = labels_there[which]
    own = records.labels()[far]
    return [
        Finding(
            int(index),
            FAR,
            float(looked.angles[index]),
            str(int(other) + records.first_label) if other != label else "",
            float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) if other != label else None,
        )
        for index, other, label, cosine in zip(far, others, own, cosines)
    ]


def _tell(args, records, findings):
    from ..data.records.cleaning import COPY, DAMAGED, FAR, TWO

    words = {
        FAR: f"farther than {args.angle:g} degrees from their centre",
        COPY: "copies of another of their identity",
        TWO: "under two identities",
        DAMAGED: "damaged",
    }
    counts = Counter(one.reason for one in findings)
    print(f"{args.list}: {len(findings):,} of {len(records):,} images to look at")
    for reason, text in words.items():
        if counts[reason]:
            print(f"  {counts[reason]:,} {text}")

"""`arcface-gluon cluster FOLDER`: which faces are of one person, where nobody says who; CSV, and a folder each."""

from __future__ import annotations

import csv
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import atomic_write, new_folder
from .enroll import print_left_out
from .recognition import (
    add_recogniser_options,
    add_threshold_options,
    angle,
    describe_threshold,
    open_recogniser,
    open_threshold,
)

EXAMPLE = "arcface-gluon cluster /data/photographs --threshold threshold.json --out clusters.csv"

_NAME = 200  # bytes of a photograph's path in the name of its crop: the last ones


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="FOLDER", help="of photographs, of which all faces are taken; or a gallery")
    parser.add_argument(
        "--out", default="clusters.csv", metavar="FILE", help="cluster, photograph and box (clusters.csv)"
    )
    parser.add_argument("--folders", metavar="FOLDER", help="write the aligned crops there, a folder for each cluster")
    parser.add_argument(
        "--method", choices=("average", "complete", "dbscan"), default="average", help="agglomerative with average or "
        "complete linkage, or dbscan (average)",
    )  # fmt: skip
    add_threshold_options(parser)
    parser.add_argument("--angle", type=angle, metavar="DEG", help="in place of --threshold: an angle of your choice")
    add_recogniser_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    if (args.angle is None) == (args.threshold is None):
        raise UserError("say how near two faces of a person are: give --threshold FILE, or --angle DEG, not both")
    if args.folders and Path(args.folders).exists() and any(Path(args.folders).iterdir()):
        raise UserError(f"--folders {args.folders} is there already; name another folder, or delete it")
    recogniser = open_recogniser(args, detects=not _is_gallery(args.source))
    threshold = open_threshold(args, recogniser)
    from ..recognition.clusters import MOST, agreement, cluster

    gallery, crops = _faces(args, recogniser)
    if len(gallery) > MOST and args.method != "dbscan":
        raise UserError(f"{len(gallery):,} faces are too many for --method {args.method}; take dbscan above {MOST:,}")
    cosine = threshold[1].cosine if threshold else float(np.cos(np.radians(args.angle)))
    labels = cluster(gallery.embeddings, cosine, args.method)
    counts = np.bincount(labels)
    with atomic_write(args.out, "w") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["cluster", "photo", "left", "top", "right", "bottom"])
        for i in np.lexsort((np.arange(len(labels)), labels)):
            entry = gallery.entries[i]
            rows.writerow([labels[i], entry.photo, *(f"{value:.1f}" for value in entry.box)])
    print(describe_threshold(threshold) if threshold else f"angle: {args.angle:.2f}°, as given")
    alone = int((counts == 1).sum())
    print(f"{args.out}: {len(labels):,} faces in {len(counts):,} clusters, {alone:,} of a single face; the largest has "
          f"{counts.max():,}")  # fmt: skip
    if all("/" in entry.photo for entry in gallery.entries):
        precision, recall = agreement(labels, [entry.person for entry in gallery.entries])
        inside = f"{precision:.2%} of the pairs in a cluster are of one folder"
        print(f"beside the folders: {inside}, {recall:.2%} of those in a folder are in one cluster")
    if args.folders:
        _write_folders(args.folders, labels, gallery, crops)


def _is_gallery(source):
    from ..recognition.gallery import ENDING

    return Path(source).suffix == ENDING and not Path(source).is_dir()


def _faces(args, recogniser):
    """(gallery, crops) of a folder or a gallery."""
    from ..recognition.enrolment import enroll
    from ..recognition.gallery import Gallery

    if _is_gallery(args.source):
        gallery = Gallery.read(args.source)
        gallery.require(recogniser.digest, args.source)
        if args.folders:
            raise UserError(f"{args.source} has no crops for --folders; give the folder of photographs instead")
        return gallery, []
    done = enroll(recogniser, args.source, None, True, args.aligned, args.quiet)
    for note in done.notes:
        print(note)
    print_left_out(done.left_out)
    return done.gallery, done.crops


def _write_folders(folder, labels, gallery, crops):
    from ..detect.crops import save

    digits = len(str(labels.max()))
    with new_folder(folder) as whole:
        for number, (label, entry, crop) in enumerate(zip(labels, gallery.entries, crops)):
            name = os.fsencode(entry.photo.replace("/", "_"))[-_NAME:].decode(errors="ignore")
            save(crop, whole, f"{label:0{digits}}/{number:05}_{name}.png")
    print(f"{folder}: the crops")

"""`arcface-gluon overlap DATA`: training identities that are in a test set too, and the training set without them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..files import atomic_write
from .options import add_first_label_option, add_rewriting_options
from .stopping import unless_stopped

if TYPE_CHECKING:
    from ..data import FaceRecords

EXAMPLE = "arcface-gluon overlap /data/faces_webface --features casia.npy --test-features faces.npy --out /data/clean"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("data", help="folder of the training set (train.rec, train.idx, property)")
    add_first_label_option(parser)
    names = parser.add_argument_group("by names")
    names.add_argument(
        "--names", help="names of the training identities: train.lst, `label <tab> name` lines, or folder of folders"
    )
    names.add_argument(
        "--test-names", action="append", default=[], help="names of a test set: a list, or its folder; may be repeated"
    )
    similarity = parser.add_argument_group("by similarity of feature centres")
    similarity.add_argument("--features", help="embeddings of the training set: arcface-gluon embed DATA/train.rec …")
    similarity.add_argument(
        "--test-features", action="append", default=[], help="embeddings of a test set; its people, if labelled"
    )
    similarity.add_argument(
        "--threshold", type=float, default=0.4, help="cosine above which two are one (default 0.4, the paper's)"
    )
    similarity.add_argument("--contexts", help="devices (default: every GPU, else cpu(0))")
    parser.add_argument("--list", type=Path, default=Path("overlap.tsv"), help="what was found (default overlap.tsv)")
    parser.add_argument("--out", type=Path, help="folder for the training set without them")
    add_rewriting_options(parser, "leave damaged records out of it, listed")


def run(args: Namespace) -> None:
    from ..data import FaceRecords

    if bool(args.names) != bool(args.test_names) or bool(args.features) != bool(args.test_features):
        raise UserError("--names needs --test-names, and --features needs --test-features")
    if not (args.names or args.features):
        raise UserError("nothing to compare: give --names and --test-names, or --features and --test-features")
    if not -1 <= args.threshold <= 1:
        raise UserError(f"--threshold {args.threshold}: a cosine is between -1 and 1")
    records = FaceRecords(args.data, args.first_label)
    names, found = {}, []
    if args.names:
        names, rows = by_names(args, records)
        found += rows
    if args.features:
        found += by_similarity(args, records.num_identities)
    found.sort(key=lambda row: row[0])
    dropped = {row[0] for row in found}
    with atomic_write(args.list, "w") as file:
        file.write("label\tname\tby\tmatch\tcosine\n")
        for label, kind, match, cosine in found:
            file.write(f"{label + records.first_label}\t{names.get(label, '')}\t{kind}\t{match}\t{cosine}\n")
    print(f"{len(dropped):,} of {records.num_identities:,} identities are in a test set too: {args.list}")
    if args.out:
        print(_write(records, args, dropped))


def by_names(args: Namespace, records: FaceRecords) -> tuple[dict[int, str], list[tuple]]:
    """(names by label, rows (label, "name", match, "")) of identities whose name is in a test set."""
    from ..data.records.identity_names import normalised, read_identity_names, read_people

    names = read_identity_names(args.names, records.num_identities, records.first_label)
    people = {normalised(name): name for path in args.test_names for name in read_people(path)}
    people.pop("", None)
    found = ((label, people.get(normalised(name))) for label, name in names.items())
    return names, [(label, "name", match, "") for label, match in found if match is not None]


def by_similarity(args: Namespace, identities: int) -> list[tuple]:
    """Rows (label, "similarity", match, cosine) of identities whose centre is near one of a test set."""
    from ..data.embeddings.embedding_file import read_embeddings
    from ..protocols.overlap import identity_centres, nearest

    training = read_embeddings(args.features)
    try:
        labels = np.array(training.labels, np.int64)
    except (TypeError, ValueError):
        raise UserError(f"{args.features} has no identities: embed the train.rec itself") from None
    if not 0 <= labels.min() <= labels.max() < identities:
        raise UserError(f"{args.features} has labels up to {labels.max()}, the training set {identities:,} identities")
    labels, centres = identity_centres(training.vectors, labels, training.names)
    best, matches = np.full(len(labels), -np.inf, np.float32), [""] * len(labels)
    for path in args.test_features:
        test = read_embeddings(path)
        if test.vectors.shape[1] != centres.shape[1]:
            raise UserError(f"{path} has {test.vectors.shape[1]} values a row, {args.features} {centres.shape[1]}")
        # Without identities, every image stands for itself.
        names, vectors = identity_centres(test.vectors, test.labels or test.names, test.names)
        cosines, index = nearest(centres, vectors, args.contexts)
        for i in np.flatnonzero(cosines > best):
            best[i], matches[i] = cosines[i], names[index[i]]
    return [
        (int(label), "similarity", match, f"{cosine:.4f}")
        for label, match, cosine in zip(labels, matches, best)
        if cosine > args.threshold
    ]


def _write(records, args, dropped):
    from ..data.records.identity_names import write_without

    with unless_stopped(args.out) as stop:
        written = write_without(records, args.out, dropped, args.skip_missing, args.force, stop)
    line = f"{args.out}: {written.images:,} images of {written.identities:,} identities; labels.tsv: new and old"
    if written.skipped:
        line += f"\n{written.skipped:,} damaged records were left out: {args.out / 'skipped.txt'}"
    return line

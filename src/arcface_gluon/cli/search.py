"""`arcface-gluon search PHOTO --in G`: the most alike faces of a gallery, or of the embeddings of `embed`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import write_json
from .options import count
from .recognition import add_recogniser_options, open_recogniser, refuse_left_out, usable

EXAMPLE = "arcface-gluon search a.jpg --in faces.npy --top 10"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "photographs", nargs="+", metavar="PHOTO", help="what to look for; of several faces the largest"
    )
    parser.add_argument(
        "--in", dest="inside", default="gallery.npz", metavar="FILE", help="a gallery of `enroll`, or the .npy of "
        "`embed` (gallery.npz)",
    )  # fmt: skip
    parser.add_argument("--top", type=count, default=10, metavar="K", help="how many are listed (10)")
    add_recogniser_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON too")


def run(args: Namespace) -> None:
    recogniser = open_recogniser(args)
    from ..protocols.scores.blocks import UnitBlocks
    from ..protocols.scores.search import top_k
    from ..recognition.identification import angle_of

    rows, names = _open(Path(args.inside), recogniser)
    find = recogniser.aligned if args.aligned else recogniser.largest
    left_out: list[str] = []
    found = dict(usable(args.photographs, lambda path: find(path, path).embedding, left_out))
    if not found:
        refuse_left_out(left_out, len(args.photographs))
    queries = np.stack(list(found.values()))
    if rows.shape[1] != queries.shape[1]:
        raise UserError(f"{args.inside} has {rows.shape[1]} values a face, the model gives {queries.shape[1]}")
    devices = recogniser.net.contexts
    scores, places = top_k(queries, UnitBlocks(rows, devices), len(rows), args.top, devices)
    results = {}
    for path, row, best in zip(found, scores, places):
        print(f"{path}: most alike of {len(rows):,}")
        results[path] = [
            {"name": names[i], "cosine": float(score), "angle": angle_of(float(score))} for i, score in zip(best, row)
        ]
        for one in results[path]:
            print(f"  {one['angle']:6.2f}°  cosine {one['cosine']:.4f}  {one['name']}")
    if args.json:
        write_json(args.json, results)
    refuse_left_out(left_out, len(args.photographs))


def _open(path, recogniser):
    """(rows, their names) of a gallery or of embeddings, which must be of this model."""
    from ..recognition.gallery import ENDING, Gallery

    if path.suffix == ENDING:
        gallery = Gallery.read(path)
        gallery.require(recogniser.digest, path)
        return gallery.embeddings, [entry.photo for entry in gallery.entries]
    if path.suffix != ".npy":
        raise UserError(
            f"--in {path} is neither a gallery of `enroll` (.npz) nor embeddings of `embed` (.npy); name one"
        )
    from ..data.embeddings.embedding_file import read_embeddings
    from ..embed import network_digest
    from ..files import read_json

    found = read_embeddings(path)
    facts = path.with_suffix(".json")
    noted = read_json(facts) if facts.is_file() else {}
    if "network" not in noted:
        print(f"{path} does not say which model made it; taken as this one's")
    elif noted["network"] != network_digest(recogniser.net) or noted.get("flip") != recogniser.flip:
        raise UserError(
            f"{path} was made with another model ({noted.get('model')}), or with the other of --flip and --no-flip; "
            "name that model, or embed again"
        )
    return found.vectors, found.names

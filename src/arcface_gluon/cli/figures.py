"""`arcface-gluon figures`: Figures 1, 3, 4a, 4b, 5, 6 and 7 of the paper, and the curves of docs/losses.md."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..errors import UserError, did_you_mean
from ..files import atomic_write
from ..run_layout import METRICS, SUMMARY, checkpoint_folders
from ..runtime import import_mxnet
from .options import Several, add_first_label_option

EXAMPLE = "arcface-gluon figures 6 --run runs/ms1mv2_r100 --bin lfw.bin"

# Figure 3: identities, and how the small two-dimensional networks are trained.
_IDENTITIES = 8
_NETWORK = {"width": 0.125, "units": [1, 1, 1, 1], "stem_stride": 2}
_PLANE = [
    "network.embedding_size=2",
    "network.dropout=0.0",
    "head.scale=16",
    "data.validation=[]",
    *(f"data.augment.{change}=0.0" for change in ("shift", "rotate", "scale", "light")),
    "train.iterations=800",
    "train.lr=0.02",
    "train.lr_steps=520,720",
    "train.checkpoint_every=800",
]
_MEASURED = ("3", "4a", "6", "7")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all that there is data for)")
    parser.add_argument(
        "--run",
        action=Several,
        type=Path,
        default=[],
        metavar="RUN",
        help="a run's folder: 4a and 7 are of the first, 6 has a panel each (default: the newest run; for 6 those of "
        "`make ablation` with ArcFace and Triplet)",
    )
    parser.add_argument(
        "--bin",
        action=Several,
        default=[],
        metavar="FILE",
        help="sets of 6 and 7, or folders of labelled images (train.rec): then all genuine pairs and as many random "
        "impostor pairs (default: those the run verified)",
    )
    parser.add_argument("--data", default="orl", metavar="FOLDER", help="training set of 3 (default orl)")
    add_first_label_option(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder (default runs/figures)")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write SVG files there too: of the curves, and of what is named"
    )


def run(args: Namespace) -> None:
    from ..report.figures.losses import LOSS_FIGURES
    from ..report.figures.paper import PAPER_FIGURES
    from ..report.figures.run import save_figure

    curves = {**{f"figure-{name}": draw for name, draw in PAPER_FIGURES.items()}, **LOSS_FIGURES}
    measured = {f"figure-{name}": draw for name, draw in zip(_MEASURED, (_plane, _targets, _losses, _sets))}
    known = {**curves, **measured}
    chosen = [name if name in known else f"figure-{name}" for name in args.names] or list(known)
    for name, given in zip(chosen, args.names):
        if name not in known:
            raise UserError(f"no figure {given!r}{did_you_mean(given, known)}")
    for path in (*args.run, *map(Path, args.bin)):  # before any network is trained
        if not path.exists():
            raise UserError(f"{path} is not there; --run takes the folder of a run, --bin a verification set")
    for name in chosen:
        try:
            figure = curves[name]() if name in curves else measured[name](args)
        except UserError as error:
            if args.names:
                raise
            print(f"{name} is left out: {error}")
            continue
        save_figure(figure, args.out / name)
        if args.docs and (name in curves or args.names):
            with atomic_write(args.docs / f"{name}.svg") as file:
                file.write((args.out / f"{name}.svg").read_bytes())
        print(f"{args.out / name}.png and .svg")


def _plane(args):
    """Figure 3: trains two networks with two-dimensional embeddings, on the first identities of a training set."""
    import_mxnet()
    from ..data import FaceRecords, write_training_set
    from ..data.places import find_data
    from ..report.figures.angles import plane_embeddings

    records = FaceRecords(find_data(args.data), args.first_label)
    labels = records.labels()
    indices = [i for i in range(len(records)) if 0 <= labels[i] < _IDENTITIES]
    folder = args.out / "plane"
    try:
        write_training_set(folder / "data", (records.read(i) for i in indices), records.image_size)
    except ValueError as error:
        raise UserError(f"{records.path}: {error}") from error
    panels = {}
    for title, loss in (("(a) Softmax", "softmax"), ("(b) ArcFace", "arcface")):
        if not (folder / loss / SUMMARY).is_file():
            network = {**_NETWORK, "input_size": list(records.image_size)}
            _train(["orl", *_PLANE, f"network.options={network}", f"loss={loss}"], folder, loss)
        panels[title] = _embedded(folder / loss, [records.read(i)[0] for i in indices], labels[indices])
    return plane_embeddings(panels)


def _train(words, folder, name):
    from . import train

    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    place = [f"data.path={(folder / 'data').resolve()}", f"run.folder={folder}", f"run.name={name}"]
    train.run(parser.parse_args([*words, *place, "--quiet", "--auto-resume"]))


def _embedded(run, images, labels):
    from .. import load_model
    from ..embed import embed_images
    from ..losses.centres import read_centres

    checkpoint = checkpoint_folders(run)[-1]
    return embed_images(load_model(checkpoint), images, flip=False), labels, read_centres(checkpoint)


def _targets(args):
    """Figure 4a: of the first run's metrics."""
    from ..report.figures.angles import target_angles
    from ..training.log import read_metrics

    folder = _runs(args)[0]
    rows = [row for row in read_metrics(folder / METRICS) if "target_angles" in row]
    if not rows:
        raise UserError(f"{folder}/metrics.jsonl has no target angles (its loss has none, or it was interrupted)")
    return target_angles(rows)


def _losses(args):
    """Figure 6: one set under several runs, a panel each."""
    from ..report.figures.angles import pair_angles_panels

    runs = args.run
    if not runs:
        pairs = [[seed / loss for loss in ("arcface", "triplet")] for seed in Path("runs").glob("ablation-*/seed-0")]
        done = [pair for pair in pairs if all((folder / SUMMARY).is_file() for folder in pair)]
        if not done:
            raise UserError("it compares runs: name them with --run, or run make ablation first")
        runs = max(done, key=lambda pair: (pair[0] / SUMMARY).stat().st_mtime)
    return pair_angles_panels({folder.name: next(iter(_pair_angles(folder, args.bin).values())) for folder in runs})


def _sets(args):
    """Figure 7: every set of the first run."""
    from ..report.figures.angles import pair_angles_panels

    return pair_angles_panels(_pair_angles(_runs(args)[0], args.bin))


def _runs(args):
    """The runs given, or the newest under runs/."""
    if args.run:
        return args.run
    found = sorted(Path("runs").glob(f"*/{SUMMARY}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError("there is no run under runs/; train something first, or name one with --run")
    return [found[-1].parent]


def _pair_angles(folder, files):
    """{set: (genuine, impostor)} angles in degrees: of files with the run's network, or as the run stored them."""
    from ..data.verification.sets import SET_COLUMNS
    from ..protocols.verification import pair_angles
    from ..report.run_files import read_run

    if files:
        found = _measured_pairs(folder, files)
    else:
        found = {one.name: (one.distances, one.issame) for one in read_run(folder).verifications}
    if not found:
        raise UserError(f"{folder} has verified no set; name one with --bin lfw.bin")
    panels = {}
    for name, (distances, issame) in found.items():
        angles = pair_angles(distances)
        panels[SET_COLUMNS.get(name, name)] = angles[issame], angles[~issame]
    return panels


def _measured_pairs(run, files):
    """{set: (squared distances, truth)} of .bin files, and of folders of labelled images, with a run's network."""
    import_mxnet()
    from .. import load_model
    from ..data.images.sources import RecordImages
    from ..data.places import open_validation
    from ..embed import embed_images, verify_set
    from ..protocols.labelled_pairs import labelled_pairs

    net, found = load_model(run), {}
    folders = [path for path in map(Path, files) if path.is_dir()]
    for name, one in open_validation([file for file in files if Path(file) not in folders], Path()).items():
        result = verify_set(net, one.images, one.issame, quiet=False, what=name)
        found[name] = result.distances, result.issame
    for path in folders:
        images = RecordImages(path / "train.rec")
        embeddings = embed_images(net, images, quiet=False, what=path.name)
        found[path.name] = labelled_pairs(embeddings, images.labels or ())
    return found

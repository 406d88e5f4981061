"""Table 9: iQIYI-VID. MAP@100 of the videos found for each person, by feature centres, an MLP, ensembles and context.

    arcface-gluon eval iqiyi (--recipe R | --model M … | --features F …) --data FOLDER [--context FILE] [--flip]

FOLDER has train.txt and val.txt (a line `video person`, -1 for nobody of the gallery) and the frames, aligned to
112x112, as frames/<video>/*.jpg; `--data demo` makes a small one of the held-out ORL faces. Embeddings of frames are
of single crops (--flip adds the mirror), kept in <run>/embeddings: an interrupted evaluation goes on from there. A
video is the centre of its frames' embeddings of length 1, a person (first row of the table) that of the training
videos' centres.
Next rows: scores are log-probabilities of the three-layer MLP trained on the training videos; those of all models
averaged; and those of one more MLP, on context features, averaged with them.

--features takes a .npy a model that `arcface-gluon embed` wrote of the frames, or one with a row a video (named by its
index, or in the order of train.txt and val.txt). So does --context, with a row a video.
"""

from __future__ import annotations

import argparse
import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Iterator, Mapping, Sequence

import numpy as np
from arcface_gluon.datasets import demo as demo_sets

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.evaluation import add_source_options, open_sources
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data.benchmarks.iqiyi import frames, read_set
from arcface_gluon.data.embeddings.by_name import find_features, rows_by_name
from arcface_gluon.data.embeddings.embedding_file import read_embeddings
from arcface_gluon.data.images.sources import ImageFiles
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import list_missing
from arcface_gluon.files import atomic_write, write_json
from arcface_gluon.report.mode import papers_mode

if TYPE_CHECKING:
    from arcface_gluon.data.benchmarks.iqiyi import Videos
    from arcface_gluon.evaluation import Source
    from arcface_gluon.protocols.iqiyi import Retrieval
    from arcface_gluon.report.mode import Mode
    from arcface_gluon.report.results import Subject

TABLE = "table9_iqiyi_vid"
ROW = "MS1MV2+Asian, R100, ArcFace"
COLUMN = "MAP@100"
FOUND = 100
# The paper's test set, and its people.
VIDEOS, PEOPLE = 172_835, 4_934

EXAMPLE = "arcface-gluon eval iqiyi --recipe orl --data demo"


@dataclass
class Centres:
    """vectors: (v, d) of length 1, one a video of the set. there: (v,) bool, False for those without features."""

    vectors: np.ndarray
    there: np.ndarray


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval iqiyi", __doc__, EXAMPLE)
    add_source_options(parser, "features of frames or videos, a .npy a model", TABLE, several=True)
    parser.add_argument("--data", required=True, help="folder of the lists and of frames/, or demo")
    parser.add_argument("--train", type=Path, metavar="LIST", help="training videos (default: the folder's train.txt)")
    parser.add_argument("--list", type=Path, metavar="LIST", help="videos to be found (default: the folder's val.txt)")
    parser.add_argument("--context", type=Path, metavar="FILE", help="context features, .npy with a row a video")
    parser.add_argument(
        "--context-weight", type=float, default=1.0, metavar="W", help="weight of the context beside a model's (1)"
    )
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="of the MLP (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the MLP (default 0)")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "iqiyi", *map(str, arguments or [])])
    return run_safely(lambda: evaluate(args, command))


def evaluate(args: argparse.Namespace, command: str) -> None:
    if args.row not in (None, ROW):
        raise UserError(f"--row {args.row!r}: the model's row of Table 9 is {ROW!r}")
    if args.epochs < 1 or not args.context_weight > 0:
        raise UserError(f"--epochs {args.epochs} --context-weight {args.context_weight}: both must be above 0")
    data = demo() if args.data == "demo" else Path(args.data)
    videos = read_set(args.train or data / "train.txt", args.list or data / "val.txt")
    sources, models = open_sources(args), {}
    for number, source in enumerate(sources, 1):
        name = source.subject.name
        models[f"{name} ({number})" if name in models else name] = centres(source, videos, data)
    context = read_context(args.context, videos, args.skip_missing) if args.context else None
    there = np.logical_and.reduce([one.there for one in (*models.values(), context) if one is not None])
    missing = [name for name, here in zip(videos.names, there) if not here]
    folder, mode = sources[0].folder("iqiyi", TABLE), mode_of(sources)
    for line in list_missing(folder / "missing.txt", missing):
        print(line)
    task = Task(videos, there, sources[0].devices, args)
    print(task.describe(), f"     mode: {mode}; data: {sources[0].subject.data_name(args.data)}", sep="\n")
    methods = measure(task, models, context)
    for name, result in methods.items():
        print(f"     {name + ':':<{max(map(len, methods)) + 1}} {COLUMN} {100 * result.map:.2f}%")
    keep(methods, task, sources[0].subject, " and ".join(models), folder, mode, len(missing), args, command)


def mode_of(sources: Sequence[Source]) -> Mode:
    """The mode that the features of all sources were made in; refuses an ensemble of several."""
    modes = {source.mode(TABLE) for source in sources}
    if len({mode.flip for mode in modes}) > 1:
        raise UserError(
            "some features were made with the mirror image and some without; extract those of one kind again"
        )
    if len(modes) > 1:
        raise UserError("some features were made in bfloat16 and some in float32; extract those of one kind again")
    return modes.pop()


def centres(source: Source, videos: Videos, data: Path) -> Centres:
    """The feature centre of each video, of a source."""
    from arcface_gluon.protocols.ijb_templates import pool

    skip = source.options.skip_missing
    if source.net is None:
        for line in source.note(source.options.features):
            print(line)
        vectors, names, positions = ready_rows(source.options.features, videos, skip)
    else:
        paths, positions, _ = frames(data, videos, skip)
        root = data / "frames"
        images = ImageFiles(root, root, [str(path.relative_to(root)) for path in paths])
        features = source.features(images, f"iqiyi-{len(paths)}.npy")
        names = [images.names[i] for i in features.kept]
        vectors, positions = features.vectors, positions[features.kept]
    pooled = pool(vectors, positions, names=names, contexts=source.devices)
    return spread(pooled.vectors, pooled.ids, videos)


def spread(vectors: np.ndarray, positions: np.ndarray, videos: Videos) -> Centres:
    """Vectors of some videos as rows for all."""
    result = np.zeros((len(videos.names), vectors.shape[1]), np.float32)
    there = np.zeros(len(result), bool)
    result[positions], there[positions] = vectors, True
    return Centres(result, there)


def ready_rows(path: Path, videos: Videos, skip_missing: bool) -> tuple[np.ndarray, list[str], np.ndarray]:
    """(vectors, names, video of each row) of a .npy of frames or of videos."""
    if path.is_dir() or not path.with_suffix(".txt").exists():
        features = find_features(path, videos.names, None, skip_missing)
        return features.vectors, [videos.names[i] for i in features.kept], features.kept
    found = read_embeddings(path)
    rows_by_name(found.names, path)  # refuses a name that is there twice
    position = {name: i for i, name in enumerate(videos.names)}
    rows = np.array([position.get(name, position.get(video_of(name), -1)) for name in found.names], np.int64)
    missing = np.setdiff1d(np.arange(len(videos.names)), rows)
    if len(missing) and (not skip_missing or len(missing) == len(videos.names)):
        raise UserError(
            f"{path} has no feature of {len(missing):,} of {len(videos.names):,} videos, the first is "
            f"{videos.names[missing[0]]}; extract them, or leave them out with --skip-missing"
        )
    if (rows >= 0).all():
        return found.vectors, found.names, rows
    used = np.flatnonzero(rows >= 0)
    return found.vectors[used], [found.names[i] for i in used], rows[used]


def video_of(name: str) -> str:
    """The video of a frame that is named by its path below frames/, or below the folder of that."""
    parts = PurePosixPath(name).parts[:-1]
    return "/".join(parts[1:] if parts[:1] == ("frames",) else parts)


def read_context(path: Path, videos: Videos, skip_missing: bool) -> Centres:
    """Context features, scaled to length 1."""
    from arcface_gluon.protocols.scores.blocks import unit

    features = find_features(path, videos.names, None, skip_missing)
    names = [videos.names[i] for i in features.kept]
    return spread(unit(features.vectors, names, "the context of video"), features.kept, videos)


class Task:
    """Which videos are there: training videos and those to be found, by person.

    Attributes:
        train, val: (v,) bool masks of the set's videos. people: (q,) the training videos' persons, ascending.
        train_people: (t,) position in `people` of each training video. val_people: persons of the others.
    """

    def __init__(self, videos: Videos, there: np.ndarray, devices: list, args: argparse.Namespace):
        self.devices, self.epochs, self.seed = devices, args.epochs, args.seed
        self.context_weight = args.context_weight
        first = np.arange(len(there)) < videos.training
        self.train, self.val = there & first, there & ~first
        if not self.train.any() or not self.val.any():
            raise UserError("no training video or no video to be found is left; get more of them")
        self.people, self.train_people = np.unique(videos.persons[self.train], return_inverse=True)
        self.val_people = videos.persons[self.val]
        self.val_names = [name for name, kept in zip(videos.names, self.val) if kept]

    def describe(self) -> str:
        others = np.count_nonzero(~np.isin(self.val_people, self.people))
        return (
            f"iQIYI-VID: {len(self.train_people):,} training videos of {len(self.people):,} people, "
            f"{len(self.val_people):,} videos to be found, {others:,} of them of nobody of these"
        )

    def by_centres(self, centres: Centres) -> tuple[np.ndarray, np.ndarray]:
        """(queries, videos): cosines to the centre of the person's training videos."""
        from arcface_gluon.protocols.ijb_templates import pool

        pooled = pool(centres.vectors[self.train], self.train_people, contexts=self.devices)
        return pooled.vectors, centres.vectors[self.val]

    def by_mlp(self, centres: Centres) -> tuple[np.ndarray, np.ndarray]:
        """(queries, videos): log-probabilities of an MLP trained on the training videos."""
        from arcface_gluon.training.video_mlp import train_video_mlp

        network, _ = train_video_mlp(
            centres.vectors[self.train],
            self.train_people,
            len(self.people),
            epochs=self.epochs,
            seed=self.seed,
            contexts=self.devices,
        )
        return network.retrieval_parts(centres.vectors[self.val])

    def search(self, queries: np.ndarray, videos: np.ndarray) -> Retrieval:
        """`protocols.retrieval.Retrieval` of the first 100 videos for each person."""
        from arcface_gluon.protocols.iqiyi import mean_average_precision

        return mean_average_precision(
            queries, self.people, videos, self.val_people, FOUND, self.devices, self.val_names
        )


def measure(task: Task, models: Mapping[str, Centres], context: Centres | None) -> dict:
    """{method: Retrieval}, in the order of Table 9; of each model the first two rows."""
    from arcface_gluon.protocols.iqiyi import combine

    results, parts = {}, []
    for name, features in models.items():
        title = f"{name}, " if len(models) > 1 else ""
        results[f"{title}feature centres"] = task.search(*task.by_centres(features))
        parts.append(task.by_mlp(features))
        results[f"{title}+ MLP"] = task.search(*parts[-1])
    if len(models) > 1:
        results["+ Ensemble"] = task.search(*combine(parts))
    if context is not None:
        parts.append(task.by_mlp(context))
        weights = np.array([1.0] * len(models) + [task.context_weight])
        results["+ Context"] = task.search(*combine(parts, weights / weights.sum()))
    return results


def keep(
    methods: Mapping[str, Retrieval],
    task: Task,
    subject: Subject,
    everyone: str,
    folder: Path,
    mode: Mode,
    missing: int,
    args: argparse.Namespace,
    command: str,
) -> None:
    """Results, table and figure, and the measurements for `make tables`; `everyone` names all models."""
    from arcface_gluon.report.figures.run import headed, save_figure
    from arcface_gluon.report.figures.tables import average_precisions
    from arcface_gluon.report.tables import table_of_run

    whole = (len(task.val_people), len(task.people), missing) == (VIDEOS, PEOPLE, 0)
    asked = task.people[np.isin(task.people, task.val_people)]
    facts = {
        "models": everyone,
        "data": args.data,
        "demo": subject.demo,
        "mode": asdict(mode),
        "whole_set": whole,
        "missing": missing,
        "training_videos": len(task.train_people),
        "epochs": task.epochs,
        "seed": task.seed,
        "methods": {name: result.to_json() for name, result in methods.items()},
        "average_precision": {
            name: dict(zip(map(str, asked), result.average_precision.tolist())) for name, result in methods.items()
        },
        "date": time.strftime("%Y-%m-%d"),
        "command": command,
    }
    for path in filter(None, (folder / "results.json", args.json)):
        write_json(path, facts)
    data = "iQIYI-VID" if whole else f"{args.data}; {len(task.val_people):,} videos of {len(task.people):,} people only"
    for line in keep_rows(methods, subject, everyone, data, whole, mode, args.row, command):
        print(f"     {line}")
    with atomic_write(folder / "table.md", "w") as file:
        file.writelines(f"{line}\n" for line in table_of_run(TABLE, subject.folder, subject.demo))
    figure = subject.folder / "figures" / f"iqiyi{mode.suffix(papers_mode(TABLE))}-average-precision"
    bars = average_precisions({name: methods[name].average_precision for name in rows_of(methods)})
    save_figure(headed(bars, subject.data_name(args.data), mode), figure)
    print(f"table: {folder / 'table.md'}; figure: {figure}.png and .svg")
    print(f"results: {folder}")


def rows_of(methods: Mapping[str, Retrieval]) -> dict[str, tuple[str, str]]:
    """{method: (the end of its row in Table 9, file of its measurement)}: the first model, ensemble and context."""
    first, second = list(methods)[:2]
    rows = {first: ("", "centres"), second: ("+ MLP", "mlp")}
    return {**rows, **{name: (name, name[2:].lower()) for name in ("+ Ensemble", "+ Context") if name in methods}}


def keep_rows(
    methods: Mapping[str, Retrieval],
    subject: Subject,
    everyone: str,
    data: str,
    whole: bool,
    mode: Mode,
    row: str | None,
    command: str,
) -> Iterator[str]:
    """Measurements of the first model, of the ensemble and with context; gives lines beside the paper's."""
    from arcface_gluon.report.paper import is_papers_training_set
    from arcface_gluon.report.results import keep_benchmark

    papers = row is not None or is_papers_training_set(TABLE, ROW, subject.summary.get("data"))
    for name, (step, file) in rows_of(methods).items():
        # The paper's later rows are named by the step alone.
        given, suffix = (step or row, "") if papers else (None, step and f" {step}")
        who = subject if file in ("centres", "mlp") else replace(subject, name=everyone)
        cells = {COLUMN: 100 * methods[name].map}
        yield from keep_benchmark(who, f"iqiyi-{file}", TABLE, cells, data, whole, given, command, suffix, mode)


def demo() -> Path:
    """The ORL faces as videos of two pictures."""
    return demo_sets.prepare("iqiyi")

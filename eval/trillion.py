"""Table 8: Trillion-Pairs. Identification at FPR 1e-3 and verification at FPR 1e-9, of all 0.4 trillion pairs.

    arcface-gluon eval trillion (--recipe R | --model M | --features PROBES DISTRACTORS) --data FOLDER [--part N]
        [--no-flip]

FOLDER has the lists elfw_lst (a line `person/image`, the probes) and flickr_lst (the distractors), and the aligned
faces below elfw/ and flickr/; `--data demo` makes a small set of the held-out ORL faces. Embeddings are the sum of
image and mirror (--no-flip: of the image alone), kept in <run>/embeddings. --features names two files instead: .npy
that `arcface-gluon embed` wrote (or whose rows are the list's), or the matrix files that the organisers' server took.
What is computed, exactly and without sampling: see arcface_gluon/protocols/trillion_pairs.py.

Ctrl-C or SIGTERM saves what is done in <run>/trillion-pairs/state.npz, and the same command goes on from there.
--part N measures the first N-th of the people and of the distractors, 1/N² of the pairs, and tells what all would take.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np
from arcface_gluon.datasets import demo as demo_sets

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.evaluation import add_source_options, open_source
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.verify import check_row
from arcface_gluon.data.benchmarks.megaface import read_distractor_list, read_probe_list
from arcface_gluon.data.images.sources import ImageFiles
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import list_missing
from arcface_gluon.files import atomic_write, write_json
from arcface_gluon.report.mode import papers_mode

if TYPE_CHECKING:
    from arcface_gluon.evaluation import Source
    from arcface_gluon.protocols.trillion_pairs import TrillionPairs
    from arcface_gluon.report.mode import Mode
    from arcface_gluon.report.results import Subject

TABLE = "table8_trillion_pairs"
COLUMNS = {"Id at FPR 1e-3": ("identification", 1e-3), "Ver at FPR 1e-9": ("verification", 1e-9)}
_TELLING = 100_000_000  # pairs: a second or two; with fewer, starting weighs more than the scores
_TRIAL = 8192, 16384  # probes and distractors

EXAMPLE = "arcface-gluon eval trillion --recipe orl --data demo"


@dataclass
class Side:
    """The probes or the distractors.

    Attributes:
        root: folder of the images. paths: the list. people: of the probes, one a path.
        vectors: (n, d), of those with features. names: n paths. missing: paths without features.
        images_per_second: of the extraction; None if there was none.
    """

    root: Path
    paths: list
    people: list = None
    vectors: object = None
    names: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    images_per_second: float = None


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval trillion", __doc__, EXAMPLE)
    add_source_options(parser, "features of the probes and of the distractors", TABLE)
    parser.add_argument("--data", required=True, help="folder with elfw_lst and flickr_lst, or demo")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="measure an N-th, tell what all would take")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "trillion", *map(str, arguments or [])])
    return run_safely(lambda: evaluate(args, command))


def evaluate(args: argparse.Namespace, command: str) -> None:
    check_row(args.row, TABLE)
    if args.part < 1:
        raise UserError(f"--part {args.part}: it must be a number of 1 or more, 10 for a tenth")
    if args.features is not None and len(args.features) != 2:
        raise UserError("--features takes two: those of the probes and those of the distractors")
    data = demo() if args.data == "demo" else Path(args.data)
    sides = probes, distractors = read_lists(data)
    source = open_source(args)
    for side, ready in zip(sides, args.features or (None, None)):
        find(side, source, ready, args.part)
    folder = source.folder("trillion-pairs" if args.part == 1 else f"trillion-pairs-part-{args.part}", TABLE)
    mode = source.mode(TABLE)
    missing = [f"{side.root.name}/{name}" for side in sides for name in side.missing]
    for line in list_missing(folder / "missing.txt", missing):
        print(line)
    result = run(probes, distractors, source.devices, folder / "state.npz")
    print(*describe(result, args.part), f"     mode: {mode}; data: {source.subject.data_name(args.data)}", sep="\n")
    whole = args.part == 1 and not missing and is_whole(result)
    facts = {"model": source.subject.name, "data": args.data, "part": args.part, "missing": len(missing)}
    facts.update(
        demo=source.subject.demo, mode=asdict(mode), whole_set=whole, date=time.strftime("%Y-%m-%d"), command=command
    )
    for path in filter(None, (folder / "results.json", args.json)):
        write_json(path, {**result.to_json(), **facts})
    if args.part == 1:
        keep(result, source.subject, folder, mode, facts, args.row)
    print(f"results: {folder}")
    print(*extrapolate(result, sides, source.devices), sep="\n")


def read_lists(data: Path) -> tuple[Side, Side]:
    """The probes and the distractors that the lists of the folder name."""
    probes = read_probe_list(data / "elfw_lst")
    distractors = read_distractor_list(data / "flickr_lst")
    return Side(data / "elfw", probes.paths, probes.identities), Side(data / "flickr", distractors.paths)


def find(side: Side, source: Source, ready: Path | None, part: int) -> None:
    """Give a side its features, extracted or ready ones, of the first `part`-th."""
    count = part_of(side, part)
    # Ready features have the rows of the whole list; images beyond the part are not even looked for.
    paths = side.paths[:count] if source.net is not None else side.paths
    end = "" if part == 1 else f"-part-{part}"
    features = source.features(
        ImageFiles(side.root, side.root, paths), f"trillion-pairs-{side.root.name}{end}.npy", ready
    )
    kept = [int(i) for i in features.kept if i < count]
    if not kept:
        raise UserError(f"there is no feature of the first {count:,} images of {side.root}")
    side.vectors, side.names = features.vectors[: len(kept)], [side.paths[i] for i in kept]
    side.people = side.people and [side.people[i] for i in kept]
    side.missing = features.missing
    side.images_per_second = source.images_per_second


def part_of(side: Side, part: int) -> int:
    """How many images the first `part`-th has; of the probes, whole people and at least two."""
    if part == 1 or side.people is None:
        return -(-len(side.paths) // part)
    people = list(dict.fromkeys(side.people))
    kept = set(people[: max(2, len(people) // part)])
    return next((i for i, person in enumerate(side.people) if person not in kept), len(side.people))


def run(probes: Side, distractors: Side, devices: list, state: Path) -> TrillionPairs:
    """Both protocols; a signal ends them with the state saved."""
    from arcface_gluon.protocols import trillion_pairs
    from arcface_gluon.training.interrupt import Interrupted, Interrupts

    with Interrupts("stopping after this part of the distractors") as interrupts:

        def stop(done):
            if interrupts.received:
                name = signal.Signals(interrupts.received).name
                text = f"{name}: stopped after {done}; the same command goes on from there ({state})"
                raise Interrupted(interrupts.received, text)

        return trillion_pairs.evaluate(
            probes.vectors, probes.people, distractors.vectors, devices, state, probes.names, distractors.names, stop
        )


def is_whole(result: TrillionPairs) -> bool:
    """Whether the set has the numbers that its authors round."""
    from arcface_gluon.protocols.trillion_pairs import FULL_SIZE

    found = result.probes, result.distractors
    return all(abs(count - full) <= 0.01 * full for count, full in zip(found, FULL_SIZE))


def describe(result: TrillionPairs, part: int) -> Iterator[str]:
    what = "Trillion-Pairs" if part == 1 else f"Trillion-Pairs, the first 1/{part} of both lists"
    yield (
        f"{what}: {result.probes:,} probes of {result.persons:,} people, {result.distractors:,} distractors; "
        f"{result.genuine_pairs:,} genuine and {result.impostor_pairs:,} impostor pairs"
    )
    for protocol in ("identification", "verification"):
        rates = ", ".join(f"{rate:.3%} at FPR {fpr:.0e}" for fpr, rate in getattr(result, protocol).items())
        yield f"     {protocol}: TPR {rates}".replace("e-0", "e-")
    if 1e-9 * result.impostor_pairs < 1:
        yield "     the set is too small for a FPR of 1e-9: there no impostor pair is accepted at all"


def keep(result: TrillionPairs, subject: Subject, folder: Path, mode: Mode, facts: dict, row: str | None) -> None:
    """Table and figure, and the measurements for `make tables`."""
    from arcface_gluon.report.figures.run import headed, save_figure
    from arcface_gluon.report.figures.tables import trillion_roc
    from arcface_gluon.report.results import keep_benchmark
    from arcface_gluon.report.tables import table_of_run

    cells = {column: 100 * getattr(result, protocol)[fpr] for column, (protocol, fpr) in COLUMNS.items()}
    data = "Trillion-Pairs" if facts["whole_set"] else f"{facts['data']}: {result.impostor_pairs:,} pairs only"
    whole, command = facts["whole_set"], facts["command"]
    for line in keep_benchmark(subject, "trillion-pairs", TABLE, cells, data, whole, row, command, mode=mode):
        print(f"     {line}")
    with atomic_write(folder / "table.md", "w") as file:
        file.writelines(f"{line}\n" for line in table_of_run(TABLE, subject.folder, subject.demo))
    figure = subject.folder / "figures" / f"trillion-pairs{mode.suffix(papers_mode(TABLE))}-roc"
    curves = trillion_roc({subject.name: (*result.roc, result.impostor_pairs)})
    save_figure(headed(curves, subject.data_name(facts["data"]), mode), figure)
    print(f"table: {folder / 'table.md'}; figure: {figure}.png and .svg")


def extrapolate(result: TrillionPairs, sides: Sequence[Side], devices: list) -> Iterator[str]:
    """What the whole set would take; by a trial where this one was too small to tell."""
    from arcface_gluon.protocols.trillion_pairs import FULL_SIZE

    probes, distractors = FULL_SIZE
    size, where, how = sides[0].vectors.shape[1], ", ".join(map(str, devices)), ""
    if result.impostor_pairs < _TELLING:
        result, how = trial(size, devices), " (on random features: this set is too small to tell)"
    if result.full_seconds is not None:
        rate = f"{result.scores_per_second:,.0f} scores/s of {size} values on {where}{how}"
        yield f"the whole set, {probes:,} x {distractors:,}, would take {_duration(result.full_seconds)} at {rate}"
    rates = [side.images_per_second for side in sides]
    if all(rates):
        seconds = probes / rates[0] + distractors / rates[1]
        yield f"and its extraction {_duration(seconds)}, {(probes + distractors) / seconds:,.1f} images/s"


def trial(size: int, devices: list) -> TrillionPairs:
    """The protocols on random features, for their rate."""
    from arcface_gluon.protocols import trillion_pairs

    random = np.random.default_rng(0)
    probes, distractors = (random.standard_normal((count, size), np.float32) for count in _TRIAL)
    return trillion_pairs.evaluate(probes, np.arange(len(probes)) // 2, distractors, devices)


def _duration(seconds):
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def demo() -> Path:
    """The ORL faces as a small set."""
    return demo_sets.prepare("trillion-pairs")

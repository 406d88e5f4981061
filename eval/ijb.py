"""Table 7 and Figure 9: IJB-B and IJB-C, 1:1 verification of templates; 1:N identification where its lists are there.

    arcface-gluon eval ijb (--recipe R | --model M | --features F …) --data FOLDER [--benchmark IJBB] [--benchmark IJBC]
        [--flip] [--detector-score] [--norm-weight] [--skip-missing] [--row ROW]

FOLDER has IJBB/ and IJBC/ (or one of them, or is one), each with loose_crop/ and meta/. `--data demo` makes small ones
of the held-out ORL faces. Crops are aligned by the five points of meta/; embeddings are of single crops as in the paper
(--flip adds the mirror), kept in <run>/embeddings/ijbb-single.npy (-mirror): an interrupted evaluation goes on from
there. Ready features: one .npy a benchmark, with the index that `arcface-gluon embed` writes or with the rows of the
media list, or a folder of <image><ending>; --flip or --no-flip says how they were made where nothing beside them does.

A template is the plain centre of its media, as in the paper. TAR is that of the nearest FAR, the rule of the published
numbers; <run>/ijb/ijbb.json also has the TAR whose FAR is not above the one asked for. Rank-1, 5 and 10 are of both
galleries merged, and of each of them below; TPIR is the mean of the galleries. <run>/ijb gets table.md too,
<run>/figures gets figure-9. Names of files end in what is not the paper's mode (-mirror, -norm-weight …).
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, Mapping, Sequence

import numpy as np
from arcface_gluon.datasets import demo as demo_sets

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.evaluation import add_source_options, open_source
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.verify import check_row
from arcface_gluon.data.benchmarks import ijb
from arcface_gluon.data.images.sources import ImageFiles, UnalignedFiles
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import list_missing
from arcface_gluon.files import atomic_write, write_json
from arcface_gluon.report.mode import papers_mode

if TYPE_CHECKING:
    from arcface_gluon.evaluation import Source
    from arcface_gluon.protocols.ijb_templates import Templates
    from arcface_gluon.report.mode import Mode
    from arcface_gluon.report.results import Subject

TABLE = "table7_ijb"
NAMES = {"IJBB": "IJB-B", "IJBC": "IJB-C"}
# What the paper's numbers are of: images, genuine pairs, impostor pairs.
WHOLE = {"IJBB": (227_630, 10_270, 8_000_000), "IJBC": (469_375, 19_557, 15_638_932)}

EXAMPLE = "arcface-gluon eval ijb --recipe orl --data demo"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval ijb", __doc__, EXAMPLE)
    add_source_options(parser, "a .npy or a folder of feature files for each benchmark", TABLE)
    parser.add_argument("--data", required=True, help="folder with IJBB/ or IJBC/, or demo")
    parser.add_argument(
        "--benchmark",
        action="append",
        choices=ijb.BENCHMARKS,
        help="may be repeated (default: all whose lists are there)",
    )
    parser.add_argument("--detector-score", action="store_true", help="weight images by the face detector's score")
    parser.add_argument("--norm-weight", action="store_true", help="weight images by the length of their embedding")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "ijb", *map(str, arguments or [])])
    return run_safely(lambda: evaluate(args, command))


def evaluate(args: argparse.Namespace, command: str) -> None:
    check_row(args.row, TABLE)
    places = find_benchmarks(demo() if args.data == "demo" else Path(args.data), args.benchmark)
    if args.features is not None and len(args.features) != len(places):
        raise UserError(f"--features must be one for each of {', '.join(places)}; choose with --benchmark")
    source = open_source(args)
    lists = {name: read_lists(where, source.net or args.detector_score) for name, where in places.items()}
    results = {}
    for number, (name, read) in enumerate(lists.items()):
        ready = args.features[number] if args.features else None
        results[name] = measure(name, read, source, ready, args)
    report(results, source, args, command)


def find_benchmarks(data: Path, wanted: Sequence[str] | None = None) -> dict[str, ijb.Layout]:
    """{benchmark: data.ijb.Layout} of the wanted ones, or of all whose media list is there."""
    places = {name: ijb.layout(data / name if (data / name).is_dir() else data, name) for name in ijb.BENCHMARKS}
    found = [name for name in ijb.BENCHMARKS if (name in wanted if wanted else places[name].media.is_file())]
    if not found:
        raise UserError(f"{data} has neither {' nor '.join(str(where.media) for where in places.values())}")
    return {name: places[name] for name in found}


@dataclass
class Lists:
    """What the files of meta/ say. landmarks: None where not needed. galleries: empty without 1:N lists."""

    where: ijb.Layout
    media: ijb.Media
    landmarks: ijb.Landmarks | None
    pairs: ijb.Pairs
    galleries: list
    probes: ijb.Enrolment | None


def read_lists(where: ijb.Layout, with_landmarks: object) -> Lists:
    media = ijb.read_media(where.media)
    landmarks = ijb.read_landmarks(where.landmarks, media.names) if with_landmarks else None
    pairs = ijb.read_pairs(where.pairs)
    if repeated := pairs.repeated():
        print(f"note: {where.pairs}: {repeated:,} of its {len(pairs.same):,} lines repeat a pair, and count again")
    if not any(path.is_file() for path in (*where.galleries, where.probes)):
        return Lists(where, media, landmarks, pairs, [], None)
    galleries = [ijb.read_enrolment(path) for path in where.galleries]
    return Lists(where, media, landmarks, pairs, galleries, ijb.read_enrolment(where.probes))


@dataclass
class Measured:
    """Of one benchmark. identification: None without 1:N lists. missing: images and templates that were left out."""

    images: int
    templates: int
    verification: object
    identification: object
    missing: list


def measure(name: str, lists: Lists, source: Source, ready: Path | None, args: argparse.Namespace) -> Measured:
    """Features, templates, 1:1 and 1:N of a benchmark."""
    from arcface_gluon.protocols import ijb_identification as template_search
    from arcface_gluon.protocols import ijb_templates, ijb_verification

    media, landmarks = lists.media, lists.landmarks
    number = {}
    image = np.array([number.setdefault(path, len(number)) for path in media.names])
    if source.net is None:
        images = ImageFiles(lists.where.media, lists.where.images, list(number))
    else:
        points = landmarks.points[np.unique(image, return_index=True)[1]]
        images = UnalignedFiles(lists.where.landmarks, lists.where.images, list(number), points)
    found = source.features(images, f"{name.lower()}.npy", ready)
    row = np.full(len(number), -1)
    row[found.kept] = np.arange(len(found.kept))
    here = np.flatnonzero(row[image] >= 0)
    rows = row[image[here]]
    whole = len(rows) == len(found.vectors) and (rows == np.arange(len(rows))).all()
    pooled = ijb_templates.pool(
        found.vectors if whole else found.vectors[rows],
        media.templates[here],
        media.media[here],
        landmarks.scores[here] if args.detector_score else None,
        args.norm_weight,
        [media.names[i] for i in here],
        source.devices,
    )
    pairs = lists.pairs
    verified = ijb_verification.verify(pooled, pairs.first, pairs.second, pairs.same, args.skip_missing, source.devices)
    unpaired = np.unique(np.array(verified.skipped, np.int64))
    empty = set(unpaired[pooled.rows(unpaired) < 0].tolist())
    searched = None
    if lists.galleries:
        enrolled = [enrolment(pooled, one, args.skip_missing, empty) for one in (lists.probes, *lists.galleries)]
        searched = template_search.search(pooled, enrolled[0], enrolled[1:], source.devices)
    missing = [*found.missing, *(f"template {template}" for template in sorted(empty))]
    return Measured(len(here), len(pooled.ids), verified, searched, missing)


def enrolment(
    pooled: Templates, listed: ijb.Enrolment, skip_missing: bool, empty: set[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(templates, subjects) of a 1:N list; templates without an image are left out if asked for, and join `empty`."""
    there = pooled.rows(listed.templates) >= 0
    if there.all() or not skip_missing:
        return listed.templates, listed.subjects
    empty.update(listed.templates[~there].tolist())
    return listed.templates[there], listed.subjects[there]


def report(results: Mapping[str, Measured], source: Source, args: argparse.Namespace, command: str) -> None:
    """Print and keep everything: tables, JSON, Figure 9, the measurements for Table 7."""
    from arcface_gluon.report.figures.benchmarks import template_curves
    from arcface_gluon.report.figures.run import headed, save_figure

    subject = source.subject
    mode = replace(source.mode(TABLE), norm_weight=args.norm_weight, detector_score=args.detector_score)
    end = mode.suffix(papers_mode(TABLE))
    out, figure = subject.folder / "ijb", subject.folder / "figures" / f"figure-9{end}"
    lines = [*tables(results), "", f"Mode: {mode}. Data: {subject.data_name(args.data)}."]
    with atomic_write(out / f"table{end}.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*lines, "", sep="\n")
    facts = {}
    for name, result in results.items():
        facts[name] = {
            "model": subject.name,
            "data": args.data,
            "demo": subject.demo,
            "mode": asdict(mode),
            "images": result.images,
            "templates": result.templates,
            "missing": len(result.missing),
            "verification": result.verification.to_json(),
            "identification": result.identification.to_json() if result.identification else None,
            "command": command,
        }
        write_json(out / f"{name.lower()}{end}.json", facts[name])
        for line in describe(name, result, out):
            print(line)
        for line in keep(subject, name, result, mode, args.data, args.row, command):
            print(f"  {line}")
    if args.json:
        write_json(args.json, facts)
    curves = template_curves({NAMES[name]: result.verification.curve for name, result in results.items()})
    save_figure(headed(curves, subject.data_name(args.data), mode), figure)
    print(f"results: {out}, {figure}.png")


def tables(results: Mapping[str, Measured]) -> list[str]:
    """Lines of Markdown: TAR at each FAR, and the 1:N measures, all in per cent."""
    from arcface_gluon.protocols.ijb_identification import FPIRS, RANKS
    from arcface_gluon.report.tables import markdown_table

    def row(name, values):
        return [NAMES[name], *("" if value is None else f"{100 * value:.2f}" for value in values)]

    fars = next(iter(results.values())).verification.fars
    verified = [row(name, result.verification.tar_nearest) for name, result in results.items()]
    lines = markdown_table(["1:1, TAR (%) at FAR", *(f"{far:.0e}".replace("e-0", "e-") for far in fars)], verified)
    found = {name: result.identification for name, result in results.items() if result.identification}
    if found:
        heads = ["1:N (%)", "gallery", *(f"rank-{k}" for k in RANKS), *(f"TPIR at FPIR {fpir}" for fpir in FPIRS)]
        searched = []
        for name, one in found.items():
            # TPIR of all is the galleries' mean, their ranks are those of the merged gallery.
            parts = [(f"G{number}", part, part.tpir) for number, part in enumerate(one.galleries, 1)]
            for gallery, part, tpir in [("merged", one.merged, one.tpir), *parts]:
                name_, *cells = row(name, [*map(part.rank, RANKS), *map(tpir, FPIRS)])
                searched.append([name_, gallery, *cells])
        lines += ["", *markdown_table(heads, searched)]
    return lines


def describe(name: str, result: Measured, out: Path) -> Iterator[str]:
    """What the numbers of a benchmark are of, and what they are not."""
    verified, least = result.verification, min(result.verification.fars)
    yield (
        f"{NAMES[name]}: {result.templates:,} templates of {result.images:,} images, "
        f"{verified.genuine_pairs:,} genuine and {verified.impostor_pairs:,} impostor pairs"
    )
    if verified.impostor_pairs * least < 1:
        yield f"  one of these impostor pairs is a FAR of {1 / verified.impostor_pairs:.1e}: below, TAR is the nearest"
    if result.identification is None:
        yield "  1:N is left out: meta/ has no lists of galleries and probes"
    for line in list_missing(out / f"{name.lower()}.missing.txt", result.missing):
        yield f"  {line}"
    if verified.skipped:
        yield f"  {len(verified.skipped):,} pairs of templates without an image are left out"


def keep(
    subject: Subject, name: str, result: Measured, mode: Mode, data: str, row: str | None, command: str
) -> list[str]:
    """The measurement for Table 7; gives the lines beside the paper's."""
    from arcface_gluon.report.results import keep_benchmark

    verified = result.verification
    counts = result.images, verified.genuine_pairs, verified.impostor_pairs
    whole = counts == WHOLE[name]
    data = " and ".join(NAMES.values()) if whole else f"{data}; {counts[1] + counts[2]:,} pairs only"
    cells = {f"{NAMES[name]} TAR at FAR 1e-4": verified.tar_nearest[verified.fars.index(1e-4)]}
    return keep_benchmark(subject, name.lower(), TABLE, cells, data, whole, row, command, mode=mode)


def demo() -> Path:
    """The ORL faces as both benchmarks."""
    folder = demo_sets.DATASETS / "demo" / "ijb"
    for name in ijb.BENCHMARKS:
        demo_sets.prepare(name.lower(), folder / name)
    return folder

"""Table 6 and Figure 8: MegaFace, identification and verification of FaceScrub's probes among up to a million faces.

    arcface-gluon eval megaface (--recipe R | --model M | --features F …) --data FOLDER [--sizes N …] [--sets 1 2 3]
        [--no-flip]

FOLDER has facescrub_images/ and megaface_images/ (aligned to 112x112), the devkit's templatelists/ and, for the
refined protocol R, the ArcFace authors' facescrub_noises.txt and megaface_noises.txt; options name each elsewhere.
`--data demo` makes a small one of the held-out ORL faces. Ready features: `--features ROOT --ending _r100.bin` for the
devkit's files ROOT/facescrub/<image>_r100.bin and ROOT/megaface/…, or one or two .npy (probes, distractors) that
`arcface-gluon embed` wrote. Embeddings are the sum of image and mirror (--no-flip: the image alone). They are kept in
<run>/embeddings: an interrupted evaluation goes on from there, and lists of all sizes and sets share them.

<run>/megaface gets the devkit's cmc_facescrub_megaface_<name>_<size>_<set>.json (<name>_R for the refined protocol),
results.json and table.md; <run>/figures gets figure-8. With --no-flip these are megaface-single and figure-8-single.
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
from arcface_gluon.data.benchmarks import megaface
from arcface_gluon.data.embeddings.devkit_files import write_feature
from arcface_gluon.data.images.sources import ImageFiles
from arcface_gluon.errors import UserError
from arcface_gluon.evaluation import list_missing
from arcface_gluon.files import atomic_write, write_json
from arcface_gluon.progress import progress
from arcface_gluon.report.mode import papers_mode

if TYPE_CHECKING:
    from arcface_gluon.data.benchmarks.megaface import Galleries, ImageList, Noise
    from arcface_gluon.evaluation import Source
    from arcface_gluon.protocols.megaface import Identification
    from arcface_gluon.report.mode import Mode
    from arcface_gluon.report.results import Subject

TABLE = "table6_megaface"
FAR = "1e-6"
REFINED = "R"
PROTOCOLS = {"": "original", REFINED: "refined (R)"}
# What the paper's numbers are of: FaceScrub's probes, their people, MegaFace's largest list.
PROBES, PEOPLE, DISTRACTORS = 3530, 80, 1_000_000

EXAMPLE = "arcface-gluon eval megaface --recipe orl --data demo"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval megaface", __doc__, EXAMPLE)
    add_source_options(parser, "root of the devkit's feature files, or .npy of probes and distractors", TABLE)
    parser.add_argument("--data", required=True, help="folder of the benchmark, or demo")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="distractors (default: all that have lists)")
    parser.add_argument("--sets", type=int, nargs="+", metavar="N", help="the devkit's sets (default: all there are)")
    parser.add_argument("--probes", type=Path, metavar="LIST", help="list of the probes")
    parser.add_argument("--lists", type=Path, metavar="FOLDER", help="the devkit's templatelists")
    parser.add_argument("--probe-images", type=Path, metavar="FOLDER", help="default: facescrub_images")
    parser.add_argument("--distractor-images", type=Path, metavar="FOLDER", help="default: megaface_images")
    parser.add_argument("--noise-probes", type=Path, metavar="LIST", help="default: facescrub_noises.txt, if there")
    parser.add_argument("--noise-distractors", type=Path, metavar="LIST", help="default: megaface_noises.txt, if there")
    parser.add_argument(
        "--refine",
        choices=("insightface", "delete"),
        default="insightface",
        help="noisy faces: replace probes and reject distractors, as for the paper's numbers (default); or delete them",
    )
    parser.add_argument("--write-features", type=Path, metavar="ROOT", help="write the devkit's feature files too")
    args = parser.parse_args(arguments)
    command = shlex.join(["arcface-gluon", "eval", "megaface", *map(str, arguments or [])])
    return run_safely(lambda: evaluate(args, command))


def evaluate(args: argparse.Namespace, command: str) -> None:
    check_row(plain_row(args.row), TABLE)
    data = demo() if args.data == "demo" else Path(args.data)
    folder = args.lists or data / "templatelists"
    probes = megaface.read_probe_list(args.probes or folder / "facescrub_features_list.json")
    galleries = megaface.read_galleries(folder, args.sizes, args.sets)
    noisy = (
        noise_list(args.noise_probes, data / "facescrub_noises.txt"),
        noise_list(args.noise_distractors, data / "megaface_noises.txt"),
    )
    noise = megaface.read_noise(*noisy, probes.paths, galleries, folder)
    source = open_source(args)
    found = find_all(source, args, data, probes, galleries)
    out = source.folder("megaface", TABLE)
    if args.write_features:
        write_features(args.write_features, ending(source), found)
    listed = list_missing(out / "noise-ignored.txt", noise.unknown, "names of noise lists are ignored")
    for line in (*list_missing(out / "missing.txt", found.missing), *noise.counted, *listed):
        print(line)
    results = measure(found, galleries, noise, args.refine, source.devices, out, ending(source))
    report(results, found, noise, source, out, args, command)


def noise_list(given: Path | None, usual: Path) -> Path | None:
    """The noise list that was named, or the usual one if it is there."""
    return given or (usual if usual.is_file() else None)


@dataclass
class Found:
    """Features that are there.

    probes, distractors: (n, d) and (m, d). kept_probes, kept_distractors: their positions in the lists.
    marked: (m,) bool, distractors that the ArcFace authors' noise script has marked; None if it was not run on these.
    labels, names: of the probes. missing: images without features.
    """

    probes: np.ndarray
    distractors: np.ndarray
    kept_probes: np.ndarray
    kept_distractors: np.ndarray
    labels: np.ndarray
    names: list
    distractor_names: list
    marked: np.ndarray | None
    missing: list


def find_all(source: Source, args: argparse.Namespace, data: Path, probes: ImageList, galleries: Galleries) -> Found:
    """Features of all probes and distractors, extracted or ready."""
    ready = ready_sources(args.features)
    roots = args.probe_images or data / "facescrub_images", args.distractor_images or data / "megaface_images"
    parts = []
    for root, paths, what, where in zip(roots, (probes.paths, galleries.paths), ("probes", "distractors"), ready):
        file = f"megaface-{what}-{len(paths)}.npy"  # lists of other sizes do not replace it
        parts.append(source.features(ImageFiles(root, root, paths), file, where))
    first, second = parts
    sizes = first.vectors.shape[1], second.vectors.shape[1]
    if sizes[0] != sizes[1]:
        raise UserError(f"probes have features of {sizes[0]} values, distractors of {sizes[1]}; use one model for both")
    (vectors, marks), (others, marked) = (megaface.split_noise_mark(part.vectors) for part in parts)
    with_marks = vectors.shape[1] == others.shape[1] < sizes[0]
    if not with_marks:
        vectors, others = first.vectors, second.vectors
    elif marks.any():
        raise UserError("a probe has the noise mark 100 of a distractor; check which features are which")
    return Found(
        probes=vectors,
        distractors=others,
        kept_probes=first.kept,
        kept_distractors=second.kept,
        labels=np.array(probes.identities)[first.kept],
        names=[probes.paths[i] for i in first.kept],
        distractor_names=[galleries.paths[i] for i in second.kept],
        marked=marked if with_marks else None,
        missing=[*first.missing, *second.missing],
    )


def ready_sources(features: Sequence[Path] | None) -> tuple[Path | None, Path | None]:
    """Where the features of probes and of distractors are, by --features."""
    if not features:
        return None, None
    if len(features) > 2:
        raise UserError(f"--features takes probes and distractors, not {len(features)} sources")
    if len(features) == 1 and features[0].is_dir():
        return features[0] / "facescrub", features[0] / "megaface"
    return features[0], features[-1]


def ending(source: Source) -> str:
    """What the devkit appends to an image's path; its part before the dot names the results."""
    return source.options.ending or f"_{source.subject.folder.resolve().name.replace('.', '-')}.bin"


def write_features(root: Path, end: str, found: Found) -> None:
    """The devkit's feature files, of length 1, below root/facescrub and root/megaface."""
    from arcface_gluon.protocols.scores.blocks import unit

    for folder, names, vectors in (
        ("facescrub", found.names, found.probes),
        ("megaface", found.distractor_names, found.distractors),
    ):
        paths = megaface.feature_paths(root / folder, names, end)
        for row, path in enumerate(progress(paths, desc=f"writing {folder}", unit=" files")):
            write_feature(path, unit(vectors[row : row + 1], names[row : row + 1], folder)[0])


def measure(
    found: Found, galleries: Galleries, noise: Noise, way: str, devices: list, out: Path, end: str
) -> dict[str, dict[tuple[int, int], Identification]]:
    """{protocol: {(size, set): Identification}}, each also written as the devkit's JSON."""
    from arcface_gluon.protocols.megaface import identify, refine

    probes = found.probes
    protocols = {"": (probes, found.labels, np.ones(len(found.distractors), bool), False)}
    noisy = noise.distractors[found.kept_distractors]
    if found.marked is not None:
        # The authors' script has replaced the noisy probes already: these are the refined features.
        protocols = {REFINED: (probes, found.labels, ~found.marked, True)}
    elif noise.lists:
        refined = refine(probes, found.labels, noise.probes[found.kept_probes], noisy, way, names=found.names)
        protocols[REFINED] = refined.probes, refined.labels, refined.keep, way == "insightface"
    place = np.full(len(galleries.paths), -1)
    place[found.kept_distractors] = np.arange(len(found.kept_distractors))
    results = {}
    for protocol, (probes, labels, keep, reject) in protocols.items():
        names = found.names if probes is found.probes else None  # the refined ones come after those with names
        for (size, number), rows in galleries.rows.items():
            listed = np.zeros(len(keep), bool)
            listed[place[rows][place[rows] >= 0]] = True
            rejected = int(np.count_nonzero(listed & ~keep)) if reject else 0
            result = identify(
                probes, labels, found.distractors, devices, names, found.distractor_names, listed & keep, rejected
            )
            results.setdefault(protocol, {})[size, number] = result
            stem = f"_{megaface.algorithm(end)}{'_' + protocol if protocol else ''}.bin"
            write_json(out / megaface.result_name(stem, size, number), result.to_json())
    return results


def report(
    results: Mapping[str, Mapping[tuple[int, int], Identification]],
    found: Found,
    noise: Noise,
    source: Source,
    out: Path,
    args: argparse.Namespace,
    command: str,
) -> None:
    """Print and keep everything: the table, results.json, Figure 8, the measurements for Table 6."""
    from arcface_gluon.report.figures.benchmarks import megaface_curves
    from arcface_gluon.report.figures.run import headed, save_figure

    subject = source.subject
    mode = source.mode(TABLE)
    lines = [*table(results), "", f"Mode: {mode}. Data: {subject.data_name(args.data)}."]
    with atomic_write(out / "table.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*lines, sep="\n")
    print(*notes(results), sep="\n")
    figure = subject.folder / "figures" / f"figure-8{mode.suffix(papers_mode(TABLE))}"
    curves = megaface_curves({PROTOCOLS[name]: found for name, found in results.items()})
    save_figure(headed(curves, subject.data_name(args.data), mode), figure)
    facts = {
        "model": subject.name,
        "data": args.data,
        "demo": subject.demo,
        "mode": asdict(mode),
        "refine": args.refine if noise.lists and found.marked is None else None,
        "missing": len(found.missing),
        "noise_names_ignored": len(noise.unknown),
        "results": [
            {"protocol": PROTOCOLS[protocol], "size": size, "set": number, **exact(result)}
            for protocol, measured in results.items()
            for (size, number), result in measured.items()
        ],
        "command": command,
    }
    for path in filter(None, (out / "results.json", args.json)):
        write_json(path, facts)
    for protocol, measured in results.items():
        for line in keep(subject, protocol, measured, found, noise, mode, args, command):
            print(line)
    print(f"results: {out}, {figure}.png")


def exact(result: Identification) -> dict:
    """What the JSON of a result has beside its curves."""
    return {name: value for name, value in result.to_json().items() if name not in ("cmc", "roc")}


def table(results: Mapping[str, Mapping[tuple[int, int], Identification]]) -> list[str]:
    """Lines of Markdown: rank-1 and TAR, in per cent, for each list and protocol."""
    from arcface_gluon.report.tables import markdown_table

    titles = {protocol: f"{protocol}: " if protocol else "" for protocol in results}
    heads = ["distractors", "set"]
    for title in titles.values():
        heads += [f"{title}rank-1 (%)", f"{title}TAR at FAR {FAR} (%)"]
    rows = []
    for size, number in next(iter(results.values())):
        row = [f"{size:,}", str(number)]
        for measured in results.values():
            result = measured[size, number]
            row += [f"{100 * result.rank1:.2f}", f"{100 * tar(result):.2f}"]
        rows.append(row)
    return markdown_table(heads, rows)


def notes(results: Mapping[str, Mapping[tuple[int, int], Identification]]) -> Iterator[str]:
    """What one should know of the numbers."""
    first = next(iter(results.values()))
    largest = first[max(first)]
    without = f", {largest.probes_without_mate} have no mate" if largest.probes_without_mate else ""
    yield f"{largest.probes:,} probes of {largest.identities:,} people{without}; {len(largest.ranks):,} searches a list"
    if largest.curve.total < 1 / float(FAR):
        yield f"FAR {FAR} of {largest.curve.total:,} impostor pairs is none: TAR is above the highest of them"
    for protocol, measured in results.items():
        for (size, number), result in measured.items():
            if result.rank1_if_ties_lose < result.rank1:
                name = f"{protocol + ', ' if protocol else ''}{size:,} distractors, set {number}"
                yield f"{name}: rank-1 would be {result.rank1_if_ties_lose:.2%} if ties lost"


def tar(result: Identification) -> float:
    return result.curve.at(FAR)[1]


def keep(
    subject: Subject,
    protocol: str,
    measured: Mapping[tuple[int, int], Identification],
    found: Found,
    noise: Noise,
    mode: Mode,
    args: argparse.Namespace,
    command: str,
) -> list[str]:
    """Measurements of the largest lists, averaged over the sets, for Table 6; gives lines beside the paper's."""
    from arcface_gluon.report.results import keep_benchmark

    size = max(measured)[0]
    largest = [result for key, result in measured.items() if key[0] == size]
    probes, people = len(found.labels), len(set(found.labels))
    whole = (probes, people) == (PROBES, PEOPLE) and all(one.distractors == DISTRACTORS for one in largest)
    data = "MegaFace" if whole else f"{args.data}; {probes:,} probes, {largest[0].distractors:,} distractors only"
    if protocol and found.marked is None:
        if args.refine != "insightface":
            mode = replace(mode, rule=f"{mode.rule}; noisy faces deleted")
        whole = whole and len(noise.lists) == 2
        data += f"; refined ({args.refine}): {noise.probes.sum():,} probes, {noise.distractors.sum():,} distractors"
    if found.missing:
        whole, data = False, f"{data}; {len(found.missing):,} missing"
    cells = {
        "Id: rank-1 with 1M distractors": 100 * float(np.mean([one.rank1 for one in largest])),
        "Ver: TAR at FAR 1e-6": 100 * float(np.mean([tar(one) for one in largest])),
    }
    # Results of smaller lists, or refined in the other way, do not replace these.
    parts = ["megaface", protocol, args.refine if protocol and args.refine != "insightface" else "", str(size)]
    name, suffix = "-".join(filter(None, parts)), f", {protocol}" if protocol else ""
    return keep_benchmark(subject, name, TABLE, cells, data, whole, plain_row(args.row), command, suffix, mode)


def plain_row(row: str | None) -> str | None:
    """A row of Table 6 without the mark of the refined protocol."""
    return row[: -len(", R")] if row and row.endswith(", R") else row


def demo() -> Path:
    """The ORL faces as probes and distractors."""
    return demo_sets.prepare("megaface")

"""ORL: ArcFace, Norm-Softmax with the same budget, and two methods that learn nothing, on ten people never seen.

    arcface-gluon eval orl [--seeds N] [--quick] [--no-flip] [--data FOLDER] [--out FOLDER] [name=value …]

Trains the recipe orl with each loss and seed; what is finished is not done again, what was interrupted is resumed. The
baselines are measured on exactly the same pairs of orl.bin: raw pixels, and the principal components (PCA) of the
training images and their mirrors, whose number, and whether they are whitened, is chosen by cross-validation among the
training people. Runs go to runs/eval-orl/seed-<k>/<method>, the table to orl.md and orl.json beside them; with
--no-flip, all are measured on single crops, and the table goes to orl-single.md and orl-single.json.

    arcface-gluon eval orl --cross-validate [--data FOLDER] [--out FOLDER] [name=value …]

tells how good settings of the recipe are without a look at the ten people: three runs, each on twenty of the training
people and measured on the other ten. This is what chose the recipe's settings.
"""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

import numpy as np
from arcface_gluon.datasets.orl import verification_pairs
from arcface_gluon.eval.runs import finished, train

from arcface_gluon import recipe
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.cli.options import add_flip_option, add_overrides, overrides
from arcface_gluon.data import FaceRecords, decode_image, write_bin, write_training_set
from arcface_gluon.data.places import find_data, open_validation
from arcface_gluon.files import atomic_write, read_json, write_json
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import SUMMARY, run_place

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

FOLDS = 3  # of the training people
COMPONENTS = (10, 20, 30, 50, 80, 120, 160, 199)
QUICK = ["train.iterations=60", "train.lr_steps=38,53", "train.validate_every=60", "train.checkpoint_every=60"]
MEASURES = {
    "accuracy": lambda result: result["accuracy"],
    "AUC": lambda result: result["auc"],
    "EER": lambda result: result["eer"],
    "TAR at FAR 1e-2": lambda result: result["tar_at_far"]["1e-2"],
    "std over folds": lambda result: result["std"],
}

EXAMPLE = "arcface-gluon eval orl --seeds 3"


@dataclass
class Method:
    """A row of the table: its label, what it sets in the recipe, and its results (as `to_json` gives), one a seed."""

    label: str
    settings: list[str] = field(default_factory=list)
    results: list[dict] = field(default_factory=list)
    trained: bool = True


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval orl", __doc__, EXAMPLE)
    add_overrides(parser)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each loss (default 3)")
    parser.add_argument("--quick", action="store_true", help="one seed and 60 iterations: does it work at all?")
    parser.add_argument("--cross-validate", action="store_true", help="measure settings among the training people")
    add_flip_option(parser, True, "it is added")
    parser.add_argument("--data", default="orl", help="folder with train.rec and orl.bin (default datasets/orl)")
    parser.add_argument("--out", type=Path, help="folder of the runs (default runs/eval-orl, or one for each mode)")
    args = parser.parse_args(arguments)
    if args.cross_validate and not args.flip:
        parser.error("--cross-validate measures with the mirror image, as the training does; leave out --no-flip")
    mode = "-cross-validation" if args.cross_validate else "-quick" if args.quick else ""
    folder = args.out or Path(f"runs/eval-orl{mode}")
    settings = [*(QUICK if args.quick else []), *overrides(args)]
    data = find_data(args.data)
    if args.cross_validate:
        return cross_validate(folder, data, settings)
    methods = networks(settings)
    settings = [f"data.path={data}", *settings]
    pairs = open_validation(["orl"], data)["orl"]
    failures = train_networks(folder, methods, 1 if args.quick else args.seeds, settings, None if args.flip else pairs)
    methods = [method for method in methods.values() if method.results]
    methods += baselines(FaceRecords(data), pairs, args.flip)
    command = shlex.join(["arcface-gluon", "eval", "orl", *(arguments or [])])
    write_table(folder, methods, failures, command, args.flip)
    return 1 if failures else 0


def networks(settings: Sequence[str]) -> dict:
    """The trained methods by name; both losses with the recipe's scale, Norm-Softmax with the paper's too."""
    head = recipe.resolve("orl", settings).head
    scale = f"head.scale={head.scale}"
    return {
        "arcface": Method(f"ArcFace, m = {head.margin[1]:g}, s = {head.scale:g}"),
        "norm-softmax": Method(f"Norm-Softmax, s = {head.scale:g}", ["loss=norm-softmax", scale]),
        "norm-softmax-s64": Method("Norm-Softmax, s = 64", ["loss=norm-softmax", "head.scale=64.0"]),
    }


def train_networks(
    folder: Path,
    methods: Mapping[str, Method],
    seeds: int,
    settings: Sequence[str],
    single: tuple[list[bytes], list[bool] | np.ndarray] | None = None,
) -> list[str]:
    """Train what is not trained yet and collect the results; gives the runs that failed.

    Args:
        single: the pairs to verify on as single crops; None: the results of the training, with the mirror image.
    """
    jobs = [(seed, name) for seed in range(seeds) for name in methods]
    failures = []
    for number, (seed, name) in enumerate(jobs, start=1):
        wanted = [*settings, *methods[name].settings, f"seed={seed}"]
        result = run_once(run_place(folder, name, seed), wanted, f"[{number}/{len(jobs)}] ")
        if result is None:
            failures.append(f"{name}, seed {seed}")
        else:
            methods[name].results.append(
                result if single is None else single_crops(run_place(folder, name, seed), single)
            )
    return failures


def run_once(place: Path, settings: Sequence[str], count: str = "") -> dict | None:
    """One run, unless it is there: its measures on orl.bin, or None if it failed."""
    wanted = [*settings, f"run.folder={place.parent}", f"run.name={place.name}"]
    if not finished(place, recipe.resolve("orl", wanted)):
        print(f"{count}{place}", flush=True)
        if train("orl", wanted, place) != 0:
            print(f"    FAILED, see {place.parent / place.name}.log", flush=True)
            return None
    return read_json(place / SUMMARY)["verification"]["orl"]


def single_crops(place: Path, pairs: Iterable[Any]) -> dict:
    """Measures of a run without the mirror image."""
    from arcface_gluon import load_model
    from arcface_gluon.embed import verify_set

    return verify_set(load_model(place), *pairs, flip=False).to_json()


def baselines(records: FaceRecords, verification: Iterable[Any], flip: bool = True) -> list[Method]:
    """Raw pixels and PCA on the pairs of orl.bin."""
    images, issame = verification
    training = faces((records.read(i)[0] for i in range(len(records))), flip)
    distinct = {image: position for position, image in enumerate(dict.fromkeys(images))}
    tests, order = faces(distinct, flip), [distinct[image] for image in images]

    def method(label, embeddings):
        return Method(label, [], [evaluate_pairs(embeddings[order], issame).to_json()], trained=False)

    components, whitened = choose_components(records.labels(), training)
    label = f"PCA, {components} {'whitened ' if whitened else ''}components"
    return [method(label, project(pca(training), tests, components, whitened)), method("raw pixels", tests)]


def faces(images: Iterable[bytes], flip: bool = True) -> np.ndarray:
    """(n, 112 * 56) float32: sums of each grey image and its mirror, as the networks' embeddings are sums of the two;
    without `flip` (n, 112 * 112), the grey images.

    The sum is symmetric, so that its left half has it all. PCA of the sums is PCA of images and mirrors together,
    without the components that the sum annuls.
    """
    grey = np.stack([decode_image(image)[..., 0] for image in images]).astype(np.float32)
    if not flip:
        return grey.reshape(len(grey), -1)
    return (grey + grey[:, :, ::-1])[:, :, : grey.shape[2] // 2].reshape(len(grey), -1)


def pca(rows: np.ndarray) -> PCA:
    """Principal components of (n, p) rows, by an exact singular value decomposition."""
    from sklearn.decomposition import PCA

    return PCA(svd_solver="full").fit(rows)


def project(model: PCA, rows: np.ndarray, components: int, whitened: bool) -> np.ndarray:
    """(n, components) coordinates of rows along the first axes; whitened: in units of the standard deviations."""
    coordinates = model.transform(rows)[:, :components]
    return coordinates / np.sqrt(model.explained_variance_[:components]) if whitened else coordinates


def choose_components(labels: np.ndarray, training: np.ndarray) -> tuple[int, bool]:
    """(number, whether to whiten) with the best mean accuracy over the folds of the training people."""
    accuracies = {}
    for trained_on, validated_on, pairs, issame in folds(labels):
        model, rows = pca(training[trained_on]), training[validated_on]
        for choice in product(COMPONENTS, (False, True)):
            result = evaluate_pairs(project(model, rows, *choice)[pairs.ravel()], issame)
            accuracies.setdefault(choice, []).append(result.accuracy)
    return max(accuracies, key=lambda choice: mean(accuracies[choice]))


def folds(labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Split the training people in three; yields, for each third, (trained on, validated on, pairs, issame).

    The first two are positions of images. Pairs are (n, 2) positions among the images validated on; they are made as
    those of orl.bin are. issame (n,) is true where the two are one person.
    """
    pairs_of = verification_pairs
    for people in np.array_split(np.unique(labels), FOLDS):
        out = np.isin(labels, people)
        pictures = int(out.sum()) // len(people)
        pairs = np.array(pairs_of(len(people), pictures))  # (n, 2 images, person and picture)
        yield np.flatnonzero(~out), np.flatnonzero(out), pairs @ [pictures, 1], pairs[:, 0, 0] == pairs[:, 1, 0]


def cross_validate(folder: Path, data: str | os.PathLike[str], settings: Sequence[str]) -> int:
    """Train and measure on each fold of the training people, with the fold's number as seed."""
    records, accuracies = FaceRecords(data), []
    images = [records.read(i)[0] for i in range(len(records))]
    for fold, (trained_on, validated_on, pairs, issame) in enumerate(folds(records.labels())):
        place = folder / f"fold-{fold}"
        if not (place / "orl.bin").is_file():
            labels = np.unique(records.labels()[trained_on], return_inverse=True)[1]  # without gaps
            write_training_set(place, [(images[i], int(label)) for i, label in zip(trained_on, labels)])
            write_bin(place / "orl.bin", [images[i] for i in validated_on[pairs.ravel()]], issame.tolist())
        result = run_once(place / "run", [f"data.path={place.resolve()}", *settings, f"seed={fold}"])
        if result is None:
            return 1
        accuracies.append(100 * result["accuracy"])
        print(f"fold {fold}: {accuracies[-1]:.2f} %", flush=True)
    print(f"mean over {FOLDS} folds: {mean(accuracies):.2f} %")
    return 0


def write_table(
    folder: Path, methods: Sequence[Method], failures: Sequence[str], command: str, flip: bool = True
) -> None:
    """Print the table and write it to orl.md, with the single values to orl.json; orl-single.* without the mirror."""
    crops, stem = ("image + mirror", "orl") if flip else ("single crop", "orl-single")
    date = time.strftime("%Y-%m-%d")
    measured = [
        {name: [round(100 * measure(result), 4) for result in method.results] for name, measure in MEASURES.items()}
        for method in methods
    ]
    cells = [
        [method.label, len(method.results) if method.trained else "none", *map(spread, values.values())]
        for method, values in zip(methods, measured)
    ]
    lines = [
        *markdown_table(["method", "seeds", *MEASURES], cells),
        "",
        f"Per cent; ± is the standard deviation over seeds. 900 pairs of 10 people, {crops}. `{command}`, {date}.",
        *[f"Failed: {failure}" for failure in failures],
    ]
    with atomic_write(folder / f"{stem}.md", "w") as file:
        file.write("\n".join(lines) + "\n")
    rows = [{"method": method.label, **values} for method, values in zip(methods, measured)]
    facts = {"command": command, "date": date, "unit": "%", "flip": flip, "rows": rows}
    write_json(folder / f"{stem}.json", facts)
    print(*lines, sep="\n")


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation, without the latter for a single value."""
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")

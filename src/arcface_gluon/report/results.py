"""What an evaluation leaves under runs/: files for the report and the paper's tables, and lines beside the paper's.

Results of a run go into its own folder, those of any other model into runs/<its name>/.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Sequence

from ..errors import UserError
from ..files import read_json, seal, write_json
from ..models.load import OTHER_FORMATS, checkpoint_of
from ..run_layout import RECIPE, SUMMARY, run_of
from .measurements import Measurement, of_verification, run_title
from .mode import Mode, papers_mode, papers_mode_of_set
from .paper import is_papers_training_set, paper_rows, paper_tables, paper_value
from .run_report import write_report
from .verification_store import measures_of, save_verification

if TYPE_CHECKING:
    from ..protocols.verification import VerificationResult


@dataclass(frozen=True)
class Subject:
    """The model that is evaluated.

    Attributes:
        path: what `load_model` takes.
        folder: where its results go, runs/<name>.
        name: for the tables, such as "casia_r50: r50, 32,000 iterations".
        recipe, summary: of the run that trained it; empty for other models.
        demo: whether it is evaluated on a demo set, see `on_demo`.
    """

    path: Path
    folder: Path
    name: str
    recipe: dict = field(default_factory=dict)
    summary: dict = field(default_factory=dict)
    demo: bool = False

    def on_demo(self) -> Subject:
        """The same on a demo set: its results have a folder and a name of their own, and replace nothing."""
        return self if self.demo else replace(self, folder=self.folder / "demo", name=f"{self.name} (demo)", demo=True)

    def data_name(self, data: str) -> str:
        """What the data are called where they are shown; a demo set says so."""
        return f"demo: {data}" if self.demo and "demo" not in data else data


def subject_of(path: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> Subject:
    """What `path` (a run, a checkpoint or an exported model) is called, and where its results go.

    Raises:
        UserError: a run without a checkpoint, or one whose recipe or summary is damaged.
    """
    path = Path(path)
    checkpoint = checkpoint_of(path) if path.is_dir() else None
    run = checkpoint and run_of(checkpoint)
    if checkpoint is None or run is None or not (run / RECIPE).is_file() or not checkpoint.name.isdigit():
        name = _model_name(path)
        return Subject(path, Path(runs) / name, name)
    recipe = _read_object(run / RECIPE)
    summary = _read_object(run / SUMMARY) if (run / SUMMARY).is_file() else {}
    network, iterations = recipe.get("network", {}), int(checkpoint.name)
    if not isinstance(network, dict):
        raise UserError(f"{run / RECIPE} is no recipe of a run: its network is no group of options; copy it again")
    return Subject(
        path, run, run_title(run.resolve().name, network.get("name", "network not known"), iterations), recipe, summary
    )


def subject_of_features(path: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> Subject:
    """The same for ready features: the model that `arcface-gluon embed` noted beside them, or one named by them."""
    path = Path(path)
    noted = path.with_suffix(".json")
    facts = read_json(noted) if noted.is_file() else None
    model = facts.get("model") if isinstance(facts, dict) else None
    if isinstance(model, str) and Path(model).exists():
        return subject_of(model, runs)
    return Subject(path, Path(runs) / path.stem, path.stem)


def _read_object(path):
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object, as training writes; it may be damaged, copy it again")
    return value


def _model_name(path):
    # The usual name of the files says nothing; their folder's does.
    path = path.resolve()
    name = path.stem if path.suffix in OTHER_FORMATS else path.name
    if path.suffix in (".json", ".params"):
        name = path.name.split("-symbol.json")[0].rsplit("-", 1)[0]
    return path.parent.name if name in ("model", "backbone", "") and not path.is_dir() else name


def keep_verification(
    subject: Subject,
    set_name: str,
    result: VerificationResult,
    images: Sequence[bytes] | None = None,
    row: str | None = None,
    command: str = "",
    flip: bool | None = None,
    whole: bool | None = None,
    precision: str = "float32",
) -> list:
    """Store a verification: for the report (verification/<set>.npz and .json, report.html) and for `make tables`.

    In another mode than the set's usual one it is kept beside that, as <set>-single, <set>-mirror or <set>-bfloat16.

    Args:
        result: what `protocols.verification.evaluate_pairs` returned.
        images: the set's images, of which the hardest pairs' are kept for the report.
        row: the row of the paper's tables that the model reproduces; by default the one that its recipe names.
        command: what was run.
        flip: whether the embedding of the mirror image was added; by default as usual for the set.
        whole: whether it is the whole set of that name; None: by the order of its genuine and other pairs.
        precision: of the network's products.

    Returns:
        Lines that say what the paper has, where it has something.
    """
    usual = papers_mode_of_set(set_name)
    mode = replace(usual, flip=usual.flip if flip is None else flip, precision=precision)
    measures = measures_of(set_name, result, mode.flip, whole, precision)
    stem = set_name + mode.suffix(usual)
    save_verification(subject.folder, stem, result, images, measures)
    facts = {"set": set_name, **measures, "mode": asdict(mode), "model": subject.name}
    facts.update(date=time.strftime("%Y-%m-%d"), command=command, demo=subject.demo)
    write_json(subject.folder / "verification" / f"{stem}.json", facts, sealed=True)
    told = {"model": subject.name, "date": facts["date"], "command": command, "mode": mode}
    trained = subject.summary.get("data")
    measurements = (
        [] if subject.demo else of_verification(subject.recipe, trained, set_name, measures, row, subject.name, **told)
    )
    if measurements and not (mode == usual and _in_summary(subject, set_name, measures)):
        save_results(subject.folder, f"verification-{stem}", measurements)
    write_report(subject.folder)
    return [line for line in map(_beside_the_paper, measurements) if line]


def measurement(
    subject: Subject, cell: tuple[str, str, str], value: float, data: str, command: str, mode: Mode, paper_data: bool
) -> Measurement:
    """What was measured today of a model.

    Args:
        cell: (key of the table, row, column). value: in the table's unit.
        data: what it was measured on; that of a demo set is told, and is never the paper's.
        paper_data: whether training set, test set and mode are the paper's.
    """
    table, row, column = cell
    return Measurement(
        table=table,
        row=row,
        column=column,
        value=value,
        data=subject.data_name(data),
        model=subject.name,
        date=time.strftime("%Y-%m-%d"),
        command=command,
        paper_data=paper_data and not subject.demo,
        mode=mode,
        demo=subject.demo,
    )


def save_results(folder: str | os.PathLike[str], name: str, measurements: Sequence[Measurement]) -> Path:
    """Write <folder>/results/<name>.json, from which `make tables` takes them (see `report.measurements`)."""
    path = Path(folder) / "results" / f"{name}.json"
    write_json(path, [seal(asdict(one)) for one in measurements])
    return path


def keep_benchmark(
    subject: Subject,
    name: str,
    table: str,
    cells: Mapping[str, float],
    data: str,
    whole: bool,
    row: str | None = None,
    command: str = "",
    suffix: str = "",
    mode: Mode | None = None,
) -> list:
    """Store what an evaluation measured for one table of the paper, in results/<name>.json for `make tables`.

    Args:
        table: key of the table. cells: {column: value in the table's unit}.
        data: what it was measured on. whole: whether that is the paper's whole test set, in the paper's protocol; what
            is not has a name of its own (-part), so that it never replaces the whole set's.
        row: the row of the table that the model reproduces; by default the one that its recipe names, or else one of
            its own.
        command: what was run.
        suffix: the end of the row's name that tells the protocol, such as ", R".
        mode: how it was measured; None: as the paper did. Results of another mode have a name of their own.

    Returns:
        Lines that say what the paper has, where it has something. A demo set has a row of its own, beside nothing.
    """
    found = None if subject.demo else row or dict(paper_rows(subject.recipe)).get(table)
    usual = papers_mode(table, next(iter(cells)))
    mode = mode or usual
    trained = row is not None or (found and is_papers_training_set(table, found, subject.summary.get("data")))
    like_the_paper = bool(whole and trained and mode == usual)
    measurements = [
        measurement(
            subject, (table, (found or subject.name) + suffix, column), value, data, command, mode, like_the_paper
        )
        for column, value in cells.items()
    ]
    part = "" if whole or subject.demo else "-part"
    save_results(subject.folder, name + mode.suffix(usual) + part, measurements)
    return [f"{one.column}: {line}" for one, line in zip(measurements, map(_beside_the_paper, measurements)) if line]


def _in_summary(subject, set_name, measures):
    """Whether the tables have this result from summary.json, so that it is not counted twice."""
    found = subject.summary.get("verification", {}).get(set_name, {})
    return found.get("accuracy") == measures["accuracy"] and found.get("pairs") == measures["pairs"]


def _beside_the_paper(one):
    printed = paper_value(one.table, one.row, one.column)
    if printed is None:
        return None
    table = paper_tables()[one.table]
    digits, unit = table["decimals"], "%" if table["unit"] == "%" else ""
    text = f"paper {printed:.{digits}f}{unit} (Table {table['number']}, {one.row})"
    if one.paper_data:
        return f"{text}: {one.value - printed:+.{digits}f}".replace("-", "−")
    if one.mode != papers_mode(one.table, one.column):
        return f"{text}; measured in another mode ({one.mode}), so the two cannot be compared"
    return f"{text}; not its training or test set, so the two cannot be compared"

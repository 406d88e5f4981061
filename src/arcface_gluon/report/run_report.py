"""The report of a run: runs/<name>/report.html, one file to open, send or print."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..data.demos import is_demo_name
from ..data.verification.sets import SET_COLUMNS
from ..files import atomic_write
from ..protocols.verification import one_kind, pair_angles, roc_curve, thin_roc
from ..recipe import flatten
from .figures import run as figures
from .figures.angles import target_angles
from .html import Markup, element, fold, join, page, picture, section, table
from .mode import papers_mode_of_set
from .paper import is_papers_training_set, paper_rows, paper_tables, paper_value
from .run_files import read_run
from .unseen_section import unseen_sections


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write report.html into the run's folder; parts that the run lacks are left out, with a line that says so.

    Raises:
        UserError: the folder is not a run's, or cannot be written to.
    """
    run = read_run(run_dir)
    parts = (_header, _verification, _curves, _pair_figures, unseen_sections, _hardest, _settings, _notes)
    footer = element("footer", f"arcface-gluon {__version__}. Run of {run.written}.")
    path = run.folder / "report.html"
    with atomic_write(path, "w") as file:
        file.write(page(f"{run.name}: arcface-gluon run", *(part(run) for part in parts), footer))
    return path


def _header(run):
    verdict = element("p", _verdict(run), class_="verdict")
    return join(element("p", "arcface-gluon run", class_="over"), element("h1", run.name), verdict, _tiles(run))


def _verdict(run):
    # The one line for a reader who reads no further.
    results = [
        f"{_accuracy(values)} on {name}"
        for name, values in run.measures.items()
        if values.get("accuracy") is not None and not one_kind(values)
        if not is_demo_name(name) and _mode(name, values)[1]
    ]
    if results:
        first = f"Pairs of faces told apart correctly: {', '.join(results)}. "
    elif any(map(is_demo_name, run.measures)):
        first = "Verified on demo sets alone, which say nothing about a model. "
    else:
        first = "Not yet verified on any set of face pairs. "
    wanted, done = flatten(run.recipe).get("train.iterations"), _iterations(run)
    if not done:
        return first + "No training is recorded."
    if isinstance(wanted, int) and done < wanted:
        return first + f"Training stopped at iteration {done:,} of {wanted:,}."
    return first + f"Trained to the end, {done:,} iterations."


def _mode(name, values):
    """(how a set was measured, whether that is as usual)."""
    usual = papers_mode_of_set(values.get("set", name))
    precision = str(values.get("precision", usual.precision))
    mode = replace(usual, flip=bool(values.get("flip", usual.flip)), precision=precision)
    return str(replace(mode, rule="")), mode == usual


def _tiles(run):
    losses = [row["loss"] for row in run.metrics if isinstance(row.get("loss"), (int, float))]
    tiles = [("iterations", f"{_iterations(run):,}" if _iterations(run) else None, "")]
    tiles.append(("last loss", f"{losses[-1]:.3f}" if losses else None, ""))
    for key, title, pattern, unit in (
        ("images_per_second", "training speed", "{:,.1f}", " images/s"),
        ("peak_memory_mib", "peak memory", "{:,.0f}", " MiB"),
        ("seed", "seed", "{}", ""),
    ):
        value = run.summary.get(key)
        tiles.append((title, pattern.format(value) if isinstance(value, (int, float)) else None, unit))
    tiles.insert(-1, ("training time", _duration(run), ""))
    shown = [
        element("div", element("dt", title), element("dd", text, element("small", unit)))
        for title, text, unit in tiles
        if text
    ]
    return element("dl", *shown, class_="tiles") if shown else None


def _verification(run):
    if not run.measures:
        text = "No set was verified: `arcface-gluon verify` does it."
        return section("Verification", element("p", text, class_="note"))
    fars = {far for values in run.measures.values() for far in values.get("tar_at_far") or {}}
    fars = sorted(fars, key=float, reverse=True)
    heads = [
        "set",
        "mode",
        "pairs",
        "accuracy ± std",
        "threshold",
        *(f"TAR at FAR {far}" for far in fars),
        "EER",
        "AUC",
    ]
    rows = []
    for name, values in run.measures.items():
        tar = values.get("tar_at_far") or {}
        angle, kind = values.get("threshold_angle"), one_kind(values)
        rows.append(
            [
                name,
                _mode(name, values)[0],
                f"{values['pairs']:,}{', all ' + kind if kind else ''}" if "pairs" in values else "",
                "not defined" if kind else _accuracy(values),
                f"{angle:.1f}°" if angle is not None and not kind else "",
                *(_percent(tar.get(far), 2) for far in fars),
                _percent(values.get("eer"), 2),
                f"{values['auc']:.4f}" if values.get("auc") is not None else "",
            ]
        )
    folds = {values.get("folds", 10) for values in run.measures.values()}
    caption = (
        f"Measured in this run: {' or '.join(map(str, sorted(folds)))} folds. "
        "TAR: genuine pairs accepted at that rate of accepted impostors."
    )
    return section("Verification", table(heads, rows, caption), *_paper_comparison(run))


def _paper_comparison(run):
    for key, row in paper_rows(run.recipe):
        printed = paper_tables()[key]
        same_data = is_papers_training_set(key, row, run.summary.get("data"))
        lines = []
        for name, column in SET_COLUMNS.items():
            value = paper_value(key, row, column)
            if value is None:
                continue
            measures = run.measures.get(name, {})
            ours, whole = None if one_kind(measures) else measures.get("accuracy"), measures.get("whole_set")
            difference = (
                f"{100 * ours - value:+.2f}".replace("-", "−") if whole and same_data and ours is not None else ""
            )
            if ours is not None and not whole:
                difference = "not the whole set"
            lines.append([column, f"{value:.2f}\u00a0%", _percent(ours, 2) or "not measured", difference])
        if lines:
            setting = f" {printed['setting']}" if "setting" in printed else ""
            text = (
                f"Paper: Table {printed['number']}{setting}, row “{row}”, as printed. This run: {_here(run)}"
                f"{'' if same_data else ', which is not the paper’s training set, so the two cannot be compared'}."
            )
            yield element("h3", "Beside the paper")
            yield table(["set", "paper", "this run", "difference"], lines, text)


def _curves(run):
    shown = []
    if any("loss" in row or "lr" in row for row in run.metrics):
        text = "Loss of the training batches, and learning rate."
        shown.append(_figure(figures.loss_curves(run.metrics), "loss", text))
    if any("accuracy" in row or "verification" in row for row in run.metrics):
        text = "Training images whose own class has the largest logit; verification pairs told apart."
        shown.append(_figure(figures.accuracy_curves(run.metrics), "accuracy", text))
    if any("target_angles" in row for row in run.metrics):
        text = "Angle between training images and their own class centres, as in Figure 4a of the paper."
        shown.append(_figure(target_angles(run.metrics), "targets", text))
    return section("Training", element("div", *shown, class_="figures")) if shown else None


def _pair_figures(run):
    if not run.verifications:
        return None
    curves, shown = {}, []
    for index, stored in enumerate(run.verifications):
        angles, issame = pair_angles(stored.distances), stored.issame
        impostors = int((~issame).sum())
        if 0 < impostors < len(issame):
            curves[stored.name] = (*thin_roc(*roc_curve(stored.distances, issame)), impostors)
        histogram = figures.angle_histogram(angles[issame], angles[~issame], stored.measures.get("threshold_angle"))
        text = f"{stored.name}: angles of genuine and impostor pairs, and the threshold between them."
        shown.append(_figure(histogram, f"angles{index}", text))
    if curves:
        text = "ROC: genuine pairs accepted against impostors accepted, as far as the number of impostor pairs tells."
        shown.insert(0, _figure(figures.roc_figure(curves), "roc", text))
    return section("Genuine and impostor pairs", element("div", *shown, class_="figures"))


def _hardest(run):
    parts = []
    for stored in run.verifications:
        threshold = stored.measures.get("threshold_angle") or 0
        angles = pair_angles(stored.distances)
        for same, title in ((True, "most distant genuine pairs"), (False, "closest impostors")):
            shown = [
                _pair(pair, images, angles[pair], same, threshold)
                for pair, images in stored.pictures.items()
                if stored.issame[pair] == same
            ]
            if shown:
                parts += [element("h3", f"{stored.name}: {title}"), element("div", *shown, class_="pairs")]
    if not parts:
        return None
    return section("Hardest pairs", *parts)


def _pair(pair, images, angle, same, threshold):
    accepted = angle < threshold
    words = {
        (True, True): "rightly\u00a0accepted",
        (True, False): "wrongly\u00a0rejected",
        (False, True): "wrongly\u00a0accepted",
        (False, False): "rightly\u00a0rejected",
    }[same, accepted]
    kind = "good" if accepted == same else "bad"
    caption = element("figcaption", f"pair {pair}, {angle:.1f}°: ", element("span", words, class_=kind))
    pictures = [picture(data, f"pair {pair}, image {side}") for side, data in enumerate(images, start=1)]
    return element("figure", *pictures, caption, class_="pair")


def _settings(run):
    folds = []
    for title, values in (("Recipe", run.recipe), ("Environment", run.summary.get("environment"))):
        if isinstance(values, dict) and values:
            rows = [[name, _shown(value)] for name, value in flatten(values).items()]
            folds.append(fold(title, table(["name", "value"], rows, kind="values")))
    return section("Recipe and environment", *folds) if folds else None


def _notes(run):
    if not run.notes:
        return None
    return section("Left out", element("ul", *(element("li", note, class_="note") for note in run.notes)))


def _figure(figure, name, text):
    return element("figure", Markup(figures.svg_markup(figure, name, text)), element("figcaption", text))


def _here(run):
    # Network, loss and data of this run.
    flat, data = flatten(run.recipe), run.summary.get("data")
    text = f"{flat.get('network.name')}, {flat.get('loss')}, trained on {flat.get('data.path')}"
    if isinstance(data, dict) and isinstance(data.get("images"), int) and isinstance(data.get("identities"), int):
        text += f" ({data['images']:,} images of {data['identities']:,} people)"
    return text


def _iterations(run):
    last = max((row["iteration"] for row in run.metrics), default=0)
    done = run.summary.get("iterations")
    return done if isinstance(done, int) else int(last)


def _duration(run):
    measured = [run.summary.get("seconds"), *(row.get("seconds") for row in run.metrics)]
    seconds = max((value for value in measured if isinstance(value, (int, float))), default=0)
    if not seconds:
        return None
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _accuracy(values):
    spread = _percent(values.get("std"), 2, "")
    return _percent(values.get("accuracy"), 2) + (f"\u00a0±\u00a0{spread}" if spread else "")


def _percent(value, digits, unit="\u00a0%"):
    return "" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}{unit}"


def _shown(value):
    return value if isinstance(value, str) else json.dumps(value)

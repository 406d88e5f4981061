"""Many photographs to aligned crops, over several processes; an interrupted job goes on where it stopped."""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Generator

from ..errors import UserError
from ..files import atomic_write, cannot_write, only_writer, parse_json
from ..parallel.workers import ordered_map
from ..progress import progress
from ..training.interrupt import Interrupted, Interrupts
from .crops import Cropper, Settings
from .photographs import Photograph, check_apart, existing

TABLE, JOURNAL = "faces.csv", ".align.jsonl"
_POINTS = [f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
COLUMNS = ["photo", "crop", "left", "top", "right", "bottom", "score", *_POINTS, "note"]
_STOPPING = "stopping after this photograph"
_cropper: Any = None  # of a worker process


def align_photographs(
    photographs: list[Photograph], settings: Settings, processes: int = 1, force: bool = False, quiet: bool = False
) -> Counter:
    """Write crops, and faces.csv: a line for each face found, and for each photograph without one.

    What is done is kept in a journal line by line; a photograph with the same bytes is not looked at again.

    Args:
        photographs: which, each with a crop's name of its own.
        settings: what is done with each.
        processes: how many work side by side, each on one core.
        force: begin anew where the folder has crops made with other settings.
        quiet: no progress.

    Returns:
        Counts of photographs, "faces", "none", "several", "unusable" ("missing" among them), "done before".

    Raises:
        Interrupted: SIGINT or SIGTERM; what is done is kept.
        UserError: the folder has crops made with other settings, or photographs, cannot be written to, or is written
            to by another process; or a worker was killed.
    """
    folders = [folder for folder in (settings.out, settings.draw) if folder]
    found = [path for path in map(existing, photographs) if path]
    check_apart(found, (f"{folder}/{photograph.crop}" for photograph in photographs for folder in folders))
    with only_writer(settings.out):
        ordered, old = _align_all(photographs, settings, processes, force, quiet)
        _write_table(Path(settings.out) / TABLE, ordered)
    counts = Counter({"photographs": len(ordered), "missing": len(photographs) - len(found), "done before": old})
    for result in ordered:
        counts["faces"] += sum(face["crop"] is not None for face in result["faces"])
        counts["unusable"] += result["unusable"]
        counts["none"] += not result["faces"] and not result["unusable"]
        counts["several"] += len(result["faces"]) > 1
    return counts


def _align_all(photographs, settings, processes, force, quiet):
    """(results in order, how many were done before)."""
    journal = Path(settings.out) / JOURNAL
    before = _read_journal(journal, settings, force)
    results, old = {}, 0
    tasks = [(photograph, _digest_if_whole(before.get(photograph.name), settings)) for photograph in photographs]
    try:
        with atomic_write(journal, "w") as file:  # without a torn last line
            lines = [{"settings": settings.facts()}, *before.values()]
            file.writelines(json.dumps(line) + "\n" for line in lines)
        bar = progress(total=len(tasks), desc="align", unit=" photographs", quiet=quiet)
        work = _run(tasks, settings, processes)
        with open(journal, "a", encoding="utf-8") as file, bar, closing(work), Interrupts(_STOPPING) as interrupts:
            for photograph, result in work:
                old += result is None
                if result is not None:
                    file.write(json.dumps(result) + "\n")
                    file.flush()
                results[photograph.name] = result or before[photograph.name]
                bar.update()
                if interrupts.received and len(results) < len(tasks):
                    done = f"{len(results):,} of {len(tasks):,} photographs are done"
                    raise Interrupted(interrupts.received, f"{done}; the same command again does the rest")
    except OSError as error:
        raise cannot_write(journal, error) from error
    return [results[photograph.name] for photograph in photographs], old


def _run(tasks, settings, processes) -> Generator[tuple, None, None]:
    """(photograph, result) of each task."""
    with closing(ordered_map(_work, tasks, processes, _open, (settings,))) as results:
        yield from zip((photograph for photograph, _ in tasks), results)


def _open(settings):
    global _cropper
    _cropper = Cropper(settings)


def _work(photograph, digest):
    return _cropper(photograph, digest)


def _read_journal(path, settings, force):
    """{photo: result} of what is done; a line that a killed job left torn is dropped, and all after it."""
    if not path.exists():
        return {}
    done = {}
    try:
        with open(path, encoding="utf-8") as file:
            head = parse_json(file.readline())["settings"]
            if json.loads(json.dumps(settings.facts())) != head:
                if force:
                    return {}
                changed = ", ".join(name for name, value in settings.facts().items() if head.get(name) != _plain(value))
                raise UserError(
                    f"{path.parent} has crops that were made with another {changed}; choose another folder, or "
                    "replace them with --force"
                )
            for line in file:
                try:
                    result = parse_json(line)
                    if result["unusable"] in (True, False):
                        done[result["photo"]] = result
                except (ValueError, KeyError, TypeError):
                    break
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged or no journal of this command; remove it to begin anew") from None
    return done


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _digest_if_whole(result, settings):
    """The digest that a photograph had, if its crops are all there."""
    crops = [face["crop"] for face in result["faces"] if face["crop"]] if result else []
    return result["digest"] if result and all((Path(settings.out) / crop).is_file() for crop in crops) else None


def _write_table(path, results):
    with atomic_write(path, "w") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for result in results:
            for face in result["faces"]:
                places = [f"{value:.2f}" for value in (*face["box"], *sum(face["landmarks"], []))]
                note, score = result["note"], f"{face['score']:.4f}"
                rows.writerow([result["photo"], face["crop"] or "", *places[:4], score, *places[4:], note])
            if not result["faces"]:
                rows.writerow([result["photo"], *[""] * (len(COLUMNS) - 2), result["note"]])

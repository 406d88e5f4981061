"""`arcface-gluon verify --epochs all`: every checkpoint of a model on the same sets; nothing of it is kept."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_json
from ..protocols.verification import VerificationResult
from ..run_layout import checkpoint_folders
from .evaluation import open_source


def epochs(text: str) -> list[int] | None:
    """What --epochs says: numbers with commas, or None for all; a type of argparse."""
    if text == "all":
        return None
    parts = re.split("[,|]", text)
    if not all(part.isdecimal() for part in parts):
        raise ArgumentTypeError(f"{text!r} is neither all nor numbers with commas, such as 1,5,9")
    return [int(part) for part in parts]


def models_of(path: str | Path, chosen: list[int] | None, most: int | None = None) -> dict[int, Path]:
    """{number: model} of a run's checkpoints, or of the epochs PREFIX-0001.params …, the newest first.

    Args:
        path: a run's folder, or the prefix of exported models.
        chosen: numbers; None: all.
        most: how many of the newest at most.

    Raises:
        UserError: there are none, or not one that was chosen.
    """
    path = Path(path)
    if path.is_dir():
        found = {int(folder.name): folder for folder in checkpoint_folders(path)}
    else:
        pattern = re.compile(re.escape(path.name) + r"-(\d{4})\.params")
        matches = [(pattern.fullmatch(file.name), file) for file in sorted(path.parent.glob("*.params"))]
        found = {int(match.group(1)): file for match, file in matches if match}
    missing = [number for number in chosen or () if number not in found]
    if not found or missing:
        what = (
            f"no {missing[0]} among {', '.join(map(str, sorted(found)))}" if found else "neither checkpoints nor epochs"
        )
        raise UserError(f"--epochs: {path} has {what}; name a run's folder, or what stands before -0001.params")
    numbers = sorted(found if chosen is None else chosen, reverse=True)
    return {number: found[number] for number in numbers[:most]}


def verify_epochs(args: Namespace, sets: Any) -> None:
    """Verify each model on all sets and say which did best; the best of many on a set is no result on that set.

    Args:
        args: options of `verify`, with `epochs` and `max`.
        sets: (options, subject) → {name: (images, truth of each pair)}.
    """
    from ..embed import verify_set

    results: dict[int, dict[str, dict]] = {}
    for number, path in models_of(args.model, args.epochs, args.max).items():
        source = open_source(Namespace(**{**vars(args), "model": str(path)}), demo=False)
        results[number] = {}
        for name, (images, issame) in sets(args, source.subject).items():
            found: VerificationResult = verify_set(
                source.net, images, issame, source.devices, args.batch_size, args.folds, args.quiet, name, source.flip
            )
            results[number][name] = found.to_json()
            print(f"{number}: {name} {found.accuracy:.2%} ± {found.std:.2%}, AUC {found.auc:.4f}", flush=True)
    for name in next(iter(results.values())):
        best = max(results, key=lambda number: results[number][name]["accuracy"])
        print(f"best on {name}: {best}, {results[best][name]['accuracy']:.2%} (chosen on this set, so not kept)")
    if args.json:
        write_json(args.json, {"model": str(args.model), "epochs": results})

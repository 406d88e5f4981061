"""`arcface-gluon from-photos PHOTOS`: people's photographs → aligned faces → records → training → verification.

Each step is a command of its own, which is printed as it can be typed. What is done is noted in OUT/steps.json: the
same command again does the rest, and what depends on photographs that changed since.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from .. import recipe
from ..data.verification.pair_lists import FOLDS
from ..errors import UserError
from ..files import read_json, sha256, write_json
from ..training.run_folder import run_to_resume
from . import main
from .options import add_overrides, overrides

EXAMPLE = "arcface-gluon from-photos /data/photographs --out datasets/mine --recipe casia_r50"

STEPS = "steps.json"
_FEWEST = 2 * FOLDS  # people: one at least for each fold of the pairs, and as many to train on


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("photographs", help="a folder with a folder for each person")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of crops, records and pairs")
    parser.add_argument("--recipe", default="orl", metavar="R", help="what is trained, and how (orl: a small network)")
    parser.add_argument(
        "--verification",
        metavar="N",
        help="people to verify on, not trained on: a number, or a part (10%%, at least ten)",
    )
    parser.add_argument(
        "--min-face", default="40", metavar="N", help="smallest face that is looked for, in pixels (40)"
    )
    parser.add_argument("--detector", default="mtcnn", metavar="D", help="as `align` takes it (mtcnn)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    add_overrides(parser)


def run(args: Namespace) -> int:
    source, out = Path(args.photographs), Path(args.out)
    people = sum(path.is_dir() for path in source.iterdir()) if source.is_dir() else 0
    if not people:
        raise UserError(f"{source} has no folder for each person; sort the photographs into folders named after them")
    if people < _FEWEST and not args.verification:
        raise UserError(
            f"{source} has {people} people: too few to train on some and verify on ten others, {_FEWEST} are needed; "
            "say how many with --verification, or name sets of other people to `train`, in data.validation"
        )
    named = [f"run.name={out.name}", *overrides(args)]
    values = recipe.resolve(args.recipe, named)  # what is wrong with it is told before the photographs are looked at
    steps = _Steps(out / STEPS, ["--quiet"] * args.quiet)
    aligned, everyone, training = (str(out / name) for name in ("aligned", "all", "training"))
    pairs = str(out / "training" / "verification.bin")
    options = ["--min-face", args.min_face, "--detector", args.detector]
    status = steps.always(["align", str(source), aligned, *options, *steps.quiet])
    if status:
        return status
    key = sha256(Path(aligned) / "faces.csv")
    status = steps.once("pack", key, ["pack", aligned, everyone, *steps.quiet], force=True)
    held_out = args.verification or str(max(FOLDS, round(people / 10)))
    split = ["split", everyone, training, "--verification", held_out, "--pairs"]
    status = status or steps.once("split", key, split, force=True)
    data = [f"data.path={training}", "data.validation=['verification']"]
    train = ["train", args.recipe, *data, *named]
    again = ["--auto-resume"] if steps.begun("train", key, train) else []
    status = status or steps.once("train", key, [*train, *again, *steps.quiet], noted=train)
    if status:
        return status
    folder = str(run_to_resume(Path(values.run.folder), values.run.name))
    status = steps.once("verify", key, ["verify", "--model", folder, "--bin", pairs, *steps.quiet])
    if not status:
        print(f"people that were not trained on: {pairs}; run: {folder}; report: {folder}/report.html")
    return status


class _Steps:
    """What was done, by the command and the photographs that it was done for."""

    def __init__(self, path, quiet):
        self._path, self.quiet = path, quiet
        self._done = read_json(path) if path.is_file() else {}

    def always(self, words):
        """Run a command, which knows itself what it has done; gives its exit status."""
        print(f"$ {shlex.join(['arcface-gluon', *words])}")
        return main(words)

    def begun(self, name, key, noted):
        """Whether a step was begun with this command and key, and not finished."""
        return self._done.get(name) == {"command": noted, "photographs": key, "done": False}

    def once(self, name, key, words, force=False, noted=None):
        """Run a command unless it is done; gives its exit status. `force`: replace what others have left."""
        entry = {"command": noted or words, "photographs": key, "done": True}
        if self._done.get(name) == entry:
            print(f"{name}: done before")
            return 0
        if force and name in self._done:
            words = [*words, "--force"]
        self._note(name, {**entry, "done": False})
        status = self.always(words)
        if status:
            print(f"stopped at {name}; the same command again goes on from there")
        else:
            self._note(name, entry)
        return status

    def _note(self, name, entry):
        order = ("pack", "split", "train", "verify")
        # What follows is of other photographs or options now.
        for step in order[order.index(name) + 1 :]:
            if step in self._done:
                self._done[step]["done"] = None
        self._done[name] = entry
        write_json(self._path, self._done)

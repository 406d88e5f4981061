"""`arcface-gluon verify --model M --bin lfw.bin`: 10-fold verification, kept for the report and the paper's tables.

With `--features lfw.npy` in place of a model, ready features are verified: a .npy for each set, in their order.
It has a row for each image in the order of the pairs, or an index as `arcface-gluon embed lfw.bin` writes it.
"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path

from .. import recipe
from ..data.demos import is_demo_name
from ..data.embeddings.by_name import find_features
from ..data.verification.pair_lists import FOLDS
from ..data.verification.sets import SETS
from ..errors import UserError, did_you_mean
from ..files import write_json
from ..protocols.verification import evaluate_pairs, one_kind
from ..report.mode import Mode
from .evaluation import open_source
from .launch import add_hosts_options
from .options import Several, add_flip_option, add_model_options, count
from .verify_epochs import epochs, verify_epochs

EXAMPLE = "arcface-gluon verify --model runs/casia_r50 --bin /data/lfw.bin"


def add_arguments(parser: ArgumentParser) -> None:
    source = add_model_options(parser)
    add_hosts_options(parser)
    source.add_argument(
        "--features", nargs="+", action=Several, type=Path, metavar="F", help="ready features, a .npy for each set"
    )
    parser.add_argument("--name", help="what to call the model of --features (default: from the file)")
    parser.set_defaults(ending=None)  # of folders of feature files, which a set's are not
    parser.add_argument(
        "--bin",
        action=Several,
        default=[],
        metavar="FILE",
        help="a verification set, may be repeated (default: those of the recipe, or of the run's recipe)",
    )
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of the recipe's sets (default: its data.path), or with --model of any"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME",
        help="what a --bin is, whatever its name: lfw, cfp_fp, agedb_30 …; one for each --bin, in their order. Its "
        "number of pairs is checked, their order is not",
    )
    add_flip_option(parser, None, "as noted beside --features, else it is added, as for the paper's numbers")
    parser.set_defaults(usual_flip=True)
    parser.add_argument(
        "--folds",
        type=_folds,
        default=FOLDS,
        metavar="N",
        help="contiguous folds (default 10); others are not kept",
    )
    parser.add_argument(
        "--bad-cases",
        type=Path,
        metavar="FOLDER",
        help="write the pairs that are judged wrongly into FOLDER/SET, as pictures and a table",
    )
    parser.add_argument(
        "--epochs",
        type=epochs,
        default=False,
        metavar="N,M",
        help="these checkpoints of a run or epochs of PREFIX, or all, one beside the other; nothing is kept",
    )
    parser.add_argument("--max", type=count, metavar="N", help="with --epochs: the N newest at most")
    parser.add_argument(
        "--row", help="row of the paper's tables that the model reproduces, such as 'MS1MV2, R100, ArcFace'"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> None:
    check_row(args.row)
    if args.epochs is not False:
        if not args.model or args.bad_cases:
            raise UserError("--epochs goes with --model, and without --bad-cases")
        verify_epochs(args, _sets)
        return
    if args.max:
        raise UserError("--max goes with --epochs")
    source = open_source(args, demo=False)  # each set tells itself
    from ..report.bad_cases import write_bad_cases
    from ..report.results import keep_verification

    subject, results, reports = source.subject, {}, {}
    sets = _sets(args, subject)
    for one in sets.values():
        if len(one.issame) < args.folds:
            raise UserError(f"{one.path}: {len(one.issame)} pairs are too few for {args.folds}-fold verification; give "
                            f"a set of at least {args.folds}, or fewer --folds")  # fmt: skip
    if args.features and len(args.features) != len(sets):
        raise UserError(
            f"--features must be one .npy for each of {', '.join(sets)}, in this order, not {len(args.features)}; "
            "choose the sets with --bin"
        )
    for number, (name, one) in enumerate(sets.items()):
        images, issame = one
        features, remarks = args.features[number] if args.features else None, one.remarks()
        if features:
            remarks += source.note(features)
            result = evaluate_pairs(_ready(features, len(images)), issame, args.folds)
        else:
            result = _embedded(args, source, name, images, issame)
        results[name] = {**result.to_json(), "flip": source.flip, "precision": source.precision}
        print(describe(name, results[name], source.flip))
        if args.bad_cases:
            bad = write_bad_cases(args.bad_cases / name, result, images)
            remarks.append(f"{bad} of {len(issame)} pairs judged wrongly: {args.bad_cases / name}")
        if args.folds != FOLDS:  # another protocol than the paper's
            print(*(f"{' ' * len(name)}  {line}" for line in (*remarks, f"{args.folds} folds: not kept")), sep="\n")
            continue
        place = subject.on_demo() if is_demo_name(name) else subject
        whole = True if name in args.set else None
        command = shlex.join(["arcface-gluon", "verify", *_options(args, one, source, features)])
        kept = keep_verification(place, name, result, images, args.row, command, source.flip, whole, source.precision)
        for line in (*remarks, *kept):
            print(f"{' ' * len(name)}  {line}")
        reports[place.folder / "report.html"] = None
    for report in reports:
        print(f"report: {report}")
    if args.json:
        write_json(args.json, {"model": str(subject.path), "verification": results})


def _embedded(args, source, name, images, issame):
    """The verification of a set by the model."""
    from ..data.images.sources import EncodedImages
    from ..embed import verify_set
    from ..models.backbone import input_size

    note = EncodedImages(name, images).size_note(input_size(source.net))
    if note:
        print(f"warning: {note}", file=sys.stderr)
    return verify_set(
        source.net, images, issame, source.devices, args.batch_size, args.folds, args.quiet, name, source.flip
    )


def _folds(text):
    if not text.isdecimal() or not 2 <= int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r} is no number of folds, from 2 to 1000")
    return int(text)


def _ready(path, count):
    """The `count` features (count, d) of a set, in the order of its pairs."""
    if path.suffix != ".npy":
        raise UserError(f"{path} is no .npy: give an array with a row for each image, in the order of the pairs")
    return find_features(path, [f"{i // 2}{'ab'[i % 2]}" for i in range(count)]).vectors


def check_row(row: str | None, key: str | None = None) -> None:
    """Refuse a row that no table of the paper has, or not the one of this key."""
    from ..report.paper import paper_tables

    tables = paper_tables()
    rows = {name for table in ([tables[key]] if key else tables.values()) for name in table["rows"]}
    if row is not None and row not in rows:
        where = f"Table {tables[key]['number']}" if key else "the paper's tables"
        raise UserError(f"--row {row!r} is no row of {where}{did_you_mean(row, sorted(rows))}")


def describe(name: str, result: dict, flip: bool = True) -> str:
    """One set's measures and mode in two lines; what pairs of one kind leave undefined is named instead."""
    accuracy = (
        f"{name}: accuracy {result['accuracy']:.2%} ± {result['std']:.2%}, threshold {result['threshold']:.3f} "
        f"({result['threshold_angle']:.1f}°)"
    )
    pairs, mode = (
        f"{' ' * len(name)}  {result['pairs']} pairs",
        str(Mode(flip, precision=result.get("precision", "float32"))),
    )
    kind = one_kind(result)
    if kind:
        other, accepted = ("impostor", "all") if kind == "genuine" else ("genuine", "none")
        return (
            f"{accuracy}\n{pairs}, all {kind}: AUC, EER and TAR are not defined without {other} pairs, and the "
            f"accuracy says nothing: it is of a threshold that accepts {accepted} of the other folds; {mode}"
        )
    tar = ", ".join(f"{rate:.2%} at FAR {far}" for far, rate in result["tar_at_far"].items() if rate is not None)
    tar = f"TAR {tar}" if tar else "too few impostor pairs for a TAR"
    return f"{accuracy}, AUC {result['auc']:.4f}, EER {result['eer']:.2%}\n{pairs}, {mode}; {tar}"


def _options(args, one, source, features):
    """The options for this set alone, of the `features` or the model."""
    normalisation = getattr(source.net, "normalisation", None)
    return [
        *(["--features", str(features)] if features else ["--model", str(source.subject.path)]),
        *(normalisation.options() if normalisation else []),
        *([f"--bin={one.path}"] if args.bin else []),
        *([f"--set={one.name}"] if one.name in args.set else []),
        *([] if source.flip else ["--no-flip"]),
        *([] if source.net is None or source.precision == "float32" else [f"--dtype={source.precision}"]),
    ]


def _sets(args, subject):
    """{name: VerificationSet} to verify on."""
    from ..data.places import find_data, open_validation

    if args.set:
        return _said_to_be(args)
    if args.bin:
        return open_validation(args.bin, Path())
    if args.data and not args.recipe:
        folder = Path(args.data)
        known = [name for name in SETS if (folder / f"{name}.bin").is_file()]
        if not known:
            raise UserError(f"{folder} has none of {', '.join(SETS)} as .bin; name the sets with --bin")
        return open_validation(known, folder)
    values = recipe.resolve(args.recipe) if args.recipe else subject.recipe
    if not values:
        raise UserError(f"{subject.path} is no run of a recipe; name at least one set: --bin lfw.bin (make … BIN=…)")
    return open_validation(values["data"]["validation"], find_data(args.data or values["data"]["path"]))


def _said_to_be(args):
    """The sets of --bin, called by --set. Their numbers of pairs must agree, their order need not."""
    from ..data.places import open_validation

    if not args.bin:
        raise UserError(f"--set {args.set[0]} says what a --bin is; name the file too, with --bin")
    if len(args.set) != len(args.bin):
        raise UserError(f"{len(args.set)} --set for {len(args.bin)} --bin; give one for each, in their order")
    sets = {}
    for name, file in zip(args.set, args.bin):
        if name not in SETS:
            raise UserError(f"--set {name!r} is no set of the paper{did_you_mean(name, SETS)}")
        (one,) = open_validation([file], Path()).values()
        if is_demo_name(one.name):
            raise UserError(f"{file} is a demo set, and not {name}; leave out --set")
        if name in sets:
            raise UserError(f"two sets are said to be {name}; verify one after the other")
        counts = (("pairs", len(one.issame), SETS[name].pairs), ("genuine", sum(one.issame), SETS[name].genuine))
        for what, have, wanted in counts:
            if have != wanted:
                raise UserError(f"{file} is not {name}, which has {wanted:,} {what}, not {have:,}; leave out --set, "
                                "and it keeps a name of its own")  # fmt: skip
        sets[name] = replace(one, name=name)
    return sets

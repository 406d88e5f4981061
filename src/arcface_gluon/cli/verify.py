"""`arcface-gluon verify --model M --bin lfw.bin`: 10-fold verification."""

from __future__ import annotations

from pathlib import Path

from .. import recipe
from ..errors import UserError
from ..files import write_json
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet


def add_arguments(parser):
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", metavar="M", help="a run's folder, a checkpoint, or model-symbol.json")
    model.add_argument("--recipe", metavar="R", help="the last run of this recipe, on the recipe's verification sets")
    parser.add_argument(
        "--bin", action="append", default=[], metavar="FILE", help="a verification set; may be repeated"
    )
    parser.add_argument("--data", metavar="FOLDER", help="folder of the recipe's sets (default: its data.path)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step over all devices (default 32)")
    parser.add_argument("--contexts", help="a count, or a list such as cpu(0),cpu(1); default: every GPU, else cpu(0)")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON")


def run(args):
    import_mxnet()
    from .. import load_model
    from ..embed import verify_set

    model, sets = _model_and_sets(args)
    devices = devices_of(args.contexts)
    net = load_model(model, devices)
    results = {}
    for name, (images, issame) in sets.items():
        result = verify_set(net, images, issame, devices, args.batch_size, quiet=False, what=name)
        results[name] = result.to_json()
        print(describe(name, results[name]))
    if args.json:
        write_json(args.json, {"model": str(model), "verification": results})


def describe(name, result) -> str:
    """One set's measures in two lines."""
    tar = ", ".join(f"{rate:.2%} at FAR {far}" for far, rate in result["tar_at_far"].items() if rate is not None)
    return (
        f"{name}: accuracy {result['accuracy']:.2%} ± {result['std']:.2%}, threshold {result['threshold']:.3f} "
        f"({result['threshold_angle']:.1f}°), AUC {result['auc']:.4f}, EER {result['eer']:.2%}\n"
        f"{' ' * len(name)}  {result['pairs']} pairs; TAR {tar}"
    )


def _model_and_sets(args):
    from .train import find_data, open_validation, run_folder

    if args.model:
        if not args.bin:
            raise UserError("--model needs at least one verification set: --bin lfw.bin (make … BIN=lfw.bin)")
        return args.model, open_validation(args.bin, Path())
    values = recipe.resolve(args.recipe)
    model = run_folder(Path(values.run.folder), values.run.name, resume=True)
    if args.bin:
        return model, open_validation(args.bin, Path())
    return model, open_validation(values.data.validation, find_data(args.data or values.data.path))

"""`arcface-gluon train RECIPE`: records → training → checkpoints → verification → report."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

from .. import __version__, recipe
from ..errors import UserError
from ..files import write_json
from ..progress import write_line
from ..runtime import contexts as devices_of
from ..runtime import import_mxnet
from ..training.run_folder import owned_run, run_folder
from .memory import MemoryAdvice
from .options import add_overrides, overrides

EXAMPLE = "arcface-gluon train casia_r50 data.path=/data/faces_webface loss=cosface train.batch_size=256"


def add_arguments(parser):
    parser.add_argument("recipe", help="a name of recipes/, or a .py or recipe.json file")
    add_overrides(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint of the recipe's last run")
    parser.add_argument("--json", metavar="FILE", help="write summary.json there too")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args):
    values = recipe.resolve(args.recipe, overrides(args))
    root, name, before = Path(values.run.folder), values.run.name, None
    if args.resume:
        before, values = own_recipe(run_folder(root, name, True), values.run, overrides(args))
    data_folder = find_data(values.data.path)
    import_mxnet()
    from ..parallel.processes import join

    processes = join()
    processes.must_agree(json.dumps(values), "recipe")
    with owned_run(root, name, args.resume, processes) as folder:
        _train(args, values, before, data_folder, folder, processes)


def own_recipe(folder: Path, place: dict, changed: list[str]) -> tuple:
    """What a run goes on with: its own recipe, and that with the overrides of this call.

    Args:
        place: the `run` group that leads to the folder now.
        changed: overrides.

    Raises:
        UserError: its recipe.json is missing or damaged.
    """
    path = folder / "recipe.json"
    before, values = recipe.resolve(path), recipe.resolve(path, changed)
    before.run, values.run = place, place
    return before, values


def _train(args, values, before, data_folder, folder, processes):
    from ..report.run_report import write_report

    say = print if processes.rank == 0 else lambda text: None
    trainer = build_trainer(values, data_folder, folder, args.quiet, processes)
    records = trainer.batches.records
    advice = MemoryAdvice(values, records.num_identities, trainer.contexts, processes.size)
    if processes.rank == 0 and advice.warning():
        write_line(advice.warning())
    if args.resume:
        for damaged in trainer.resume():
            say(f"{damaged}: the checkpoint before it is taken, and this one is kept as *.damaged")
        say(f"resuming {folder} after iteration {trainer.iteration}")
        for line in recipe.changes(before, values):
            say(f"changed since: {line}")
    if processes.rank == 0:
        write_json(folder / "recipe.json", values, sealed=True)
    devices = (
        f"{processes.size} processes with {len(trainer.contexts)} devices each"
        if processes.size > 1
        else ", ".join(map(str, trainer.contexts))
    )
    say(
        f"training {values.run.name} on {devices}: {len(records)} images of {records.num_identities} identities, "
        f"run in {folder}"
    )
    began, start = time.perf_counter(), trainer.iteration
    with advice:
        trainer.train()
    if processes.rank == 0:
        summary = summarise(values, data_folder, trainer)
        write_json(folder / "summary.json", summary, sealed=True)
        if args.json:
            write_json(args.json, summary, sealed=True)
        report = write_report(folder)
        for name, result in trainer.verification.items():
            say(f"{name}: {result['accuracy']:.2%} ± {result['std']:.2%}")
        say(
            f"{trainer.iteration - start} iterations in {time.perf_counter() - began:.0f} s, "
            f"{summary['images_per_second']:.1f} images/s, peak memory {summary['peak_memory_mib']:.0f} MiB"
        )
        say(f"report: {report}")


def build_trainer(values, data_folder, folder, quiet, processes):
    """Everything that a resolved recipe names, put together."""
    import mxnet as mx

    from ..losses import build_head
    from ..parallel.process_group import ProcessGroup
    from ..training.trainer import Trainer

    devices = devices_of(values.train.contexts)
    processes.must_agree(str(len(devices)), "number of devices")
    if values.train.batch_size < len(devices) * processes.size:
        raise UserError(
            f"train.batch_size={values.train.batch_size} is smaller than the {len(devices) * processes.size} devices"
        )
    batches = open_batches(values, data_folder, processes)
    records = batches.records
    processes.must_agree(f"{len(records)} {records.num_identities} {records.image_size}", "training set")
    validation = open_validation(values.data.validation, data_folder)
    mx.random.seed(values.seed)
    net = build_network(values, devices)
    _check_size(net, records)
    if processes.rank == 0:
        for warning in _check_validation(validation, values.data.validation, data_folder, net):
            write_line(f"warning: {warning}")
    group = ProcessGroup(devices, processes) if processes.size > 1 else None
    head = build_head(values.head, records.num_identities, values.network.embedding_size, devices, values.seed, group)

    def validate():
        return {name: _verify(net, bin_set, devices, folder, name, quiet) for name, bin_set in validation.items()}

    validate = validate if validation else None
    return Trainer(net, head, batches, devices, values.train, values.seed, folder, validate, quiet, processes)


def summarise(values, data_folder, trainer) -> dict:
    """summary.json of a run that has ended."""
    records = trainer.batches.records
    return {
        "recipe": values.run.name,
        "seed": values.seed,
        "iterations": trainer.iteration,
        "images_per_second": round(trainer.iteration * values.train.batch_size / max(trainer.seconds, 1e-9), 3),
        "seconds": round(trainer.seconds, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "skipped_records": trainer.batches.skipped,
        "verification": trainer.verification,
        "best": trainer.best,
        "data": {"path": str(data_folder), "images": len(records), "identities": records.num_identities},
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(trainer.contexts),
    }


def find_data(path) -> Path:
    """Folder of training records: a folder under datasets/, or any path.

    Raises:
        UserError: files are missing; says which, where it looked, and which page tells how to get them.
    """
    if not path:
        raise UserError("no training data: set data.path=/folder (make … DATA=/folder)")
    candidates = [Path(path)] if os.sep in path or Path(path).is_absolute() else [Path("datasets") / path, Path(path)]
    for folder in candidates:
        if (folder / "train.rec").is_file():
            return folder
    looked = " and ".join(str(folder.resolve()) for folder in candidates)
    page = "datasets/README.md" + (f", section {path}," if len(candidates) > 1 else "")
    raise UserError(
        f"no train.rec (with train.idx and property) in {looked}; "
        f"{page} tells how to get them, or give their folder with DATA=/path"
    )


def open_batches(values, data_folder, processes):
    from ..data import Augment, Batches, FaceRecords
    from ..data.label_check import check_training_set

    records = FaceRecords(data_folder, values.data.first_label)
    for line in check_training_set(records, values.data.on_error):
        if processes.rank == 0:
            print(f"warning: {line}", file=sys.stderr)
    return Batches(
        records,
        values.train.batch_size,
        seed=values.seed,
        augment=Augment(**values.data.augment),
        threads=values.data.threads,
        on_error=values.data.on_error,
        part=(processes.rank, processes.size),
        images_per_identity=values.data.images_per_identity,
    )


def open_validation(names, data_folder) -> dict:
    """{set's name: (images, issame)} of the .bin files beside the records, or given by path.

    Raises:
        UserError: a file is missing or not a verification set.
    """
    from ..data import read_bin
    from ..data.demos import set_name

    sets = {}
    for name in names:
        path = path_of_set(name, data_folder)
        if not path.is_file():
            cure = (
                "name one that is there"
                if path == Path(name)
                else "put it there, or name those you have with data.validation=lfw,agedb_30 ([] for none)"
            )
            raise UserError(f"no verification set {path}; {cure}")
        sets[set_name(path)] = read_bin(path)
    return sets


def _check_validation(sets, names, data_folder, net):
    """Warnings about verification sets; one that cannot be evaluated is refused before the first iteration."""
    from ..data.pair_check import check_pairs
    from ..models.backbone import input_size

    paths = [path_of_set(name, data_folder) for name in names]
    return [line for path in paths for line in check_pairs(path, *sets[path.stem], input_size(net))]


def path_of_set(name, data_folder) -> Path:
    """Where a verification set of data.validation lies: beside the records, or at the path given."""
    path = data_folder / f"{name}.bin"
    return Path(name) if str(name).endswith(".bin") or (not path.is_file() and Path(name).is_file()) else path


def build_network(values, devices):
    from ..models import get_model, model_options

    half = values.train.dtype == "float16"
    if half and any(device.device_type == "cpu" for device in devices):
        raise UserError("train.dtype=float16 needs GPUs: MXNet has no half-precision products on CPUs; use float32")
    options = dict(values.network.options)
    if "dropout" in model_options(values.network.name):
        options.setdefault("dropout", values.network.dropout)
    net = get_model(values.network.name, values.network.embedding_size, **options)
    net.initialize(ctx=devices)
    if half:
        net.cast("float16")
    net.hybridize()
    return net


def _check_size(net, records):
    from ..models.backbone import input_size

    size = input_size(net)
    if records.image_size != size:
        raise UserError(
            f"{records.path.with_name('property')} says images of {records.image_size[0]}x{records.image_size[1]}, but "
            f"the network takes {size[0]}x{size[1]}; prepare them at that size, "
            f"or set network.options.input_size={records.image_size[0]},{records.image_size[1]}"
        )


def environment(devices) -> dict:
    """What a result depends on besides the recipe."""
    import mxnet as mx
    import numpy as np

    return {
        "arcface-gluon": __version__,
        "python": platform.python_version(),
        "mxnet": mx.__version__,
        "numpy": np.__version__,
        "devices": [str(device) for device in devices],
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "processor": platform.machine(),
    }


def _verify(net, bin_set, devices, folder, name, quiet):
    from ..embed import verify_set
    from ..report.verification_store import measures_of, save_verification

    result = verify_set(net, *bin_set, contexts=devices, quiet=quiet, what=name)
    save_verification(folder, name, result, bin_set[0])
    return measures_of(name, result)

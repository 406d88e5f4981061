"""A trainer of all that a resolved recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Mapping

import mxnet as mx
from easydict import EasyDict
from mxnet.gluon import HybridBlock

from ..data import Augment, Batches, FaceRecords
from ..data.places import VerificationSet
from ..data.records.label_check import check_training_set
from ..errors import UserError
from ..losses import build_head
from ..models import get_model, model_options
from ..models.backbone import input_size
from ..models.cost import most_images
from ..models.folded import EvaluationNetwork, evaluation_network
from ..models.precision import training_precision
from ..parallel.process_group import ProcessGroup
from ..parallel.processes import Processes
from ..parallel.team import Team
from ..progress import write_line
from ..recipe import flatten
from ..recipe.option import REDUCTIONS
from ..runtime import contexts as devices_of
from .loggers import make_loggers
from .trainer import Trainer

_SURELY_FIT = 512  # images of any network that one trains, whose graph need not be looked at

# (network, set's name, set, devices) → measures of one validation; all processes call it, whose team embeds
Validator = Callable[[EvaluationNetwork, str, VerificationSet, list], dict]


def build_trainer(
    values: EasyDict,
    data_folder: Path,
    folder: Path,
    validation: Mapping[str, VerificationSet],
    validator: Validator,
    quiet: bool = False,
    processes: Processes | None = None,
) -> Trainer:
    """Records, network, head and trainer of a recipe; what is wrong with the whole of the data is told now.

    Args:
        values: a resolved recipe.
        data_folder: with train.rec, train.idx and property.
        folder: of the run.
        validation: sets by name.
        validator: what measures the network on one of them.
        quiet: no progress.
        processes: those that train together.

    Raises:
        UserError: settings, data and network do not go together.
    """
    processes = processes or Processes()
    if (
        values.train.patience
        and validation
        and not any(0 < sum(one.issame) < len(one.issame) for one in validation.values())
    ):
        raise UserError(f"train.patience={values.train.patience} needs validations with an accuracy; name a set in "
                        "data.validation that has pairs of one person and of two")  # fmt: skip
    loggers = make_loggers(values.train.loggers)
    devices = devices_of(values.train.contexts)
    processes.must_agree(str(len(devices)), "number of devices")
    if values.train.batch_size < len(devices) * processes.size:
        raise UserError(
            f"train.batch_size={values.train.batch_size} is smaller than the {len(devices) * processes.size} devices"
        )
    batches, warnings = open_batches(values, data_folder, processes)
    records = batches.records
    if processes.size > 1:
        processes.must_agree(records.fingerprint(), "training set")
    mx.random.seed(values.seed)
    net = build_network(values, devices)
    _check_size(net, records)
    _check_arrays(net, values.train, len(devices) * processes.size)
    if processes.rank == 0:
        for warning in [*warnings, *(line for one in validation.values() for line in one.check(input_size(net)))]:
            write_line(f"warning: {warning}")
    group = ProcessGroup(devices, processes) if processes.size > 1 else None
    head = build_head(values.head, records.num_identities, values.network.embedding_size, devices, values.seed, group)

    def validate() -> dict:
        network = evaluation_network(net, devices)  # folded once for all sets
        network.team = Team(processes, trainer.check_signals) if processes.size > 1 else None
        return {name: validator(network, name, one, devices) for name, one in validation.items()}

    trainer = Trainer(
        *(net, head, batches, devices, values.train, values.seed, folder),
        *(validate if validation else None, quiet, processes, loggers, flatten(values)),
    )
    return trainer


def open_batches(values: EasyDict, data_folder: Path, processes: Processes) -> tuple[Batches, list[str]]:
    """The sample stream of this process, and warnings about the training set.

    Raises:
        UserError: the set cannot be meant so; says what is wrong and how to mend it.
    """
    records = FaceRecords(data_folder, values.data.first_label)
    warnings = check_training_set(records, values.data.on_error)
    if values.data.min_images:
        whole, records = records, records.of_identities_with(values.data.min_images)
        warnings.append(
            f"data.min_images={values.data.min_images} leaves {records.num_identities:,} of {whole.num_identities:,} "
            f"identities with {len(records):,} of {len(whole):,} images"
        )
    batches = Batches(
        records.reduced(values.data.reduce),
        values.train.batch_size,
        seed=values.seed,
        augment=Augment(**values.data.augment),
        threads=values.data.threads or None,
        on_error=values.data.on_error,
        part=(processes.rank, processes.size),
        images_per_identity=values.data.images_per_identity,
    )
    return batches, warnings


def network_of(values: EasyDict) -> HybridBlock:
    """The recipe's network, not initialised.

    Raises:
        UserError: an option that it does not have.
    """
    options = dict(values.network.options)
    if "dropout" in model_options(values.network.name):
        options.setdefault("dropout", values.network.dropout)
    return get_model(values.network.name, values.network.embedding_size, **options)


def build_network(values: EasyDict, devices: list) -> HybridBlock:
    """The recipe's network, initialised on the devices.

    Raises:
        UserError: an option that it does not have, or a precision that the devices do not train in.
    """
    net = network_of(values)
    half = training_precision(values.train.dtype, devices, net)[0] == "float16"
    net.initialize(ctx=devices)
    if half:
        net.cast("float16")
    net.hybridize()
    return net


def _check_arrays(net, train, devices):
    """Refuse parts of a batch with which an output of the network would be larger than MXNet's arrays can be."""
    part = -(-train.batch_size // (devices * train.accumulate))
    if part > _SURELY_FIT and part > (most := most_images(net)):
        raise UserError(
            f"train.batch_size={train.batch_size} is {part:,} images at once on a device; of more than {most:,} this "
            "network has outputs beyond the 2^31 elements of an MXNet array; lower it, or raise train.accumulate"
        )


def _check_size(net, records):
    size = input_size(net)
    height, width = records.image_size
    if (height, width) != size:
        stored = height * records.reduction, width * records.reduction
        fitting = [f"data.reduce={k}, " for k in REDUCTIONS if stored == (k * size[0], k * size[1])]
        at = f", data.reduce={records.reduction} makes them {height}x{width}" if records.reduction > 1 else ""
        raise UserError(
            f"{records.property_path} says images of {stored[0]}x{stored[1]}{at}, but the network takes "
            f"{size[0]}x{size[1]}; set {''.join(fitting)}network.options.input_size={height},{width}, "
            "or prepare them at that size"
        )

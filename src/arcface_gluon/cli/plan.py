"""`arcface-gluon plan`: memory, traffic and time of a training step on machines that are not at hand."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import read_json, write_json
from ..parallel.cost import CENTRE_BYTES, LOGIT_BYTES, MIB, Machine, Setting, advise, cost, largest, refusal
from .options import image_size

if TYPE_CHECKING:
    from ..parallel.cost import Cost

EXAMPLE = "arcface-gluon plan --identities 10e6 --gpus 8 --memory 24 --bandwidth 12"

GIB = 1024 * MIB


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--identities", type=float, default=1e6, help="number of identities, such as 10e6")
    parser.add_argument("--gpus", type=int, default=8, help="devices of a host (default 8)")
    parser.add_argument("--hosts", type=int, default=1, help="machines with as many devices each (default 1)")
    parser.add_argument("--np", type=int, help="processes over all hosts (default: one a host)")
    parser.add_argument("--memory", type=float, default=24.0, help="GiB of a device (default 24)")
    parser.add_argument("--bandwidth", type=float, default=12.0, help="GB/s that a device can send (default 12)")
    parser.add_argument("--card", type=float, default=1.25, help="GB/s of a host's network card (default 1.25)")
    parser.add_argument("--nccl", action="store_true", help="processes exchange arrays from device to device")
    parser.add_argument(
        "--gflops", type=float, default=10_000.0, help="float32 product rate of a device (default 10000)"
    )
    parser.add_argument(
        "--memory-bandwidth", type=float, help="GB/s between a device and its memory (default: from --gflops)"
    )
    parser.add_argument("--batch-size", type=int, default=512, help="images a step, over all devices (default 512)")
    parser.add_argument("--network", default="r50", help="backbone (default r50)")
    parser.add_argument(
        "--input-size", type=image_size, default=(112, 112), help="112 (default), or 112x96: height first"
    )
    parser.add_argument("--embedding-size", type=int, default=512, help="d (default 512)")
    parser.add_argument("--block-rows", type=int, default=0, help="head.block_rows")
    parser.add_argument("--sample-rate", type=float, default=1.0, help="head.sample_rate")
    parser.add_argument("--accumulate", type=int, default=1, help="train.accumulate")
    parser.add_argument(
        "--bench", type=Path, default=Path("runs/bench"), help="results of `make bench` to calibrate by"
    )
    parser.add_argument("--iterations", type=float, help="steps of a training, for its hours")
    parser.add_argument("--price", type=float, help="of a device and hour, in any currency, for its cost")
    parser.add_argument("--json", metavar="FILE", help="write the estimate as JSON")


def run(args: Namespace) -> None:
    positive = ("identities", "gpus", "hosts", "np", "memory", "bandwidth", "card", "gflops", "memory_bandwidth")
    for name in (*positive, "batch_size", "embedding_size", "accumulate", "iterations", "price"):
        value = getattr(args, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"--{name.replace('_', '-')}={value} must be a number above 0")
    if not 0 < args.sample_rate <= 1 or args.block_rows < 0:
        raise UserError("--sample-rate must be above 0 and at most 1, --block-rows not negative")
    if args.price is not None and args.iterations is None:
        raise UserError("--price needs --iterations: the price is of a whole training")
    from ..models import network_cost

    setting = Setting(
        int(args.identities),
        args.gpus * args.hosts,
        args.batch_size,
        args.embedding_size,
        args.block_rows,
        args.sample_rate,
        args.accumulate,
        args.np or args.hosts,
        args.hosts,
    )
    if refused := refusal(setting):
        raise UserError(refused)
    constants = calibration(args.bench)
    if args.memory_bandwidth is not None:
        constants["balance"] = args.gflops / args.memory_bandwidth
    places = {"network": args.card * 1e9, "direct": args.nccl}
    machine = Machine(args.memory * GIB, args.gflops, args.bandwidth * 1e9, **constants, **places)
    network = network_cost(args.network, args.embedding_size, input_size=args.input_size)
    estimate = cost(setting, network, machine)
    where = f"{setting.devices} devices" + (f" of {setting.hosts} hosts" if setting.hosts > 1 else "")
    print(f"{setting.identities:,} identities on {where}, {args.network}, batch {setting.batch_size}")
    print(describe(estimate, setting, machine))
    hours = None
    if args.iterations:
        hours = args.iterations * estimate.seconds / 3600
        price = f"; {hours * setting.devices * args.price:,.0f} at {args.price:g} a device and hour" * bool(args.price)
        print(f"  run      {args.iterations:,.0f} steps take {hours:,.1f} hours on {where}{price}")
    advice = advise(setting, network, machine)
    for option, changed, cheaper in advice:
        print(f"  {option}: {cheaper.memory / GIB:.1f} GiB, {changed.batch_size / cheaper.seconds:,.0f} images/s")
    if not advice and estimate.memory > machine.memory:
        print("  nothing here makes it fit: use devices with more memory, or a smaller batch")
    print(f"with these options {largest(setting, network, machine):,} identities would fit")
    if args.json:
        options = [{"option": option, **cheaper.to_json()} for option, _, cheaper in advice]
        write_json(args.json, {"setting": vars(setting), **estimate.to_json(), "hours": hours, "advice": options})


def describe(estimate: Cost, setting: Setting, machine: Machine) -> str:
    """An estimate in a few lines."""
    fits = "fits" if estimate.memory <= machine.memory else "does not fit; what would:"
    return "\n".join(
        [
            f"  step     {estimate.seconds * 1000:,.0f} ms: backbone {estimate.seconds_backbone * 1000:,.0f}, head "
            f"{estimate.seconds_head * 1000:,.0f}, wire {estimate.seconds_wire * 1000:,.0f}; "
            f"{setting.batch_size / estimate.seconds:,.0f} images/s",
            f"  wire     {estimate.wire_head / MIB:,.1f} MiB for the head, {estimate.wire_backbone / MIB:,.1f} MiB for "
            "the backbone, sent by each device a step within its process",
            f"  network  {estimate.sent_head / MIB:,.1f} MiB for the head, {estimate.sent_backbone / MIB:,.1f} MiB for "
            f"the backbone, sent by each of {setting.processes} processes a step; {estimate.staged / MIB:,.1f} MiB "
            "through the host's memory",
            f"  memory   {estimate.memory / GIB:.1f} GiB: centres and momenta {estimate.centres / GIB:.1f}, logits "
            f"{estimate.logits / GIB:.1f}, backbone {estimate.backbone / GIB:.1f}, activations "
            f"{estimate.activations / GIB:.1f}; {fits}",
        ]
    )


def calibration(folder: Path) -> dict:
    """Constants of Machine as `make bench` measured them on this machine; those that were not measured are left out."""
    found = {}
    values = _values(folder / "head.json", "100,000 identities, batch 256: the same and the update of the centres")
    if values:
        # The products of this case, and what it moves otherwise; times in milliseconds.
        operations = 6 * 256 * 100_000 * 512
        moved = 100_000 * (512 * CENTRE_BYTES + 256 * LOGIT_BYTES)
        found["balance"] = operations / moved * max(0.0, values["value"] / values["floor"] - 1)
    values = _values(folder / "backbone.json", "r50 training step, batch 16, 1 context(s)")
    if values:
        found["backbone"] = values["ratio"]
    return found


def _values(path, what):
    rows = read_json(path) if path.is_file() else []
    return next((row for row in rows if row["what"] == what), None)

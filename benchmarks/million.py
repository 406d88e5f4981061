"""`make bench-million`: training the class centres of a million identities, in shards, on this machine.

    arcface-gluon bench million [--identities N] [--contexts S] [--batch B] [--steps K]

Embeddings are random, there is no backbone: this is the cost of the head alone. Prints images a second, bytes that
travel a step, and the peak of the resident memory beside centres, momenta and logits. Then a table, computed and not
measured, of the most identities that fit GPUs of several sizes.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from arcface_gluon import runtime
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.errors import UserError
from arcface_gluon.parallel.cost import Machine, Network, Setting, largest

SIZE = 512
GPUS, GIGABYTES, BATCHES = (4, 8), (11, 24, 80), (256, 512, 1024)

EXAMPLE = "arcface-gluon bench million"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench million", __doc__, EXAMPLE)
    parser.add_argument("--identities", type=int, default=1_000_000)
    parser.add_argument("--contexts", default="cpu(0),cpu(1),cpu(2),cpu(3)", help="devices, or their number")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args(arguments)
    rows = train(args.identities, runtime.contexts(args.contexts), args.batch, args.steps)
    print("\n".join(f"{what}: {value:,.2f} {unit}".rstrip() for what, value, unit in rows))
    print(f"\nThe most identities that fit, head alone, {SIZE}-d; computed, not measured:\n\n{table()}")
    limit = (2**31 - 1) // SIZE / 1e6
    print(f"\n{limit:.1f} M a GPU is the limit of MXNet's arrays of 2^31 elements.")
    return 0


def train(identities: int, devices: list, batch: int, steps: int) -> list[tuple[str, float, str]]:
    """Run the head; gives rows (what, value, unit)."""
    import mxnet as mx

    from arcface_gluon import ShardedMarginHead
    from arcface_gluon.progress import progress

    random = np.random.default_rng(0)
    head = ShardedMarginHead(identities, SIZE, devices)
    seconds, sent = [], head.bytes_sent
    for _ in progress(range(steps), desc="steps", unit="step"):
        embeddings = random.normal(size=(batch, SIZE))
        parts = [mx.nd.array(part, ctx=ctx) for part, ctx in zip(np.array_split(embeddings, len(devices)), devices)]
        labels = np.array_split(random.integers(0, identities, batch), len(devices))
        mx.nd.waitall()
        began = time.perf_counter()
        loss, _ = head.forward_backward(parts, labels)
        head.update(0.1, 0.9, 5e-4)
        mx.nd.waitall()
        seconds.append(time.perf_counter() - began)
    if not np.isfinite(loss):
        raise UserError(f"the loss became {loss} within {steps} steps")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    needed = 4 * (2 * identities * SIZE + batch * identities) / 2**20
    what = f"{identities:,} identities on {len(devices)} device(s), batch {batch}"
    return [
        (f"{what}: a step", 1000 * np.median(seconds), "ms"),
        ("rate", batch / np.median(seconds), "images/s"),
        ("sent a step", (head.bytes_sent - sent) / steps / 1024, "KiB"),
        ("loss of the last step", loss, ""),
        ("peak resident memory, Python and MXNet included", peak, "MiB"),
        ("centres, momenta and logits", needed, "MiB"),
        ("peak over these", peak / needed, ""),
    ]


def table() -> str:
    """Markdown: rows are GPUs, columns batch sizes, in millions of identities."""
    nothing = Network(parameters=0, multiply_additions=0, outputs=0)
    head = ["GPUs", *(f"batch {batch}" for batch in BATCHES), f"batch {BATCHES[-1]}, block_rows=65,536"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for count in GPUS:
        for gigabytes in GIGABYTES:
            # A tenth is left to CUDA's libraries and to fragments.
            machine = Machine(memory=0.9 * gigabytes * 1e9, gflops=1, bandwidth=1)
            settings = [Setting(0, count, batch) for batch in BATCHES]
            settings.append(Setting(0, count, BATCHES[-1], block_rows=65_536))
            cells = [f"{largest(setting, nothing, machine) / 1e6:.1f} M" for setting in settings]
            lines.append(f"| {count} x {gigabytes} GB | {' | '.join(cells)} |")
    return "\n".join(lines)

"""Memory of one of several processes that resume: what it reads of a checkpoint of class centres.

    arcface-gluon bench resume [--identities N …] [--size D] [--ranks P] [--folder F]

Checkpoints with momenta are written (a file a process), and one process of P puts its rows into a head, in a process of
its own; the others are left out, with what they would have said. The rest of a training is left out too.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from arcface_gluon.cli.modules import command_parser
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.run_layout import NETWORK, STATE, first_identity, head_file, is_head_file

EXAMPLE = "arcface-gluon bench resume --identities 1000000 2000000 --size 64"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("bench resume", __doc__, EXAMPLE)
    parser.add_argument("--identities", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000], metavar="N")
    parser.add_argument("--size", type=int, default=64, help="values of a centre (64)")
    parser.add_argument("--ranks", type=int, default=8, help="processes (8)")
    parser.add_argument("--folder", type=Path, help="where the checkpoints are written, and removed")
    args = parser.parse_args(arguments)
    rows = []
    for identities in args.identities:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            bytes_written = write(Path(folder), identities, args.size, args.ranks)
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found = pool.submit(read, folder, identities, args.size, args.ranks).result()
        numbers = (bytes_written, bytes_written // args.ranks, *found[:3])
        rows.append([f"{identities:,}", *(f"{number / 2**20:,.0f} MiB" for number in numbers), f"{found[3]:.1f} s"])
    heads = ["identities", "checkpoint", "own rows", "own memory more", "pages of files more", "peak", "time"]
    print(f"One of {args.ranks} processes, centres of {args.size} values and their momenta:", "", sep="\n")
    print(*markdown_table(heads, rows), sep="\n")
    return 0


def write(folder: Path, identities: int, size: int, ranks: int) -> int:
    """A checkpoint of random centres; gives its bytes."""
    from arcface_gluon.training.checkpoint import save_checkpoint

    rows = identities // ranks
    block = np.random.default_rng(0).normal(size=(rows, size)).astype(np.float32)
    arrays = {head_file(rank * rows): {"weight": block, "momentum": block} for rank in range(ranks)}
    nothing = dict.fromkeys(("first_loss", "best"))
    state = {"iteration": 1, "seconds": 0, "num_classes": rows * ranks, "devices": ranks, "verification": {}, **nothing}
    written = save_checkpoint(folder, 1, arrays, {NETWORK: {}, STATE: state}, 1)
    return sum(path.stat().st_size for path in written.iterdir())


def read(folder: str, identities: int, size: int, ranks: int) -> tuple[int, int, int, float]:
    """What the middle process takes: (own memory, pages of files, peak of all, seconds), bytes."""
    from arcface_gluon.runtime import import_mxnet

    mx = import_mxnet()
    from arcface_gluon import ShardedMarginHead
    from arcface_gluon.parallel.process_group import ProcessGroup
    from arcface_gluon.parallel.processes import Processes
    from arcface_gluon.training.checkpoint import load_last

    class Alone(Processes):
        """One of several, of which the others say the same."""

        rank, size = ranks // 2, ranks

        def allgather(self, array, name):
            return np.concatenate([array] * ranks)

    processes, contexts = Alone(), [mx.cpu()]
    rows = identities // ranks * ranks
    before, began = _memory(), time.perf_counter()
    head = ShardedMarginHead(rows, size, contexts, group=ProcessGroup(contexts, processes))
    _, arrays, _, _ = load_last(folder, processes)
    for name, values in arrays.items():
        if is_head_file(name):
            head.load_rows(first_identity(name), values)
    mx.nd.waitall()
    seconds, after = time.perf_counter() - began, _memory()
    own, mapped = (after[name] - before[name] for name in ("RssAnon", "RssFile"))
    return own, mapped, after["VmHWM"], seconds


def _memory():
    """{name: bytes} of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)
            if name in ("RssAnon", "RssFile", "VmHWM")}  # fmt: skip

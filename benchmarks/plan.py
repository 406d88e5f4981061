"""Whole training steps beside what `arcface-gluon plan` predicts for them, at two numbers of identities.

Here `floor` is the prediction and `ratio` is measured over predicted. The prediction takes this machine's product rate,
measured in the same process, and what `arcface-gluon plan` takes from the benchmarks of backbone (r50's) and head where
these were run before, else the constants of parallel/cost.py; nothing is fitted to these steps.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from pathlib import Path

NETWORK, BATCH = "r18", 32
BENCH = Path("runs/bench")
IDENTITIES = (10_000, 200_000)


def measure(quick: bool = False) -> list[dict]:
    """Rows {"what", "value", "unit", "floor", "ratio"}; quick: the smaller number only."""
    # A process lives for one task, so that its peak memory is its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return [row for rows in pool.imap(_measure_one, IDENTITIES[: 1 if quick else None]) for row in rows]


def _measure_one(identities):
    import mxnet as mx

    from arcface_gluon.cli.doctor import product_rates
    from arcface_gluon.cli.plan import calibration
    from arcface_gluon.models import network_cost
    from arcface_gluon.parallel.cost import MIB, Machine, Setting, cost

    from .steps import Step

    step = Step(NETWORK, BATCH, identities)
    step()
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    machine = Machine(memory=0, gflops=max(product_rates(mx, mx.cpu(0)).values()), bandwidth=1e9, **calibration(BENCH))
    predicted = cost(Setting(identities, 1, BATCH), network_cost(NETWORK), machine)
    what = f"{NETWORK}, batch {BATCH}, {identities:,} identities"
    return [
        _row(f"{what}: training step", 1000 * min(seconds), "ms", 1000 * predicted.seconds),
        # Python, MXNet and its libraries take 200 MiB before any array.
        _row(f"{what}: peak memory", peak, "MiB", predicted.memory / MIB + 200),
    ]


def _row(what, value, unit, predicted):
    return {"what": what, "value": value, "unit": unit, "floor": predicted, "ratio": value / predicted}

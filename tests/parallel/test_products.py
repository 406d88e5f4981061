"""Products on several CPU contexts, which hang where two are under way at once (so does this test, with mx.nd.dot)."""

from __future__ import annotations

import subprocess
import sys

# Many products, large enough for two OpenMP threads each, from four contexts without a wait between them.
PRODUCTS = """
import arcface_gluon
import mxnet as mx
from arcface_gluon.parallel.products import dot
arrays = [mx.nd.ones((384, 384), ctx=mx.cpu(i)) for i in range(4)]
for _ in range(100):
    outputs = [dot(array, array) for array in arrays]
mx.nd.waitall()
print([output[0, 0].asscalar() for output in outputs])
"""


def test_contexts_take_turns():
    # In a process of its own: a hang can only be seen from outside.
    environment = {"OMP_NUM_THREADS": "2", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", PRODUCTS]
    result = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True)
    assert result.stdout.strip() == str([384.0] * 4), result.stderr

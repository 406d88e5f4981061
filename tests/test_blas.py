"""The kernels of MXNet's OpenBLAS: better than its fallback, by nobody else's choice."""

import os
import subprocess
import sys

import pytest

from arcface_gluon import blas

pytestmark = pytest.mark.skipif(
    not {"avx2", "fma"} <= blas.processor_features() or blas.mxnet_openblas() is None,
    reason="only a processor with AVX2 and an MXNet with an OpenBLAS of its own have something to choose",
)

# The kernels in use after a product, those of NumPy, and the variable that other processes would inherit.
CODE = """
import os
import arcface_gluon
from arcface_gluon import blas
import mxnet as mx
assert mx.nd.dot(mx.nd.ones((64, 64)), mx.nd.ones((64, 64))).asnumpy().min() == 64
print(blas.mxnet_kernels(), blas.numpy_kernels(), os.environ.get("OPENBLAS_CORETYPE"))
"""
# NumPy's kernels where nothing is mended.
ALONE = """
import numpy, threadpoolctl
print(*[one["architecture"] for one in threadpoolctl.threadpool_info() if "numpy" in one["filepath"]])
"""


def run(code, asked):
    environment = {k: v for k, v in os.environ.items() if k != blas.VARIABLE}
    environment.update({blas.VARIABLE: asked} if asked else {})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("asked", [None, "NoSuchCore"])
def test_the_fallback_is_mended_for_mxnet_alone(asked):
    # An unknown name makes this OpenBLAS fall back, also on a processor that it knows.
    kernels, of_numpy, variable = run(CODE, asked)
    assert kernels != blas.FALLBACK and variable == str(asked)
    assert of_numpy == run(ALONE, asked)[0]
    if asked:
        assert kernels == blas.BEST


@pytest.mark.parametrize("asked", ["Prescott", "Zen"])
def test_what_the_user_asks_for_holds(asked):
    assert run(CODE, asked)[0] == asked


def test_instructions_of_onednn_can_be_limited(monkeypatch):
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    assert blas.onednn_instructions() == "AVX2"


def test_nothing_is_chosen_once_mxnet_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "mxnet", object())
    assert blas.mend_mxnet_kernels() is None

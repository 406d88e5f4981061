"""Numerical tests hold by every route that products take: older instructions, other kernels of OpenBLAS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from arcface_gluon import blas

TESTS = Path(__file__).parent
NUMERICAL = (
    "losses/test_sharded_head.py",
    "losses/test_softmax_head.py",
    "models/test_folding.py",
    "models/test_training_network.py",
    "models/test_prelu.py",
    "protocols/test_verification.py",
    "training/test_accumulation.py",
)
ROUTES = {
    "AVX2": {"DNNL_MAX_CPU_ISA": "AVX2"},
    "AVX-512 without AMX": {"DNNL_MAX_CPU_ISA": "AVX512_CORE"},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "Zen": {"OPENBLAS_CORETYPE": "Zen"},
}


@pytest.mark.slow
@pytest.mark.skipif(not {"avx2", "fma"} <= blas.processor_features(), reason="a processor without AVX2 has one route")
@pytest.mark.parametrize("route", ROUTES)
def test_numerical_tests_hold_by(route):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow and not faults", *NUMERICAL]
    done = subprocess.run(command, cwd=TESTS, env={**os.environ, **ROUTES[route]}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]

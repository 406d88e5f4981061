"""Which kernels the libraries take that multiply: the floors are those of kernels that suit the processor."""

from __future__ import annotations

import os
import subprocess
import sys

from arcface_gluon import blas


def suited() -> dict[str, str]:
    """What to put into the environment for an OpenBLAS that does not know the processor and would fall back."""
    features = blas.processor_features()
    if blas.VARIABLE in os.environ or "avx2" not in features:
        return {}
    return {blas.VARIABLE: "SkylakeX" if "avx512bw" in features else blas.BEST}


def environment() -> dict[str, str]:
    """That of the benchmarks, in which a NumPy that falls back gets kernels that suit the processor."""
    return {**os.environ, **(suited() if blas.numpy_kernels() == blas.FALLBACK else {})}


def taken() -> str:
    """The kernels that each library takes in this process."""
    names = {"NumPy": blas.numpy_kernels(), "dot": blas.mxnet_kernels(), "oneDNN": blas.onednn_instructions()}
    return "kernels: " + ", ".join(f"{name} {value}" for name, value in names.items() if value)


def taken_there() -> str:
    """The same in a process of `environment`."""
    code = "from arcface_gluon.benchmarks.kernels import taken; print(taken())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

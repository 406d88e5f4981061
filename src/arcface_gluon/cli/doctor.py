"""`arcface-gluon doctor`: what is installed, which devices there are, and what to do about anything wrong."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import __version__, blas, runtime
from ..errors import UserError
from ..files import write_json
from ..gpus import find_gpus
from ..runtime import import_mxnet

EXAMPLE = "arcface-gluon doctor"

_PACKAGES = ("mxnet", "mxnet-cu112", "numpy", "opencv-python-headless", "simplejpeg", "scikit-learn", "matplotlib")
# CUDA 11 runs on drivers from 450.80.02 on (NVIDIA's table of minor version compatibility).
_OLDEST_DRIVER = (450, 80)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the findings as JSON too")


def run(args: Namespace) -> int:
    findings, problems = examine()
    for key, value in findings.items():
        print(f"{key:26} {value}")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    if not problems:
        print("all well")
    if args.json:
        write_json(args.json, {**findings, "problems": problems})
    return 2 if problems else 0


def examine() -> tuple[dict[str, Any], list[str]]:
    """(findings, problems): facts by name, and one line for each thing that is wrong, with what to do."""
    findings = {
        "arcface-gluon": __version__,
        "Python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.machine()}, {runtime.physical_cores()} physical cores",
        "OpenMP threads": os.environ.get("OMP_NUM_THREADS", "not set"),
    }
    for package in _PACKAGES:
        try:
            findings[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    problems = []
    for gpu in find_gpus():
        findings[f"GPU {gpu.number}"] = gpu.describe()
    if "mxnet" in findings and "mxnet-cu112" in findings:
        problems.append("both builds of MXNet are installed over each other; run `make clean` and `make setup` again")
    if runtime.is_gpu_build():
        problems += _gpu_problems(findings)
        if problems:  # MXNet's import would only fail with the same words
            return findings, problems
    try:
        mx = import_mxnet()
    except UserError as error:
        return findings, [*problems, str(error)]
    _kernels(findings)
    findings["build features"] = " ".join(f.name for f in mx.runtime.feature_list() if f.enabled)
    try:
        count = mx.context.num_gpus()
    except mx.MXNetError as error:
        problems.append(f"MXNet cannot ask for GPUs: {str(error).splitlines()[0]}")
        count = 0
    devices = [mx.cpu(0)] + [mx.gpu(i) for i in range(count) if runtime.has_code(i)]
    for device in devices:
        try:
            for route, rate in product_rates(mx, device).items():
                findings[f"products, {route}"] = f"{rate:,.0f} GFLOP/s (float32)"
        except mx.MXNetError as error:
            problems.append(f"{device} cannot multiply matrices: {str(error).splitlines()[0]}")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) < runtime.physical_cores():
        problems.append(f"OMP_NUM_THREADS={threads} leaves cores idle; unset it to use all {runtime.physical_cores()}")
    return findings, problems


def product_rates(mx: Any, device: Any) -> dict[str, float]:
    """GFLOP/s of float32 matrix products on a device by each route there is, best of three: well under a second."""
    size = 1024 if device.device_type == "cpu" else 4096
    left, out = mx.nd.ones((size, size), ctx=device), mx.nd.empty((size, size), ctx=device)
    routes = {f"dot on {device}": lambda: mx.nd.dot(left, left, out=out)}
    if device.device_type == "cpu":
        array, result = np.ones((size, size), np.float32), np.empty((size, size), np.float32)
        connect = {"num_hidden": size, "no_bias": True, "out": out}
        routes[f"oneDNN on {device}"] = lambda: mx.nd.FullyConnected(left, left, **connect)
        routes["NumPy"] = lambda: np.matmul(array, array, out=result)
    rates = {}
    for route, multiply in routes.items():
        seconds = []
        for _ in range(4):  # the first one warms up
            mx.nd.waitall()
            began = time.perf_counter()
            multiply()
            mx.nd.waitall()
            seconds.append(time.perf_counter() - began)
        rates[route] = 2 * size**3 / min(seconds[1:]) / 1e9
    return rates


def _kernels(findings):
    """Which kernels each library that multiplies took."""
    findings["kernels, oneDNN"] = blas.onednn_instructions()
    findings["kernels, class centres"] = (
        "compiled by numba" if find_spec("numba") else "NumPy's; with numba (make setup FAST=1) updates are faster"
    )
    for name, kernels in (("MXNet's OpenBLAS", blas.mxnet_kernels()), ("NumPy's OpenBLAS", blas.numpy_kernels())):
        if kernels:
            findings[f"kernels, {name}"] = kernels
    features, asked = blas.processor_features(), os.environ.get(blas.VARIABLE)
    if findings.get("kernels, NumPy's OpenBLAS") == blas.FALLBACK and "avx2" in features and not asked:
        better = "SkylakeX" if "avx512bw" in features else blas.BEST
        findings["kernels, NumPy's OpenBLAS"] += f" (it does not know this processor; {blas.VARIABLE}={better} helps)"


def _gpu_problems(findings):
    problems = [
        f"no package provides {pattern.split('/')[-1]}; run `make setup GPU=1`, or install a system CUDA 11"
        for pattern in runtime.load_cuda_libraries()
    ]
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return [*problems, "no NVIDIA driver (libcuda.so.1) here; install it, or use the CPU build: make setup GPU=0"]
    driver = _driver_version()
    findings["NVIDIA driver"] = ".".join(map(str, driver)) if driver else "unknown"
    if driver and driver[:2] < _OLDEST_DRIVER:
        problems.append(
            f"NVIDIA driver {findings['NVIDIA driver']} is too old for CUDA 11; 450.80.02 or later is needed"
        )
    return problems


def _driver_version():
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            words = file.readline().split()
    except OSError:
        return None
    numbers = [w for w in words if w.replace(".", "").isdigit() and "." in w]
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else None

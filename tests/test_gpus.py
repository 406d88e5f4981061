"""GPUs as a driver tells of them: a stand-in for libcuda with an Ada and a Hopper."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from arcface_gluon.gpus import Gpu, find_gpus

DRIVER = r"""
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int number) { *device = number + 40; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, device == 40 ? "L4" : "H100", length);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? (device == 40 ? 8 : 9) : attribute == 76 ? (device == 40 ? 9 : 0) : -1;
    return 0;
}
"""


@pytest.mark.parametrize(
    "capability, runs",
    [
        ((3, 5), 0),
        ((5, 2), 1),
        ((6, 1), 1),
        ((7, 5), 1),
        ((8, 0), 1),
        ((8, 9), 1),
        ((9, 0), 0),
        ((12, 0), 0),
    ],
)
def test_code_runs_within_a_major_version(capability, runs):
    assert Gpu(0, "x", capability).runs == bool(runs)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler for the stand-in driver")
def test_the_driver_is_asked(tmp_path):
    (tmp_path / "driver.c").write_text(DRIVER)
    library = tmp_path / "libcuda.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    ada, hopper = find_gpus(str(library))
    assert (ada, hopper) == (Gpu(0, "L4", (8, 9)), Gpu(1, "H100", (9, 0)))
    assert ada.describe() == "L4, compute capability 8.9"
    assert "9.0: MXNet 1.9.1 has no code for it" in hopper.describe() and "export" in hopper.describe()


def test_without_a_driver_there_are_none(tmp_path):
    assert find_gpus(str(tmp_path / "libcuda.so.1")) == []


@pytest.mark.slow
def test_the_check_of_gpus_compares_devices(command):
    said = command("bench", "gpu-check", "--devices", "cpu(1),cpu(2)", "--quick").stdout
    assert said.rstrip().endswith("all well") and said.count("ok     head") == 12
    for what in ("ArcFace, float16 over 2 devices", "sampled centres over 2", "r18: update over 2", "as evaluated"):
        assert what in said
    assert "no GPU that MXNet can use" in command("bench", "gpu-check", check=2).stderr


def test_the_check_of_gpus_fails_on_another_result(monkeypatch, command):
    from arcface_gluon.benchmarks import gpu_check

    monkeypatch.setattr(gpu_check, "search", lambda devices: [gpu_check.np.ones(3) * (1 + devices[0].device_id)])
    said = command("bench", "gpu-check", "--devices", "cpu(1)", "--quick", check=1).stdout
    assert "FAILED search" in said and "1 failed" in said

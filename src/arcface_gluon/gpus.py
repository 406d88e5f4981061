"""NVIDIA GPUs as the driver tells of them, before MXNet touches one, and which MXNet's builds can run on."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache

# What the CUDA wheels of MXNet 1.9.1 (cu112 to cu117) hold machine code for. They hold no PTX that a driver could
# translate, so that a GPU runs only code of its own major version, and of its minor version or a lower one.
COMPILED = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        number: as in mx.gpu(number).
        name: the product's.
        capability: compute capability (major, minor).
    """

    number: int
    name: str
    capability: tuple[int, int]

    @property
    def runs(self) -> bool:
        """Whether MXNet's CUDA builds have code for it: Maxwell (5.0) to Ada (8.9)."""
        major, minor = self.capability
        return any(major == m and minor >= n for m, n in COMPILED)

    def describe(self) -> str:
        """The GPU in a line, with what to do where MXNet cannot run on it."""
        line = f"{self.name}, compute capability {self.capability[0]}.{self.capability[1]}"
        if self.runs:
            return line
        known = ", ".join(f"{m}.{n}" for m, n in COMPILED)
        return (
            f"{line}: MXNet 1.9.1 has no code for it (only for {known}, and no PTX), whatever the driver; use the CPU, "
            "or export the model (arcface-gluon export) and run it there"
        )


@lru_cache(maxsize=None)  # a machine's cards stay the same; devices are chosen in several places
def find_gpus(library: str = "libcuda.so.1") -> list[Gpu]:
    """GPUs that the driver lists; none where there is no driver or it cannot start."""
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_describe(driver, number) for number in range(count.value)]


def _describe(driver, number):
    device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    driver.cuDeviceGet(ctypes.byref(device), number)
    driver.cuDeviceGetName(name, len(name), device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Gpu(number, name.value.decode("utf-8", "replace"), (capability[0], capability[1]))

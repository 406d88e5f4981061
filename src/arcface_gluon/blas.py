"""Which kernels the matrix products take: MXNet's OpenBLAS gets better ones where it does not know the processor.

The OpenBLAS inside MXNet 1.9.1 is of 2020. On a processor that came later it takes the kernels of the Prescott (2004),
three times slower than those of the Haswell, the best for AVX2 and for AVX-512 that it has.
"""

from __future__ import annotations

import _ctypes
import ctypes
import importlib.util
import os
import sys
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"
FALLBACK, BEST = "Prescott", "Haswell"
ISA_VARIABLE, AMX_ISA = "DNNL_MAX_CPU_ISA", "AVX512_CORE_AMX"


def mend_mxnet_kernels() -> str | None:
    """Load MXNet's OpenBLAS with kernels that suit the processor. Must run before `import mxnet`, after `import numpy`.

    Which kernels to take is decided once, when the library is loaded. So it is loaded here, asked, and where it fell
    back on its oldest ones, loaded again with OPENBLAS_CORETYPE set, which is put back at once: no other library sees
    it. What the user asked for by OPENBLAS_CORETYPE holds, Prescott too, except that a name which this OpenBLAS does
    not know (a newer one may) would be Prescott without a word.

    Returns:
        The kernels' name, or None where there is nothing to choose: another platform, or MXNet is imported already.
    """
    if "mxnet" in sys.modules:
        return None
    path = mxnet_openblas()
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        name = _kernels(library)
        asked = os.environ.get(VARIABLE)
        unsuited = name == FALLBACK and {"avx2", "fma"} <= processor_features()
        if unsuited and (asked or "").lower() != FALLBACK.lower():
            _ctypes.dlclose(library._handle)
            os.environ[VARIABLE] = BEST
            try:
                name = _kernels(ctypes.CDLL(str(path)))
            finally:
                del os.environ[VARIABLE]
                if asked is not None:
                    os.environ[VARIABLE] = asked
    except (OSError, AttributeError):
        return None  # `import mxnet` tells what is missing
    return name


def mxnet_openblas() -> Path | None:
    """The OpenBLAS in MXNet's package, found without importing it; None where there is none."""
    spec = importlib.util.find_spec("mxnet")
    if spec is None or not spec.origin:
        return None
    return next(Path(spec.origin).parent.glob("libopenblas.so*"), None)


def mxnet_kernels() -> str | None:
    """The kernels that MXNet's OpenBLAS took; None where MXNet brings no OpenBLAS of its own."""
    path = mxnet_openblas()
    try:
        return None if path is None else _kernels(ctypes.CDLL(str(path)))
    except (OSError, AttributeError):
        return None


def numpy_kernels() -> str | None:
    """The kernels that NumPy's OpenBLAS took; None where NumPy multiplies by another library."""
    import numpy
    import threadpoolctl

    folder = Path(numpy.__file__).parent
    for library in threadpoolctl.threadpool_info():
        inside = str(folder) in library["filepath"] or f"{folder}.libs" in library["filepath"]
        if inside and library["internal_api"] == "openblas":
            return library.get("architecture")
    return None


def onednn_instructions() -> str:
    """The widest float32 instructions that oneDNN may take here: the processor's, or fewer by DNNL_MAX_CPU_ISA."""
    features, limit = processor_features(), os.environ.get(ISA_VARIABLE, "ALL").upper()
    if "avx512bw" in features and limit.startswith(("ALL", "DEFAULT", "AVX512")):
        return "AVX-512"
    if "avx2" in features and limit.startswith(("ALL", "DEFAULT", "AVX2", "AVX512")):
        return "AVX2"
    return "AVX or SSE4.1"


def why_no_amx() -> str | None:
    """Why oneDNN's bfloat16 products cannot take AMX in this process; None where they can."""
    if "amx_bf16" not in processor_features():
        return "this processor has none"
    limit = os.environ.get(ISA_VARIABLE)
    if limit is not None and limit.upper() not in (AMX_ISA, "ALL"):
        return f"{ISA_VARIABLE}={limit} forbids it"
    try:
        granted = ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0  # arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA
    except (OSError, AttributeError):
        granted = False
    return None if granted else "the system does not grant it"


def allow_amx() -> bool:
    """Let oneDNN use AMX, where the processor has it and Linux grants it to this process.

    Must run before oneDNN's first operation in the process, which settles what it uses: after that, bfloat16 is right
    and slow. oneDNN uses AMX if DNNL_MAX_CPU_ISA says so, granted or not (the process would end by SIGILL), so the
    variable is set after the grant alone. A variable that says less holds.
    """
    if why_no_amx() is not None:
        return False
    os.environ.setdefault(ISA_VARIABLE, AMX_ISA)
    return True


def processor_features() -> frozenset:
    """Flags of the processor as Linux gives them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), ()))


def _kernels(library) -> str:
    name = library.openblas_get_corename
    name.restype = ctypes.c_char_p
    return name().decode()

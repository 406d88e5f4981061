"""What MXNet 1.9.1 needs to start on today's Python, NumPy and drivers; the devices it may use."""

from __future__ import annotations

import ctypes
import errno
import glob
import importlib
import importlib.util
import os
import platform
import re
import resource
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Sequence, Union

from .blas import mend_mxnet_kernels
from .errors import UserError
from .gpus import find_gpus

if TYPE_CHECKING:  # what MXNet needs must be set before it is imported
    import mxnet as mx

# What names devices; see `contexts`.
Devices = Union[None, int, str, Sequence[Any]]

# A header can announce 65,535 x 65,535 pixels in a few bytes; photographs have less than this.
MAX_PIXELS = 1 << 27

# How launchers tell a process its number on its host, and how many there are.
_LOCAL = (
    ("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"),
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
)

_CHOSEN = "ARCFACE_GLUON_THREADS"  # OMP_NUM_THREADS as `prepare` chose it
_PINNED = "ARCFACE_GLUON_PINNED"  # process that keeps to its share of the cores

# Names that NumPy 1.24 removed and MXNet 1.9.1 reads at import.
_NUMPY_NAMES = {"bool": bool, "int": int, "float": float, "object": object, "str": str, "complex": complex}

# Libraries of the nvidia-*-cu11 packages that libmxnet.so links to, each after those it needs itself.
CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11*",
    "cuda_nvrtc/lib/libnvrtc.so.11*",
    "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11",
    "cudnn/lib/libcudnn.so.8",
    "nccl/lib/libnccl.so.2",
)


def prepare() -> None:
    """Set OpenMP threads, limits of OpenCV and oneDNN, NumPy names, CUDA libraries, OpenBLAS's kernels (`blas`).

    Must run before `import mxnet` and `import cv2`; again, it changes nothing.
    """
    # A launcher's own choice reaches its processes, which are several a host, and on other hosts.
    if os.environ.get("OMP_NUM_THREADS") in (None, os.environ.get(_CHOSEN)):
        take_own_cores()
        # MXNet alone would take half of the cores.
        os.environ["OMP_NUM_THREADS"] = os.environ[_CHOSEN] = str(physical_cores())
    # How often a waiting thread of OpenMP looks before it sleeps. With libgomp's own number it keeps a core from those
    # it waits for: training beside other jobs was six to nine times slower. Alone, there is no difference.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Read when OpenCV is imported; data.decode looks at the headers itself too.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    # What it says of damaged images goes to the terminal, beside the error that tells the same.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    # MXNet keeps what oneDNN made for every shape that it ever saw: 12 MB for each size of photograph that MTCNN looks
    # at. So many are kept of each operator; no network here has as many shapes of one.
    os.environ.setdefault("MXNET_MKLDNN_CACHE_NUM", "64")
    restore_numpy_names()
    load_cuda_libraries()
    mend_mxnet_kernels()


def physical_cores() -> int:
    """Number of physical cores this process may run on (hyper-threads of a core count once)."""
    return max(1, len(_cores()))


def _cores():
    """{(package, core): its processors, by number} of those this process may run on."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(allowed):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package, core = (int((topology / name).read_text()) for name in ("physical_package_id", "core_id"))
        except (OSError, ValueError):
            return {(0, number): [number] for number in allowed}
        cores.setdefault((package, core), []).append(cpu)
    return cores


def take_own_cores() -> None:
    """Keep to this process's even share of the host's cores, where several processes of a run are on it."""
    rank, size = local_place()
    cores = [cpus for _, cpus in sorted(_cores().items())]
    done = os.environ.get(_PINNED) == str(os.getpid())  # again, it changes nothing
    if size > 1 and len(cores) >= size and hasattr(os, "sched_setaffinity") and not done:
        own = cores[rank * len(cores) // size : (rank + 1) * len(cores) // size]
        os.sched_setaffinity(0, {cpu for cpus in own for cpu in cpus})
        os.environ[_PINNED] = str(os.getpid())


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def restore_numpy_names() -> None:
    """Give NumPy 1.24 to 1.26 back the aliases that MXNet 1.9.1 uses (`numpy.bool` and others).

    Raises:
        UserError: NumPy 2, which MXNet 1.9.1 cannot use.
    """
    import numpy

    if int(numpy.__version__.split(".")[0]) >= 2:
        raise UserError(f'NumPy {numpy.__version__} is too new for MXNet 1.9.1; run: pip install "numpy<2"')
    for name, value in _NUMPY_NAMES.items():
        if name not in vars(numpy):
            setattr(numpy, name, value)


def cuda_library_folders() -> list[Path]:
    """Folders named `nvidia` on the import path, where the nvidia-*-cu11 packages put their libraries."""
    return [folder for entry in sys.path if (folder := Path(entry or ".") / "nvidia").is_dir()]


def load_cuda_libraries() -> list[str]:
    """For the GPU build, load the CUDA 11 libraries from the nvidia packages, so that no system CUDA is needed.

    Returns:
        The patterns of libraries that no package provides (a system CUDA may still have them; MXNet's import tells).
        Empty for the CPU build.
    """
    if not is_gpu_build():
        return []
    missing = []
    for pattern in CUDA_LIBRARIES:
        found = sorted(path for folder in cuda_library_folders() for path in glob.glob(str(folder / pattern)))
        for path in found[:1]:
            try:
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
            except OSError:
                found = []
        if not found:
            missing.append(pattern)
    return missing


def is_gpu_build() -> bool:
    """Whether the installed MXNet links to CUDA, told without importing it."""
    spec = importlib.util.find_spec("mxnet")
    if spec is None or not spec.origin:
        return False
    site = Path(spec.origin).parent.parent
    return any(site.glob("mxnet_cu*.dist-info"))


def import_mxnet() -> ModuleType:
    """Import MXNet, or say in one line why it cannot be.

    Raises:
        UserError: MXNet is missing, or a library that it links to is (named).
    """
    try:
        import mxnet
    except ImportError as error:
        raise UserError(f"MXNet is not installed ({error}); run `make setup`, or: pip install mxnet==1.9.1") from error
    except OSError as error:
        library = str(error).split(":")[0]
        cure = {
            "libcuda.so.1": "it belongs to the NVIDIA driver: install that, or use the CPU build (make setup GPU=0)",
            "libgomp.so.1": "install the system's OpenMP runtime (Debian and Ubuntu: apt-get install libgomp1)",
            "libquadmath.so.0": "install GCC's library of that name (Debian and Ubuntu: apt-get install libquadmath0)",
        }.get(library, "install the GPU packages with `make setup GPU=1`, or use the CPU build (make setup GPU=0)")
        raise UserError(f"MXNet cannot load {error}; {cure}") from error
    return mxnet


def import_optional(name: str) -> ModuleType:
    """A package, or a module of one, that only some commands need.

    Raises:
        UserError: it is not installed; says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0].replace("_", "-")
        raise UserError(f"this needs the package {package} ({error}); run: pip install {package}") from None


def has_code(number: int) -> bool:
    """Whether MXNet's CUDA build can run on this GPU; True where the driver does not tell."""
    return all(gpu.runs for gpu in find_gpus() if gpu.number == number)


def contexts(spec: Devices = None) -> list[mx.Context]:
    """Devices to use, as a list of mx.Context.

    Args:
        spec: None: every GPU that MXNet has code for, else cpu(0). A count: that many GPUs where there are any, else
            that many CPU contexts. Where several processes of a run share this host, both mean the GPUs of this
            process's share. A string such as "cpu(0),cpu(1)" or a list of such strings or of mx.Context.

    Raises:
        UserError: not a device, a device named twice, a GPU that is not there, or fewer GPUs than processes here.
    """
    mx = import_mxnet()
    gpus = mx.context.num_gpus()
    own = own_share([i for i in range(gpus) if has_code(i)], *local_place())
    if spec is None:
        return [mx.gpu(i) for i in own] or [mx.cpu(0)]
    if isinstance(spec, str):
        spec = int(spec) if spec.strip().isdecimal() else [part for part in spec.split(",") if part.strip()]
    if isinstance(spec, int):
        if spec < 1:
            raise UserError(f"train.contexts={spec}: at least one device is needed")
        if own and spec > len(own):
            raise UserError(f"{spec} devices were asked for, but this process has {len(own)} GPU(s)")
        return [mx.gpu(i) for i in own[:spec]] or [mx.cpu(i) for i in range(spec)]
    devices = [_device(item, mx, gpus) for item in spec]
    if len(set(devices)) != len(devices):
        raise UserError(f"a device is named twice in {','.join(map(str, devices))}")
    if not devices:
        raise UserError("no device named; give a count, or a list such as cpu(0),cpu(1)")
    return _with_code(devices)


def local_place() -> tuple[int, int]:
    """(rank, size) of this process among those of its run on this host, as the launcher tells; (0, 1) alone."""
    if "HOROVOD_RANK" in os.environ:
        for names in _LOCAL:
            rank, size = (os.environ.get(name, "") for name in names)
            if rank.isdecimal() and size.isdecimal() and int(rank) < int(size):
                return int(rank), int(size)
        return _place_in_step()
    return 0, 1


def _place_in_step():
    """The same from what SLURM tells of every step, also where --ntasks-per-node was not given: "4(x2),1", by node."""
    tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE") or os.environ.get("SLURM_TASKS_PER_NODE", "")
    rank, node = (os.environ.get(f"SLURM_{name}", "") for name in ("LOCALID", "NODEID"))
    counts = [int(m.group(1)) for m in re.finditer(r"(\d+)(?:\(x(\d+)\))?", tasks) for _ in range(int(m.group(2) or 1))]
    if rank.isdecimal() and node.isdecimal() and int(node) < len(counts) and int(rank) < counts[int(node)]:
        return int(rank), counts[int(node)]
    return 0, 1


def own_share(gpus: list[int], rank: int, size: int) -> list[int]:
    """The GPUs of one of `size` processes on a host, as even as can be and next to each other.

    Raises:
        UserError: there are fewer GPUs than processes.
    """
    if not gpus or size == 1:
        return gpus
    if len(gpus) < size:
        raise UserError(
            f"{size} processes share this host's {len(gpus)} GPU(s); start at most {len(gpus)} here (-H host:"
            f"{len(gpus)}), or name devices with train.contexts"
        )
    return gpus[rank * len(gpus) // size : (rank + 1) * len(gpus) // size]


def _with_code(devices):
    for gpu in find_gpus() if any(device.device_type == "gpu" for device in devices) else ():
        if not gpu.runs and any(device.device_type == "gpu" and device.device_id == gpu.number for device in devices):
            raise UserError(f"gpu({gpu.number}): {gpu.describe()}")
    return devices


# What MXNet, OpenCV, CUDA and Python say where memory ends.
_NO_MEMORY = re.compile(
    "Failed to allocate|bad_alloc|out of memory|Cannot allocate|Insufficient memory|Unable to allocate|"
    "can't start new thread|STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception says that the memory of the machine or of a device has ended."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # By name: MXNet and OpenCV may not be imported.
    known = isinstance(error, (MemoryError, RuntimeError)) or type(error).__name__ in ("MXNetError", "error")
    return isinstance(error, MemoryError) or (known and _NO_MEMORY.search(str(error)) is not None)


def available_memory(device: mx.Context) -> int | None:
    """Bytes that are free on a device (an mx.Context); None where that cannot be known.

    On the CPU: what the machine has, the process's limit (ulimit -v) and its container's, whichever is the least.
    """
    if device.device_type == "gpu":
        return import_mxnet().context.gpu_memory_info(device.device_id)[0]
    found = []
    if match := re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo")):
        found.append(1024 * int(match.group(1)))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        used = int((_text("/proc/self/statm").split() or ["0"])[0]) * resource.getpagesize()
        found.append(max(0, limit - used))
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _text(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _device(item, mx, gpus):
    if isinstance(item, mx.Context):
        return item
    match = re.fullmatch(r"\s*(cpu|gpu)(?:\((\d+)\)|:?(\d+))?\s*", str(item))
    if not match:
        raise UserError(f"{item!r} is not a device; write a count, or a list such as cpu(0),cpu(1) or gpu(0),gpu(1)")
    index = int(match.group(2) or match.group(3) or 0)
    if match.group(1) == "gpu" and index >= gpus:
        raise UserError(f"gpu({index}) is not there: MXNet sees {gpus} GPU(s); `arcface-gluon doctor` says why")
    return mx.Context(match.group(1), index)

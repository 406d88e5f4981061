"""The processes of a run: one a machine (or a device), started by horovodrun, or just this one.

Every process calls the same methods in the same order. All arrays are on the host here; Horovod moves them.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager
from typing import Callable, Iterator

import mxnet as mx
import numpy as np

from ..errors import GO_ON, UserError
from .failures import drain_failures, transfer_failed
from .interface import use_own_interface
from .rollcall import missing


class LostProcess(UserError):
    """Another process of the run has ended, or no longer answers.

    Attributes:
        status: the exit status `GO_ON`.
    """

    status = GO_ON


class Processes:
    """This process alone: nothing travels. `HorovodProcesses` is several.

    Attributes:
        rank, size: this process's number, from 0, and how many there are.
        hosts: name of each process's machine, by rank.
        bytes_sent: bytes that this process sent to others, by the algorithms' counts (all are rings).
    """

    rank, size = 0, 1
    bytes_sent = 0

    def __init__(self):
        self.hosts = [socket.gethostname()]

    def allgather(self, array: np.ndarray, name: str) -> np.ndarray:
        """Concatenate one (n_r, …) NumPy array a process along axis 0, in the order of the ranks."""
        return array

    def gather(self, array: mx.nd.NDArray, name: str) -> mx.nd.NDArray:
        """The same with NDArrays, on the device that this process's is on."""
        return array

    def alltoall(self, array: np.ndarray, name: str) -> np.ndarray:
        """Row r of one (size, …) array a process goes to process r; row r of what it gets is that of process r."""
        return array

    def allreduce(self, arrays: list[mx.nd.NDArray], name: str) -> None:
        """Sum NDArrays over the processes, in place; may return before they are there. Each on its device."""

    def broadcast(self, arrays: dict[str, mx.nd.NDArray]) -> None:
        """Give NDArrays the values that process 0 has, in place; keys are names that all have."""

    def lost(self) -> str | None:
        """After a transfer failed: which processes no longer answer, on which hosts; None where there are no others."""
        return None

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.allgather(np.zeros(1, np.float32), "barrier")

    def any(self, flag: int) -> int:
        """The largest of one small whole number a process."""
        return int(self.allgather(np.array([flag], np.float32), "any").max())

    def total(self, number: float) -> float:
        """The sum of one number a process."""
        return float(self.allgather(np.array([number], np.float64), "total").sum())

    def texts(self, text: str, what: str) -> list[str]:
        """One text a process, in the order of the ranks; `what` names the exchange."""
        return [part.tobytes().decode() for part in self.parts(np.frombuffer(text.encode(), np.uint8), what)]

    def parts(self, values: np.ndarray, what: str) -> list[np.ndarray]:
        """One (n_r,) array a process, in the order of the ranks; `what` names the exchange."""
        lengths = self.allgather(np.array([len(values)], np.float64), f"{what}.length").astype(int)
        # A process may have nothing to say, but Horovod gathers nothing of no length.
        gathered = self.allgather(np.append(values, np.zeros(1, values.dtype)), f"{what}.values")
        return [part[:-1] for part in np.split(gathered, np.cumsum(lengths + 1)[:-1])]

    def must_agree(self, text: str, what: str) -> None:
        """Refuse to go on where the processes differ.

        Args:
            text: what every process must have the same of.
            what: its name in the message.

        Raises:
            UserError: on every process, naming those that differ from rank 0.
        """
        texts = self.texts(text, what)
        different = [rank for rank, other in enumerate(texts) if other != texts[0]]
        if different:
            raise UserError(
                f"{self.named(different)} {'has' if len(different) == 1 else 'have'} another {what} than process 0; "
                "start them all with the same command on the same files"
            )

    def must_succeed(self, failure: BaseException | None, what: str) -> None:
        """Go on only where no process has failed in what each did by itself.

        Args:
            failure: of this process, or None.
            what: names the exchange.

        Raises:
            UserError: on every process, with the failure of the first that has one; what is no UserError is raised as
                it is, where it happened.
        """
        texts = self.texts("" if failure is None else str(failure) or type(failure).__name__, f"{what}.failure")
        if failure is not None and (self.size == 1 or not isinstance(failure, UserError)):
            raise failure
        failed = [rank for rank, text in enumerate(texts) if text]
        if failed:
            raise UserError(f"{self.named(failed[:1])}: {texts[failed[0]]}") from failure

    def named(self, ranks: list[int]) -> str:
        """ "processes 1 and 2 (host-b)", as messages say it."""
        hosts = sorted({self.hosts[rank] for rank in ranks})
        return f"process{'es' if len(ranks) > 1 else ''} {' and '.join(map(str, ranks))} on {', '.join(hosts)}"


class HorovodProcesses(Processes):
    """Processes started by `horovodrun -np P`.

    Raises:
        UserError: Horovod is missing.
        LostProcess: one of them did not come up.
    """

    def __init__(self):
        try:
            import horovod.mxnet as hvd
        except ImportError as error:
            raise UserError(
                f"this was started by horovodrun, but Horovod for MXNet is missing ({error}); make setup HOROVOD=1"
            ) from error
        use_own_interface()
        # Horovod puts together whatever is ready, which differs from run to run, and sums in another order then.
        os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
        _await_all()
        hvd.init()
        super().__init__()
        self._use(hvd)
        self.rank, self.size = hvd.rank(), hvd.size()
        self.hosts = ["a host that has not told its name"] * self.size
        with loss_told(self, lambda: "as the run began"):
            self.hosts = self.texts(socket.gethostname(), "host")
        self.bytes_sent = 0

    def _use(self, hvd):
        self._hvd, self._from_devices = hvd, bool(hvd.nccl_built())
        self._on_the_way = {}  # name → arrays of the last sum under it
        self._since = time.monotonic()  # when this process began to wait for the others

    def allgather(self, array: np.ndarray, name: str) -> np.ndarray:
        carried = _carried(array)
        tensor = mx.nd.array(carried, ctx=mx.cpu(), dtype=carried.dtype)
        return self.gather(tensor, name).asnumpy().view(array.dtype)

    def gather(self, array: mx.nd.NDArray, name: str) -> mx.nd.NDArray:
        self.bytes_sent += _bytes(array) * (self.size - 1)
        self._since = time.monotonic()
        return self._hvd.allgather(self._reachable(array), name=name).as_in_context(array.context)

    def alltoall(self, array: np.ndarray, name: str) -> np.ndarray:
        carried = _carried(array)
        self.bytes_sent += array.nbytes * (self.size - 1) // self.size
        self._since = time.monotonic()
        tensor = mx.nd.array(carried, ctx=mx.cpu(), dtype=carried.dtype)
        return self._hvd.alltoall(tensor, name=name).asnumpy().view(array.dtype)

    def allreduce(self, arrays: list[mx.nd.NDArray], name: str) -> None:
        # A ring sends every element once to be summed and once as the sum, but for each process's own part.
        self.bytes_sent += round(2 * (self.size - 1) / self.size * sum(map(_bytes, arrays)))
        # Horovod refuses a name that is on the way still, and reuses what it negotiated under one that has arrived.
        for array in self._on_the_way.get(name, ()):
            array.wait_to_read()
        self._since = time.monotonic()
        sums = [self._reachable(array) for array in arrays]
        self._hvd.grouped_allreduce_(sums, average=False, name=name)
        for array, total in zip(arrays, sums):
            if total is not array:
                total.copyto(array)
        self._on_the_way[name] = sums

    def _reachable(self, array):
        """An array where Horovod can take it from: on a GPU only with NCCL, else in the host's memory."""
        return array.as_in_context(mx.cpu()) if _on_gpu(array) and not self._from_devices else array

    def broadcast(self, arrays: dict[str, mx.nd.NDArray]) -> None:
        self._since = time.monotonic()
        for name, array in arrays.items():
            self.bytes_sent += _bytes(array) * (self.rank < self.size - 1)
            self._hvd.broadcast_(array, root_rank=0, name=f"broadcast.{name}")
            array.wait_to_read()

    def lost(self) -> str | None:
        waited = time.monotonic() - self._since
        drain_failures()
        gone = missing(self.rank, self.size)
        if gone is None:
            return f"another process of this run has ended, or did not answer for {waited:.0f} s"
        if not gone:
            return f"the connection between the processes broke for {waited:.0f} s, though all of them run"
        return f"{self.named(gone)} ended, or did not answer for {waited:.0f} s"


@contextmanager
def loss_told(processes: Processes, where: Callable[[], str]) -> Iterator[None]:
    """Within it, a transfer that fails says which process was lost.

    Args:
        where: gives when that was, and what to do.

    Raises:
        LostProcess: another process has ended, or no longer answers.
    """
    try:
        yield
    except mx.MXNetError as error:
        lost = processes.lost() if transfer_failed(error) else None
        if lost is None:
            raise
        raise LostProcess(f"{lost}, {where()}") from error


def _await_all():
    """Wait for all processes as long as gloo would, which aborts then, and blames those that wait."""
    rank, size = (int(os.environ.get(f"HOROVOD_{name}", default)) for name, default in (("RANK", 0), ("SIZE", 1)))
    seconds = float(os.environ.get("HOROVOD_GLOO_TIMEOUT_SECONDS", 30))
    if gone := missing(rank, size, seconds, "start"):
        names = f"process{'es' * (len(gone) > 1)} {' and '.join(map(str, gone))}"
        raise LostProcess(f"{names} ended, or stopped, before the run began: no sign of life for {seconds:.0f} s")


def _bytes(array):
    return array.size * np.dtype(array.dtype).itemsize


def _on_gpu(array):
    return array.context.device_type == "gpu"


def _carried(array):
    """An array of a type that Horovod has for MXNet and carries as it is: it has no uint16, nor a sum of bfloat16."""
    array = np.ascontiguousarray(array)
    return array.view(np.float16) if array.dtype == np.uint16 else array


def join() -> Processes:
    """The processes that horovodrun started this one with, or this one alone.

    Raises:
        UserError: horovodrun was used, but Horovod is not installed for MXNet.
    """
    return HorovodProcesses() if "HOROVOD_RANK" in os.environ else Processes()

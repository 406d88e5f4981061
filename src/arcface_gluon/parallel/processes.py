"""The processes of a run: one a machine (or a device), started by horovodrun, or just this one.

Every process calls the same methods in the same order. All arrays are on the host here; Horovod moves them.
"""

from __future__ import annotations

import os

import mxnet as mx
import numpy as np

from ..errors import UserError


class Processes:
    """This process alone: nothing travels. `HorovodProcesses` is several.

    Attributes:
        rank, size: this process's number, from 0, and how many there are.
        bytes_sent: bytes that this process sent to others.
    """

    rank, size = 0, 1
    bytes_sent = 0

    def allgather(self, array: np.ndarray, name: str) -> np.ndarray:
        """Concatenate one (n_r, …) NumPy array a process along axis 0, in the order of the ranks."""
        return array

    def allreduce(self, arrays: list[mx.nd.NDArray], name: str) -> None:
        """Sum NDArrays over the processes, in place."""

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.allgather(np.zeros(1, np.float32), "barrier")

    def any(self, flag: int) -> int:
        """The largest of one small whole number a process."""
        return int(self.allgather(np.array([flag], np.float32), "any").max())

    def must_agree(self, text: str, what: str) -> None:
        """Refuse to go on where the processes differ.

        Args:
            text: what every process must have the same of.
            what: its name in the message.

        Raises:
            UserError: on every process, naming those that differ from rank 0.
        """
        digest = np.frombuffer(text.encode().ljust(1, b"\0"), np.uint8).astype(np.float32)
        lengths = self.allgather(np.array([len(digest)], np.float32), f"{what}.length").astype(int)
        texts = np.split(self.allgather(digest, f"{what}.text"), np.cumsum(lengths)[:-1])
        different = [rank for rank, other in enumerate(texts) if not np.array_equal(other, texts[0])]
        if different:
            raise UserError(
                f"processes {', '.join(map(str, different))} have another {what} than process 0; "
                "start them all with the same command on the same files"
            )


class HorovodProcesses(Processes):
    """Processes started by `horovodrun -np P`."""

    def __init__(self):
        try:
            import horovod.mxnet as hvd
        except ImportError as error:
            raise UserError(
                f"this was started by horovodrun, but Horovod for MXNet is missing ({error}); make setup HOROVOD=1"
            ) from error
        hvd.init()
        self._hvd = hvd
        self._on_the_way = {}  # name → arrays of the last sum under it
        self.rank, self.size = hvd.rank(), hvd.size()

    def allgather(self, array: np.ndarray, name: str) -> np.ndarray:
        # Horovod for MXNet knows these types; what is gathered are features, and small numbers exact in float64.
        array = np.ascontiguousarray(array)
        tensor = mx.nd.array(array, ctx=mx.cpu(), dtype=array.dtype)
        self.bytes_sent += array.nbytes * (self.size - 1)
        return self._hvd.allgather(tensor, name=name).asnumpy()

    def allreduce(self, arrays: list[mx.nd.NDArray], name: str) -> None:
        # A ring sends every element about twice.
        self.bytes_sent += sum(2 * array.size * np.dtype(array.dtype).itemsize for array in arrays)
        # Horovod refuses a name that is on the way still, and reuses what it negotiated under one that has arrived.
        for array in self._on_the_way.get(name, ()):
            array.wait_to_read()
        self._hvd.grouped_allreduce_(arrays, average=False, name=name)
        self._on_the_way[name] = arrays


def join() -> Processes:
    """The processes that horovodrun started this one with, or this one alone.

    Raises:
        UserError: horovodrun was used, but Horovod is not installed for MXNet.
    """
    return HorovodProcesses() if "HOROVOD_RANK" in os.environ else Processes()

"""Several processes of a run as threads of one: what each rank does with files, without Horovod."""

import threading

import mxnet as mx
import numpy as np

from arcface_gluon.parallel.processes import Processes


class Rank(Processes):
    """One of `size` ranks; see `in_ranks`."""

    def __init__(self, rank, size, barrier, board):
        self.hosts = [f"host{number}" for number in range(size)]
        self.rank, self.size, self._barrier, self._board = rank, size, barrier, board

    def allgather(self, array, name):
        self._board[self.rank] = name, np.array(array)
        self._barrier.wait(60)
        names, parts = zip(*self._board)
        assert len(set(names)) == 1, names
        self._barrier.wait(60)
        return np.concatenate(parts)

    def gather(self, array, name):
        return mx.nd.array(self.allgather(array.asnumpy(), name), ctx=array.context, dtype=array.dtype)

    def alltoall(self, array, name):
        return np.stack([part[self.rank] for part in np.split(self.allgather(array, name), self.size)])

    def allreduce(self, arrays, name):
        for number, array in enumerate(arrays):
            total = np.split(self.allgather(array.asnumpy()[None], f"{name}.{number}"), self.size)
            array[:] = np.sum([part[0] for part in total], axis=0, dtype=array.dtype)


def in_ranks(size, work):
    """What `work(processes)` gave or raised for each rank, all at the same time."""
    barrier, board, results = threading.Barrier(size), [None] * size, [None] * size

    def run(rank):
        try:
            results[rank] = work(Rank(rank, size, barrier, board))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
